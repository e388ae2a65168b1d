"""The data folder: its splits, and its files with their checksums."""

from __future__ import annotations

from collections.abc import Iterator

from lit_sql_trainer.errors import EmptySplitError, MissingSplitError, TrainerError
from lit_sql_trainer.preflight.findings import Family, Finding, counted, failed, passed, some, warned
from lit_sql_trainer.preflight.subject import SPLITS, Progress, Subject
from spider_data import SpiderDataError, SpiderTask, check_data

NEEDED = ("train", "validation")
KINDS = {
    "missing": "databases",
    "altered": "checksums",
    "damaged": "files",
    "bad tasks": "task files",
    "duplicate": "splits",
    "shared": "splits",
}
"""The subject of each kind of fault that `spider-data check` finds."""


def check_splits(subject: Subject) -> Iterator[Finding]:
    """Check that the task files exist, can be read and are not empty, and that their databases exist."""
    try:
        folder = subject.folder
    except TrainerError as error:
        yield failed(Family.DATA, "folder", str(error), "Name a data folder with --data")
        return
    if not folder.is_dir():
        remedy = "Make one with `spider-data convert`, `spider-data import` or `spider-data mini`"
        yield failed(Family.DATA, "folder", f"no data folder {str(folder)!r}", remedy)
        return
    sizes: list[str] = []
    for split in SPLITS:
        if tasks := subject.tasks.get(split):
            sizes.append(f"{split} {len(tasks):,}")
            continue
        match subject.problems[split]:
            case MissingSplitError():
                found = f"not in {folder}"
                remedy = "Make it with `spider-data convert` (Spider) or `spider-data import` (your own questions)"
            case EmptySplitError():
                found, remedy = "holds no tasks", "Give this split some questions"
            case problem:
                found, remedy = str(problem), "Make the file again"
        name = f"{split}.parquet"
        yield (failed if split in NEEDED else warned)(Family.DATA, name, found, remedy, [name])
    if sizes:
        yield passed(Family.DATA, "tasks", ", ".join(sizes))
    yield from _databases(subject)


def _databases(subject: Subject) -> Iterator[Finding]:
    wanted = {task.db_id for tasks in subject.tasks.values() for task in tasks}
    known = set(subject.catalog.ids) if subject.catalog else set[str]()
    missing = sorted(wanted - known)
    if missing:
        yield failed(
            Family.DATA,
            "databases",
            f"{len(missing)} of {len(wanted)} missing: {some(missing)}",
            f"Put each at database/<db_id>/<db_id>.sqlite under {subject.folder}, or make the folder again",
            missing,
        )
    elif wanted:
        yield passed(Family.DATA, "databases", f"all {len(wanted)} that the tasks name")


def check_files(subject: Subject, progress: Progress) -> Iterator[Finding]:
    """Compare every database file with the official checksums where they apply; search the others for damage."""
    if subject.catalog is None:
        return  # reported with the splits
    try:
        report = check_data(subject.folder, on_file=lambda name: progress(f"reading {name}"))
    except SpiderDataError as error:
        yield failed(Family.DATA, "files", str(error), f"See `spider-data check {subject.folder}`")
        return
    remedy = f"See all of it with `spider-data check {subject.folder}`; convert or import again"
    kinds: dict[str, list[str]] = {}
    for finding in report.faults:
        if str(finding.kind) == "no database":
            continue  # reported with the splits
        kinds.setdefault(KINDS.get(str(finding.kind), str(finding.kind)), []).append(
            f"{finding.subject}: {finding.detail}"
        )
    for what, texts in kinds.items():
        yield failed(Family.DATA, what, some(texts, most=3), remedy, texts)
    if not report.faults:
        verified = f", {counted(report.verified, 'file')} as the official checksums say" if report.official else ""
        files = counted(report.databases + report.variants, "database file")
        yield passed(Family.DATA, "files", f"{files} readable and whole{verified}")
    empty = [finding.subject for finding in report.findings if str(finding.kind) == "empty"]
    used = {task.db_id for task in _all(subject)}
    if hollow := sorted(used.intersection(empty)):
        remedy = "Leave their tasks out: there, every query without a result is right"
        yield warned(Family.DATA, "empty databases", f"no table has a row in {some(hollow)}", remedy, hollow)


def _all(subject: Subject) -> list[SpiderTask]:
    return [task for tasks in subject.tasks.values() for task in tasks]
