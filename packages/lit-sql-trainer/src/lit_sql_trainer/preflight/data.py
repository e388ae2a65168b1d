"""The data folder: its splits, its files and checksums, its gold queries, and the prompts made of its questions."""

from __future__ import annotations

from collections.abc import Iterator

from lit_sql_trainer.errors import TrainerError
from lit_sql_trainer.preflight.findings import Family, Finding, counted, failed, passed, share, some, warned
from lit_sql_trainer.preflight.golds import GoldAudit, Trouble, audit_golds
from lit_sql_trainer.preflight.prompts import PromptAudit, audit_prompts
from lit_sql_trainer.preflight.subject import SPLITS, Progress, Subject
from spider_data import SpiderDataError, SpiderTask, check_data
from sql_graph import DatabaseError
from sql_reward import DatabaseUnreadable, Stalled

NEEDED = ("train", "validation")
MOST_BLIND = 0.05
"""Share of questions with a gold table out of sight above which training is not worth starting."""
NO_TASKS = "not tried: there are no tasks with a database"
KINDS = {
    "missing": "databases",
    "altered": "checksums",
    "damaged": "files",
    "bad tasks": "task files",
    "duplicate": "splits",
    "shared": "splits",
}
"""What each kind of fault of `spider-data check` is about."""


def check_splits(subject: Subject) -> Iterator[Finding]:
    """The task files that training needs: there, readable, not empty, and their databases there."""
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
        tasks = subject.tasks.get(split)
        name = f"{split}.parquet"
        judge = failed if split in NEEDED else warned
        if split in subject.problems:
            yield judge(Family.DATA, name, subject.problems[split], "Make the file again", [name])
        elif tasks is None:
            remedy = "Make it with `spider-data convert` (Spider) or `spider-data import` (your own questions)"
            yield judge(Family.DATA, name, f"not in {folder}", remedy, [name])
        elif not tasks:
            yield judge(Family.DATA, name, "holds no tasks", "Give this split some questions", [name])
        else:
            sizes.append(f"{split} {len(tasks):,}")
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
    """Every database file, held against the official checksums where they apply and searched for damage elsewhere."""
    try:
        report = check_data(subject.folder, on_file=lambda name: progress(f"reading {name}"))
    except SpiderDataError as error:
        yield failed(Family.DATA, "files", str(error), f"See `spider-data check {subject.folder}`")
        return
    remedy = f"See all of it with `spider-data check {subject.folder}`; convert or import again"
    kinds: dict[str, list[str]] = {}
    for finding in report.faults:
        if str(finding.kind) == "no database":
            continue  # told with the splits
        kinds.setdefault(KINDS.get(str(finding.kind), str(finding.kind)), []).append(
            f"{finding.subject}: {finding.detail}"
        )
    for what, told in kinds.items():
        yield failed(Family.DATA, what, some(told, most=3), remedy, told)
    if not report.faults:
        verified = f", {counted(report.verified, 'file')} as the official checksums say" if report.official else ""
        files = counted(report.databases + report.variants, "database file")
        yield passed(Family.DATA, "files", f"{files} readable and whole{verified}")
    empty = [finding.subject for finding in report.findings if str(finding.kind) == "empty"]
    used = {task.db_id for task in _all(subject)}
    if hollow := sorted(used.intersection(empty)):
        remedy = "Leave their tasks out: there, every query without a result is right"
        yield warned(Family.DATA, "empty databases", f"no table has a row in {some(hollow)}", remedy, hollow)


def check_golds(subject: Subject, progress: Progress, budget_s: float) -> Iterator[Finding]:
    """Every gold query, judged against itself."""
    catalog, tasks = subject.catalog, subject.answerable
    if catalog is None or not tasks:
        yield warned(
            Family.GOLDS, "gold queries", "not tried: there are no tasks with a database", "Mend the data first"
        )
        return
    try:
        audit = audit_golds(
            tasks,
            catalog,
            budget_s=budget_s,
            on_gold=lambda done, total: progress(f"running gold query {done} of {total}"),
        )
    except (DatabaseUnreadable, Stalled) as error:
        yield failed(Family.GOLDS, "gold queries", str(error), f"See `spider-data check {subject.folder}`")
        return
    yield from _told_golds(audit)


