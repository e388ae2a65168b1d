"""The questions of a data folder: their gold queries, and the prompts that the agent makes of them."""

from __future__ import annotations

from collections.abc import Iterator

from lit_sql_trainer.preflight.findings import Family, Finding, counted, failed, passed, share, some, warned
from lit_sql_trainer.preflight.golds import GoldAudit, Trouble, audit_golds
from lit_sql_trainer.preflight.prompts import PromptAudit, audit_prompts
from lit_sql_trainer.preflight.subject import Progress, Subject
from sql_graph import DatabaseError
from sql_reward import DatabaseUnreadableError, MachineError, StalledError

MOST_BLIND = 0.05
"""Share of questions with a gold table out of sight above which training is not worth starting."""
NO_TASKS = "not tried: there are no tasks with a database"


def check_golds(subject: Subject, progress: Progress, budget_s: float) -> Iterator[Finding]:
    """Check every gold query by judging it against itself."""
    catalog, tasks = subject.catalog, subject.answerable
    if catalog is None or not tasks:
        yield warned(Family.GOLDS, "queries", "not tried: there are no tasks with a database", "Mend the data first")
        return
    try:
        audit = audit_golds(
            tasks,
            catalog,
            budget_s=budget_s,
            on_gold=lambda done, total: progress(f"running gold query {done} of {total}"),
        )
    except (DatabaseUnreadableError, StalledError) as error:
        yield failed(Family.GOLDS, "queries", str(error), f"See `spider-data check {subject.folder}`")
        return
    except MachineError as error:
        yield failed(Family.GOLDS, "queries", str(error), "Make room on this machine, then check again")
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
    """Check that prompts show the tables that the gold queries read, and leave room for a reply."""
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
