"""Drops useless tasks: writes a new data folder without tasks that teach nothing or the wrong thing, and says why.

The first pass looks at the gold query alone: it fails, is too slow, does not match itself, finds nothing, or leaves its
own answer open. The second pass needs a model that has answered the rest several times, and drops the tasks that it
never or always solves: a group without variance gives no gradient. A stated share of these two stays, so that the data
keep their hardest and easiest tasks. The same inputs give the same bytes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lit_sql_trainer.errors import ConfigError, DataError
from lit_sql_trainer.evaluation.questions import Questions
from lit_sql_trainer.evaluation.records import AnswerRecord
from lit_sql_trainer.evaluation.summary import answered
from lit_sql_trainer.preflight.golds import Trouble, audit_golds
from lit_sql_trainer.runs.folder import write_json
from spider_data import DatabaseCatalog, Manifest, Origin, SpiderTask, read_manifest, write_tasks

MANIFEST = "manifest.json"
DROPPED = "dropped.jsonl"


class Reason(StrEnum):
    """Why a task is dropped: the first reason that applies, in this order."""

    GOLD_FAILS = "gold fails"
    GOLD_TIMES_OUT = "gold times out"
    GOLD_UNSTABLE = "gold does not match itself"
    GOLD_EMPTY = "gold result is empty"
    GOLD_TIED = "gold leaves its answer open (tie)"
    NEVER_SOLVED = "never solved"
    ALWAYS_SOLVED = "always solved"


OF_TROUBLE = {
    Trouble.FAILS: Reason.GOLD_FAILS,
    Trouble.TIMES_OUT: Reason.GOLD_TIMES_OUT,
    Trouble.UNSTABLE: Reason.GOLD_UNSTABLE,
    Trouble.EMPTY: Reason.GOLD_EMPTY,
    Trouble.TIED: Reason.GOLD_TIED,
}
BY_MODEL = (Reason.NEVER_SOLVED, Reason.ALWAYS_SOLVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curation:
    """The decision about each task of one split."""

    questions: Questions
    dropped: Mapping[str, Reason]
    """The dropped tasks and their reasons, by task id."""
    spared: Mapping[str, Reason]
    """The tasks that stay although a reason applies, as the stated share, by task id."""

    @property
    def kept(self) -> tuple[SpiderTask, ...]:
        """The tasks that stay, in their order."""
        return tuple(task for task in self.questions.tasks if task.task_id not in self.dropped)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many tasks each reason applies to, and how many of them are dropped and kept."""
        dropped, spared = Counter(self.dropped.values()), Counter(self.spared.values())
        return {
            str(reason): {
                "found": dropped[reason] + spared[reason],
                "dropped": dropped[reason],
                "kept": spared[reason],
            }
            for reason in Reason
        }


def bad_golds(
    questions: Questions, *, on_gold: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Reason]:
    """The tasks whose gold query teaches the wrong thing, by id; every file of the suite is tried."""
    audit = audit_golds(questions.tasks, DatabaseCatalog(questions.folder), budget_s=float("inf"), on_gold=on_gold)
    return {
        task_id: reason for trouble, reason in reversed(OF_TROUBLE.items()) for task_id in audit.tasks_with(trouble)
    }


def extremes(records: Sequence[AnswerRecord]) -> dict[str, Reason]:
    """The tasks that the model never or always solves, by id; `records` hold every sample of each.

    Raises:
        DataError: a sample is missing because our side failed.
    """
    failed = [record for record in records if record.failed]
    if failed:
        raise DataError(
            f"{len(failed)} answers are missing for reasons of ours, such as {failed[0].failed}: run the same command "
            f"again to ask for them"
        )
    found: dict[str, Reason] = {}
    for task_id, group in answered(records).items():
        solved = {record.final.suite for record in group}
        if len(solved) == 1:
            found[task_id] = Reason.ALWAYS_SOLVED if True in solved else Reason.NEVER_SOLVED
    return found


def check_share(keep_share: float) -> None:
    """Check that the share is between 0 and 1.

    Raises:
        ConfigError: it is not.
    """
    if not 0 <= keep_share <= 1:
        raise ConfigError(f"the share to keep must be between 0 and 1, got {keep_share:g}")