def _told_golds(audit: GoldAudit) -> Iterator[Finding]:
    for trouble, what, remedy in (
        (Trouble.FAILS, "broken", "Correct these queries, or leave their tasks out with `lit-sql curate`"),
        (Trouble.TIMES_OUT, "too slow", "Add an index to the database, or leave these tasks out with `lit-sql curate`"),
        (Trouble.UNSTABLE, "unstable", "Take the clock and random() out of these queries"),
    ):
        tasks = audit.tasks_with(trouble)
        details = {task: each.detail for each in audit.faults if each.trouble is trouble for task in each.tasks}
        if tasks:
            named = some([f"{task} ({details[task]})" if details[task] else task for task in tasks], most=3)
            yield failed(Family.GOLDS, what, f"{share(len(tasks), audit.tasks)} tasks: {named}", remedy, tasks)
    fine = audit.looked_at - sum(fault.trouble not in (Trouble.EMPTY, Trouble.TIED) for fault in audit.faults)
    if fine:
        queries = counted(audit.looked_at, "distinct query", "distinct queries")
        told = f"{fine:,} of {queries} on every file of their suite, in {audit.seconds:.0f} s"
        yield passed(Family.GOLDS, "run", told)
    for trouble, what, why in (
        (Trouble.EMPTY, "empty answers", "any query without a result matches them"),
        (Trouble.TIED, "ties", "equal sort keys leave their answer open, so a right query can look wrong"),
    ):
        tasks = audit.tasks_with(trouble)
        if tasks:
            told = f"{share(len(tasks), audit.tasks)} tasks, such as {some(tasks, most=2)}: {why}"
            yield warned(Family.GOLDS, what, told, "Leave them out with `lit-sql curate`", tasks)
        else:
            yield passed(Family.GOLDS, what, "none")
    if audit.looked_at < audit.golds:
        told = f"{audit.golds - audit.looked_at:,} of {audit.golds:,} not tried: the time was over"
        yield warned(Family.GOLDS, "time", told, "Give them more with --gold-seconds")


def check_prompts(subject: Subject, progress: Progress) -> Iterator[Finding]:
    """Whether the prompts show the tables that the gold queries read, and leave room for a reply."""
    catalog, tasks = subject.catalog, subject.answerable
    if catalog is None or not tasks:
        yield warned(Family.PROMPTS, "schema", NO_TASKS, "Mend the data first")
        return
    try:
        audit = audit_prompts(
            tasks,
            catalog,
            subject.profile.rollout,
            on_question=lambda done, total: progress(f"writing prompt {done} of {total}"),
        )
    except DatabaseError as error:
        yield failed(Family.PROMPTS, "schema", str(error), f"See `spider-data check {subject.folder}`")
        return
    yield from _told_prompts(audit, subject.profile.rollout.prompt_budget_tokens)


def _told_prompts(audit: PromptAudit, budget: int) -> Iterator[Finding]:
    remedy = "Raise rollout.prompt_budget_tokens (and the model's context), or split the database"
    looked = audit.looked_at
    sampled = f"; {looked:,} of {audit.questions:,} questions looked at" if looked < audit.questions else ""
    if audit.impossible:
        told = f"{share(len(audit.impossible), looked)} questions leave no room for a schema within {budget} tokens"
        yield failed(Family.PROMPTS, "budget", told, remedy, audit.impossible)
    told = (
        f"truncated for {share(len(audit.truncated), looked)} questions; gold tables shown: "
        f"{audit.gold_tables_shown:,} of {audit.gold_tables:,} ({100 * audit.recall:.1f} %){sampled}"
    )
    if audit.blind:
        told += f"; a gold table is out of sight in {some(audit.blind, most=2)}"
        judge = failed if len(audit.blind) > MOST_BLIND * looked else warned
        yield judge(Family.PROMPTS, "schema", told, remedy, audit.blind)
    elif audit.truncated:
        yield warned(Family.PROMPTS, "schema", told, remedy, audit.truncated)
    else:
        yield passed(
            Family.PROMPTS, "schema", f"whole in all {looked:,} prompts, at most {audit.longest_tokens} tokens"
        )


def _all(subject: Subject) -> list[SpiderTask]:
    return [task for tasks in subject.tasks.values() for task in tasks]
