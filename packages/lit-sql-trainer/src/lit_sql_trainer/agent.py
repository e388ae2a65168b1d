"""The bridge between Agent-lightning and the three leaves: one task in, one float out.

A rollout opens a task, lets the graph write SQL with the model that the library hands over, judges the answer against
the gold query, and returns the reward once (it never emits: the library would count it twice). The gold query stays
in this function; the graph has no field for it. What the policy does wrong becomes its reward. What we do wrong
(endpoint, database, gold) raises, so that the rollout fails visibly, is dropped, and is counted.

This module imports the library and is therefore imported late (see `runtime.guard_environment`).
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

from lit_sql_trainer.calls import BoundedChat, stable_seed
from lit_sql_trainer.config import RolloutSettings
from lit_sql_trainer.errors import RolloutError
from lit_sql_trainer.interrupt import die_with_parent
from lit_sql_trainer.local.seeds import SAMPLING_SEED
from lit_sql_trainer.runs import append_line
from spider_data import DatabaseCatalog, SpiderTask
from sql_graph import SqlAnswer, SqlDatabase, answer, open_chat
from sql_reward import GoldCache, GoldSqlError, Outcome, Verdict, judge, reward_of

MODEL_RESOURCE = "main_llm"
"""The name under which every algorithm, VERL included, publishes the model."""

Row = Mapping[str, Any]


class LitSQLAgent(agl.LitAgent[dict[str, Any]]):
    """Agent-lightning's view of the SQL agent.

    Args:
        data: the data folder whose databases the tasks name.
        settings: turns, prompt, sampling and time limits of a rollout.
        rollouts_file: where each rollout leaves one JSON line; None leaves none.

    A task is a row of `SpiderTask.to_row()`. An algorithm may put `step`, `sample` and a sampling seed into the
    rollout's metadata; without a seed there, one is made of the task, so that the same call gives the same reply.
    """

    def __init__(
        self, *, data: Path, settings: RolloutSettings | None = None, rollouts_file: Path | None = None
    ) -> None:
        super().__init__()
        self.catalog = DatabaseCatalog(data)
        self.settings = settings or RolloutSettings()
        self.rollouts_file = rollouts_file
        # A gold query runs once per runner process, whatever the size of the group.
        self._gold = GoldCache(max_bytes=64 * 2**20)
        self._databases: dict[str, SqlDatabase] = {}

    def set_runner(self, runner: agl.Runner[dict[str, Any]]) -> None:
        """Called by the library in each runner process, before its first rollout."""
        super().set_runner(runner)
        if multiprocessing.parent_process() is not None:
            die_with_parent()  # a killed run must not leave runners that poll for its store forever

    def rollout(self, task: dict[str, Any], resources: agl.NamedResources, rollout: agl.Rollout) -> float:
        """Answer one task and return its reward.

        Raises:
            RolloutError: this rollout failed for a reason that is not the policy's.
        """
        record = RolloutRecord.of(task, rollout)
        started = time.monotonic()
        try:
            sql_task = SpiderTask.from_row(task)
            sql_answer = self._answer(sql_task, resources, rollout, record)
            verdict = judge(sql_answer.sql, sql_task.query, self.catalog.suite(sql_task.db_id), cache=self._gold)
            record.judged(sql_answer, verdict, reward_of(verdict))
        except Exception as error:  # noqa: BLE001  whatever it is: recorded, then raised as a failed rollout
            record.failed = describe(error)
            quotes_gold = isinstance(error, GoldSqlError)  # then it must not be chained: tracebacks are logged
            raise RolloutError(f"rollout of task {record.task_id!r} failed: {record.failed}") from (
                None if quotes_gold else error
            )
        finally:
            record.seconds = round(time.monotonic() - started, 3)
            if self.rollouts_file is not None:
                append_line(self.rollouts_file, asdict(record))
        return cast("float", record.reward)

    def _answer(
        self, task: SpiderTask, resources: agl.NamedResources, rollout: agl.Rollout, record: RolloutRecord
    ) -> SqlAnswer:
        handler = self.tracer.get_langchain_handler()  # one per rollout: it opens a session span of its own
        return answer(
            task.question,
            database=self._database(task.db_id),
            chat=self._chat(resources[MODEL_RESOURCE], rollout, record),
            max_turns=self.settings.max_turns,
            callbacks=() if handler is None else (handler,),
            check=self.settings.check,
            style=self.settings.style,
            prompt_budget_tokens=self.settings.prompt_budget_tokens,
        )

    def _chat(self, llm: agl.Resource, rollout: agl.Rollout, record: RolloutRecord) -> BoundedChat:
        if not isinstance(llm, agl.LLM):
            raise RolloutError(f"resource {MODEL_RESOURCE!r} is a {type(llm).__name__}, expected an LLM")
        attempt = cast("agl.AttemptedRollout", rollout).attempt
        sampling = self.settings.sampling(llm.sampling_parameters, greedy=rollout.mode != "train")
        chat = _open_chat(
            llm.model,
            llm.get_base_url(rollout.rollout_id, attempt.attempt_id),
            llm.api_key,
            json.dumps(sampling, sort_keys=True),
            self.settings.request_timeout_s,
            self.settings.max_retries,
        )
        seed = (rollout.metadata or {}).get(SAMPLING_SEED)
        if seed is None:
            seed = stable_seed(record.task_id, record.step, record.sample)
        return BoundedChat(chat, deadline_s=self.settings.deadline_s, seed=int(seed))

    def _database(self, db_id: str) -> SqlDatabase:
        """The agent's view of a database; its schema is read once per runner process."""
        if db_id not in self._databases:
            self._databases[db_id] = SqlDatabase(self.catalog.path(db_id))
        return self._databases[db_id]


