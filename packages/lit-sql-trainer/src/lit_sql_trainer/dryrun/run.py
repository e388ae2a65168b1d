"""Runs the tutorial's dry run: a few tasks through the library's own `Trainer.dev` and `Baseline`, no training.

It uses the real agent, runners, tracer, adapter and judge. The model is the endpoint in OPENAI_API_BASE when that is
set, else the profile's model in the local server. It prints what happened to each task, then a checklist.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lit_sql_trainer.data import embedded_data, load_data
from lit_sql_trainer.dryrun.stand_in import rehearsable
from lit_sql_trainer.machine import environment
from lit_sql_trainer.machine.endpoints import endpoint_of_environment, served_model
from lit_sql_trainer.models.folder import model_source
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.rollouts.canary import has_tokens
from lit_sql_trainer.runs.folder import read_lines
from lit_sql_trainer.runs.waiting import waiting

if TYPE_CHECKING:
    import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

    from lit_sql_trainer.agent.agent import RolloutRecord
    from spider_data import DatabaseCatalog

TASKS = 10
PROMPT = "gen_ai.prompt.0.content"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the checklist."""

    passed: bool
    what: str
    found: str
    remedy: str
    needed: bool = True
    """Whether the dry run fails without it."""

    def line(self) -> str:
        """The check as one printed line, with its remedy when it did not pass."""
        if self.passed:
            return f"[ok]   {self.what}: {self.found}"
        return f"[{'FAIL' if self.needed else 'warn'}] {self.what}: {self.found}. {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTrace:
    """What one task left in the store and in the record."""

    record: RolloutRecord
    """Its line of `rollouts.jsonl`."""
    spans: dict[str, int]
    """Number of spans by name."""
    tables: int
    """Number of tables of its database."""
    tables_seen: int
    """Number of these tables that the prompts name."""
    trained_calls: int
    trained_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The dry run's findings."""

    tasks: tuple[TaskTrace, ...]
    checklist: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check that training needs passed."""
        return all(check.passed or not check.needed for check in self.checklist)


def dry_run(
    profile: Profile, *, tasks: int = TASKS, port: int | None = None, echo: Callable[[str], None] = print
) -> DryRun:
    """Run `tasks` validation tasks and print the result of each.

    Raises:
        TrainerError: data, model, environment or endpoint cannot be used.
    """
    environment.check_versions()
    environment.check_start_method()
    endpoint = endpoint_of_environment()
    profile, difference = rehearsable(profile, endpoint=endpoint)
    data = load_data(profile.data or embedded_data(), validation_tasks=tasks)
    model = served_model(endpoint, profile.model) if endpoint else model_source(profile.model)
    environment.guard_environment(local_model=not endpoint and Path(model).is_dir())
    where = endpoint or "the local server"
    if difference:
        echo(difference)
    echo(f"dry run of {profile.name!r}: {len(data.validation)} tasks of {data.folder}, model {model} at {where}")

    with waiting("importing Agent-lightning"):
        from lit_sql_trainer.agent.agent import LitSQLAgent, RolloutRecord
        from lit_sql_trainer.dryrun.rehearsal import Rehearsal
        from lit_sql_trainer.rollouts.trainer import make_store, make_trainer

    with tempfile.TemporaryDirectory(prefix="lit-sql-dev-") as folder:
        environment.quiet_loggers(Path(folder) / "library.log")
        rollouts = Path(folder) / "rollouts.jsonl"
        store = make_store(profile.max_span_megabytes)
        trainer = make_trainer(
            profile, algorithm=Rehearsal(profile, model=model, endpoint=endpoint), store=store, port=port
        )
        agent = LitSQLAgent(data=data.folder, settings=profile.rollout, rollouts_file=rollouts)
        trainer.dev(agent, val_dataset=[task.to_row() for task in data.validation])
        records = [RolloutRecord(**line) for line in read_lines(rollouts)]
        traces = asyncio.run(_traces(records, store, trainer.adapter, agent.catalog))
    for trace in traces:
        echo(_describe_task(trace))
    report = DryRun(
        tasks=tuple(traces), checklist=_checklist(traces, len(data.validation), own_endpoint=endpoint is not None)
    )
    for check in report.checklist:
        echo(check.line())
    return report


async def _traces(
    records: Sequence[RolloutRecord],
    store: agl.LightningStore,
    adapter: agl.TraceAdapter[list[agl.Triplet]],
    catalog: DatabaseCatalog,
) -> list[TaskTrace]:
    found: list[TaskTrace] = []
    for record in sorted(records, key=lambda record: record.task_id):
        spans = list(await store.query_spans(record.rollout_id, attempt_id="latest"))
        triplets = [triplet for triplet in adapter.adapt(spans) if has_tokens(triplet)]
        prompts = [_prompt(span.attributes) for span in spans if PROMPT in span.attributes]
        tables = _tables(catalog.path(record.db_id))
        found.append(
            TaskTrace(
                record=record,
                spans=dict(Counter(span.name for span in spans)),
                tables=len(tables),
                tables_seen=sum(any(table in prompt for prompt in prompts) for table in tables),
                trained_calls=len(triplets),
                trained_tokens=sum(len(triplet.response["token_ids"]) for triplet in triplets),
            )
        )
    return found


def _prompt(attributes: Mapping[str, object]) -> str:
    return "\n".join(str(value) for key, value in attributes.items() if key.startswith("gen_ai.prompt."))


def _describe_task(trace: TaskTrace) -> str:
    record = trace.record
    spans = ", ".join(f"{count} {name}" for name, count in trace.spans.items())
    lines = [f"{record.task_id} on {record.db_id}: {sum(trace.spans.values())} spans ({spans})"]
    lines += [f"    turn {turn}: {sql or '(no SQL in the reply)'}" for turn, sql in enumerate(record.sql, start=1)]
    if record.failed:
        return "\n".join([*lines, f"    failed, would be dropped: {record.failed}"])
    lines.append(
        f"    {record.outcome}, reward {record.reward:g}; {trace.trained_calls} calls and "
        f"{trace.trained_tokens} tokens to train on; {record.seconds:.2f} s"
    )
    return "\n".join(lines)


def _checklist(traces: Sequence[TaskTrace], tasks: int, *, own_endpoint: bool) -> tuple[Check, ...]:
    ended = [trace for trace in traces if not trace.record.failed]
    with_schema = sum(trace.tables_seen > 0 for trace in ended)
    tables, tables_seen = sum(trace.tables for trace in ended), sum(trace.tables_seen for trace in ended)
    executed = sum(trace.record.turns > 0 for trace in ended)
    traced = sum(trace.trained_tokens > 0 for trace in ended)
    rewarded = sum((trace.record.reward or 0) > 0 for trace in ended)
    first_fault = next((trace.record.failed for trace in traces if trace.record.failed), "")
    return (
        Check(
            passed=len(ended) == tasks,
            what="rollouts ended",
            found=f"{len(ended)} of {tasks}",
            remedy=first_fault or "Try again with a longer rollout.deadline_s and read what the runners print",
        ),
        Check(
            passed=0 < with_schema == len(ended),
            what="schema seen",
            found=f"in the prompts of {with_schema} of {len(ended)}, {tables_seen} of {tables} tables in all",
            remedy="Raise rollout.prompt_budget_tokens, or look at the data with `spider-data check`",
        ),
        Check(
            passed=executed > 0,
            what="SQL executed",
            found=f"in {executed} of {len(ended)}",
            remedy="The model writes no SQL in the form that the prompt asks for: try an instruct model",
        ),
        Check(
            passed=0 < traced == len(ended),
            what="tokens traced",
            found=f"in {traced} of {len(ended)}",
            remedy="Training needs token ids in the answers, as the local server and vLLM under training give them",
            needed=not own_endpoint,
        ),
        Check(
            passed=rewarded > 0,
            what="rewards non-zero",
            found=f"in {rewarded} of {len(ended)}",
            remedy="With no reward at all there is nothing to learn from: start from a stronger model",
        ),
    )


def _tables(file: Path) -> list[str]:
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return [str(name) for (name,) in rows]
