"""The task part of a check: schema, databases, duplicates and shared databases across splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from spider_data.catalog import DatabaseCatalog
from spider_data.check.findings import Finding, Kind, fault, note
from spider_data.errors import SchemaMismatchError
from spider_data.manifest import Manifest, Origin
from spider_data.parquet import read_tasks
from spider_data.storage import MAKE_DATA
from spider_data.task import SpiderTask

Tasks = Mapping[str, Sequence[SpiderTask]]
"""Task files by stem."""

EXPECTED = ("train", "validation", "test")
"""The files that every data folder has, whatever its origin."""

_POOL = ("train_spider", "train_others")
"""Spider's training files: `train` and `validation` are parts of them, so they may share rows."""


def read_folder(root: Path) -> tuple[dict[str, list[SpiderTask]], list[Finding]]:
    """Every task file of a folder by stem, and a finding for each that cannot be read."""
    tasks: dict[str, list[SpiderTask]] = {}
    findings: list[Finding] = []
    for path in sorted(root.glob("*.parquet")):
        try:
            tasks[path.stem] = read_tasks(path)
        except SchemaMismatchError as error:
            findings.append(fault(Kind.BAD_TASKS, path.name, str(error)))
    return tasks, findings


def check_tasks(tasks: Tasks, manifest: Manifest | None, *, official: bool) -> list[Finding]:
    """Collect the faults within each task file and between task files."""
    findings: list[Finding] = []
    if not tasks:
        return [note(Kind.NO_TASKS, "*.parquet", f"no task files here; {MAKE_DATA}")]
    missing = [stem for stem in EXPECTED if stem not in tasks]
    findings += [note(Kind.NO_TASKS, f"{stem}.parquet", "missing; some commands need it") for stem in missing]
    for stem, rows in tasks.items():
        findings += _one_file(stem, rows, manifest)
    by_database = official or (
        manifest is not None and (manifest.origin is Origin.SPIDER or manifest.settings.get("split_by") == "database")
    )
    for one, other in _pairs(tasks):
        findings += _between(tasks, one, other, by_database=by_database)
    return findings


def check_databases(tasks: Tasks, catalog: DatabaseCatalog, reported: Collection[str]) -> list[Finding]:
    """Databases that tasks name and that do not exist, without those already `reported`."""
    ids = set(catalog.ids)
    wanted: dict[str, Counter[str]] = {}
    for stem, rows in tasks.items():
        for task in rows:
            if task.db_id not in ids and task.db_id not in reported:
                wanted.setdefault(task.db_id, Counter())[stem] += 1
    return [
        fault(
            Kind.NO_DATABASE, db_id, f"needed by {', '.join(f'{stem}.parquet' for stem in count)}", max(count.values())
        )
        for db_id, count in sorted(wanted.items())
    ]


def _one_file(stem: str, rows: Sequence[SpiderTask], manifest: Manifest | None) -> list[Finding]:
    name = f"{stem}.parquet"
    findings: list[Finding] = []
    stated = manifest.rows.get(name) if manifest else None
    if stated is not None and stated != len(rows):
        findings.append(fault(Kind.ALTERED, name, f"has {len(rows)} rows, the manifest says {stated}"))
    twice = [task_id for task_id, count in Counter(task.task_id for task in rows).items() if count > 1]
    if twice:
        findings.append(fault(Kind.BAD_TASKS, name, f"{len(twice)} task ids occur twice, such as {twice[0]!r}"))
    silent = sum(not task.question.strip() for task in rows)
    if silent:
        findings.append(note(Kind.NO_QUESTION, name, "tasks without a question text", silent))
    return findings


def _pairs(tasks: Tasks) -> list[tuple[str, str]]:
    """Pairs of files that must not share a question. The test samples are parts of test and are left out."""
    held_out = [stem for stem in ("validation", "dev", "test") if stem in tasks]
    if "test" not in tasks:
        held_out += [stem for stem in ("test_dev_500", "test_dev") if stem in tasks][:1]
    pairs = [("train", other) for other in held_out if "train" in tasks]
    pairs += [(stem, other) for stem in _POOL if stem in tasks for other in held_out if other != "validation"]
    return pairs + list(combinations(held_out, 2))


def _between(tasks: Tasks, one: str, other: str, *, by_database: bool) -> list[Finding]:
    names = f"{one}.parquet, {other}.parquet"
    findings: list[Finding] = []
    same = {_key(task) for task in tasks[one]} & {_key(task) for task in tasks[other]}
    if same:
        db_id, text = min(same)
        findings.append(
            fault(Kind.DUPLICATE, names, f"{len(same)} questions are in both, such as {text!r:.80} on {db_id}")
        )
    shared = {task.db_id for task in tasks[one]} & {task.db_id for task in tasks[other]}
    if shared and by_database:
        findings.append(fault(Kind.SHARED, names, f"{len(shared)} databases are in both, such as {min(shared)!r}"))
    return findings


def _key(task: SpiderTask) -> tuple[str, str]:
    """The key that two tasks share when they ask the same question; the gold query replaces a missing text."""
    return task.db_id, " ".join((task.question.strip() or task.query).casefold().split())