def check_target(out: Path) -> None:
    """Check that a new data folder can be made at `out`.

    Raises:
        ConfigError: `out` exists and is not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{str(out)!r} exists and is not empty: name a new folder")


def decide(questions: Questions, reasons: Mapping[str, Reason], *, keep_share: float = 0.1, seed: int = 0) -> Curation:
    """Drop every task with a reason, but keep this share of those that the model never or always solves.

    Which of them stay depends only on the seed and on their ids.

    Raises:
        ConfigError: the share is not between 0 and 1.
    """
    check_share(keep_share)
    spared: dict[str, Reason] = {}
    for reason in BY_MODEL:
        ids = sorted(
            (task_id for task_id, found in reasons.items() if found is reason), key=lambda each: _rank(seed, each)
        )
        spared |= dict.fromkeys(ids[: round(keep_share * len(ids))], reason)
    dropped = {task_id: reason for task_id, reason in reasons.items() if task_id not in spared}
    return Curation(questions=questions, dropped=dropped, spared=spared)


def write_curated(out: Path, curation: Curation, *, settings: Mapping[str, object], copy: bool = False) -> Path:
    """Write a new data folder with the curated split and everything else unchanged; return its manifest's path.

    Databases are links to the original files unless `copy` is set. The folder gets its name only when it is complete.

    Raises:
        ConfigError: `out` exists and is not empty.
        DataError: nothing is left of the split, or the folder cannot be written.
    """
    check_target(out)
    if not curation.kept:
        raise DataError(
            f"every task of {curation.questions.split!r} would be dropped: keep a larger share, or other data"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        try:
            part.chmod(0o755)
            _fill(part, curation, settings=settings, copy=copy)
            if out.is_dir():
                out.rmdir()
            part.rename(out)
        finally:
            with suppress(FileNotFoundError):
                shutil.rmtree(part)
    except OSError as error:
        raise DataError(f"cannot write {str(out)!r} ({error.strerror}): choose another folder") from error
    return out / MANIFEST


def _fill(part: Path, curation: Curation, *, settings: Mapping[str, object], copy: bool) -> None:
    source, split = curation.questions.folder, curation.questions.split
    for file in sorted(source.glob("*.parquet")):
        if file.stem != split:
            shutil.copyfile(file, part / file.name)
    write_tasks(part / f"{split}.parquet", curation.kept)
    _databases(source, part, copy=copy)
    lines = [
        {"task_id": task.task_id, "db_id": task.db_id, "reason": str(curation.dropped[task.task_id])}
        for task in curation.questions.tasks
        if task.task_id in curation.dropped
    ]
    (part / DROPPED).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    write_json(part / MANIFEST, _manifest(curation, settings))


def _databases(source: Path, part: Path, *, copy: bool) -> None:
    """Link or copy every database file of the source."""
    for base in DatabaseCatalog(source).folders:
        for file in sorted(base.glob("*/*.sqlite")):
            place = part / base.name / file.parent.name / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if copy:
                shutil.copyfile(file, place)
            else:
                place.symlink_to(file.resolve())


def _manifest(curation: Curation, settings: Mapping[str, object]) -> dict[str, object]:
    """The source's manifest, updated, in the form that `spider-data check` reads, with the counts added."""
    source, split = curation.questions.folder, curation.questions.split
    before = read_manifest(source) or Manifest(origin=Origin.OWN)
    name = f"{split}.parquet"
    version = importlib.metadata.version("lit-sql-trainer")
    return {
        "origin": str(before.origin),
        "tool": f"lit-sql-trainer {version}",
        "rows": {**before.rows, name: len(curation.kept)},
        "settings": {**before.settings, "curation": dict(settings)},
        "sources": {**before.sources, name: hashlib.sha256((source / name).read_bytes()).hexdigest()},
        "notes": [*before.notes, f"{name} is a selection of {len(curation.questions.tasks)} tasks; see {DROPPED}"],
        "curation": {
            "split": split,
            "before": len(curation.questions.tasks),
            "after": len(curation.kept),
            "reasons": curation.counts(),
        },
    }


def _rank(seed: int, task_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{task_id}".encode(), digest_size=8).digest()
