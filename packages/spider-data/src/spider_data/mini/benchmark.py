"""Write the mini benchmark to a folder: databases, their suites, task files.

The order matters. Questions are chosen first; then suites are made around their gold queries; then questions are
dropped whose answer is open because of ties on some database of the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

from spider_data.manifest import Manifest, Origin, write_manifest
from spider_data.mini.build import finish, open_pool, pick
from spider_data.mini.schema import UNSEEN, load_databases
from spider_data.mini.templates import load_patterns
from spider_data.parquet import write_tasks
from spider_data.storage import StrPath, new_folder
from spider_data.suite import Power, SuiteReport, make_suite
from spider_data.task import Split

VARIANTS = 4
_CANDIDATES = 14
_YARDSTICK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniReport:
    """The benchmark that was built."""

    folder: Path
    tasks: dict[Split, int]
    databases: int
    variants: int
    """Variants of each database beside its main file."""
    power: Power
    """The figures of all suites together, over the gold queries of all tasks."""


def mini_benchmark(folder: StrPath) -> Path:
    """Build the benchmark in `folder`, in Spider's layout, and return that path.

    Writes `train.parquet`, `validation.parquet`, `test.parquet`, `manifest.json` and `database/<db_id>/` with the main
    file and `VARIANTS` suite variants.

    Raises:
        TargetOccupiedError: `folder` exists and is not empty.
        DiskFullError, TargetUnwritableError: the files cannot be written there.
    """
    return build_mini(folder).folder


def build_mini(folder: StrPath, *, on_step: Callable[[int, int], None] | None = None) -> MiniReport:
    """Like `mini_benchmark`, and returns the figures. `on_step` receives (databases done, all)."""
    target = Path(folder)
    patterns = load_patterns()
    databases = load_databases()
    picked = pick((open_pool(database, patterns) for database in databases), patterns)
    golds: dict[str, list[str]] = {database.db_id: [] for database in databases}
    for groups in picked.values():
        for candidate in (candidate for group in groups for candidate in group):
            golds[candidate.db_id].append(candidate.query)
    reports: dict[str, SuiteReport] = {}
    with new_folder(target) as part:
        for done, database in enumerate(databases, start=1):
            home = part / "database" / database.db_id
            home.mkdir(parents=True)
            main = home / f"{database.db_id}.sqlite"
            database.write(main)
            reports[database.db_id] = make_suite(
                main,
                sorted(set(golds[database.db_id])),
                variants=VARIANTS,
                candidates=_CANDIDATES,
                yardstick=_YARDSTICK,
                settled=True,
            )
            if on_step:
                on_step(done, len(databases))
        ties = {(db_id, query) for db_id, report in reports.items() for query in report.tied_golds}
        splits = finish(picked, open_golds=ties)
        for split, tasks in splits.items():
            write_tasks(part / f"{split}.parquet", tasks)
        write_manifest(
            part,
            Manifest(
                origin=Origin.MINI,
                rows={f"{split}.parquet": len(tasks) for split, tasks in splits.items()},
                settings={"variants": VARIANTS, "unseen_databases": list(UNSEEN)},
                notes=("validation shares its databases with train, not its wordings and constants",),
            ),
        )
    kept = {
        db_id: {task.query for tasks in splits.values() for task in tasks if task.db_id == db_id} for db_id in golds
    }
    return MiniReport(
        folder=target,
        tasks={split: len(tasks) for split, tasks in splits.items()},
        databases=len(databases),
        variants=VARIANTS,
        power=reduce(add, (report.tally.power(kept[db_id]) for db_id, report in reports.items())),
    )


def pattern_of(task_id: str) -> str:
    """The pattern family of a mini task: `count_all` for `mini-train-0001-count_all`.

    Raises:
        ValueError: the id does not belong to the mini benchmark.
    """
    parts = task_id.split("-", 3)
    if len(parts) != 4 or parts[0] != "mini":
        raise ValueError(f"task id {task_id!r} is not of the mini benchmark; expected mini-<split>-<row>-<pattern>")
    return parts[3]