@dataclass(kw_only=True, slots=True)
class RolloutRecord:
    """One line of `rollouts.jsonl`. It has no gold, neither query nor rows."""

    task_id: str
    db_id: str
    mode: str
    step: int
    sample: int
    rollout_id: str
    turns: int = 0
    sql: list[str | None] = field(default_factory=list[str | None])
    """What was run at each turn; None where a reply held no SQL."""
    stop: str = ""
    outcome: str = ""
    detail: str = ""
    databases_passed: int = 0
    databases_total: int = 0
    reward: float | None = None
    seconds: float = 0.0
    failed: str = ""
    """Why the rollout is dropped; empty when it counts."""

    @classmethod
    def of(cls, task: Row, rollout: agl.Rollout) -> RolloutRecord:
        metadata = rollout.metadata or {}
        return cls(
            task_id=str(task.get("task_id", "")),
            db_id=str(task.get("db_id", "")),
            mode=rollout.mode or "",
            step=int(metadata.get("step", 0)),
            sample=int(metadata.get("sample", 0)),
            rollout_id=rollout.rollout_id,
        )

    def judged(self, answer: SqlAnswer, verdict: Verdict, reward: float) -> None:
        self.turns, self.stop = answer.turns, str(answer.stop)
        self.sql = [attempt.sql for attempt in answer.attempts]
        self.outcome = str(verdict.outcome)
        # A mismatch is described by its first differing row, which is the gold's.
        self.detail = "" if verdict.outcome is Outcome.MISMATCH else verdict.detail
        self.databases_passed, self.databases_total = verdict.databases_passed, verdict.databases_total
        self.reward = reward


def describe(error: BaseException) -> str:
    """One line about an error of ours: its type and the first line of its message, without a gold query."""
    if isinstance(error, GoldSqlError):  # its own message quotes the query
        return f"GoldSqlError: the gold query gives no result on {error.database.name}: {error.reason}"
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


@lru_cache(maxsize=64)
def _open_chat(
    model: str,
    base_url: str,
    api_key: str | None,
    sampling: str,
    timeout_s: float,
    retries: int,
) -> Any:
    """One client per endpoint and sampling (as JSON): opening one costs more than a small model's reply."""
    return open_chat(
        model=model,
        base_url=base_url,
        api_key=api_key,
        sampling_parameters=json.loads(sampling),
        timeout_s=timeout_s,
        max_retries=retries,
    )
