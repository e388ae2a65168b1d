"""Connects Agent-lightning with the three leaf packages: one task in, one float out.

A rollout opens a task, lets the graph write SQL with the model that the library provides, judges the answer against
the gold query, and returns the reward once (it never emits: the library would count it twice). The gold query stays
in this module; the graph has no field for it. A mistake of the policy becomes its reward. A failure on our side
(endpoint, database, gold) raises, so that the rollout fails visibly, is dropped, and is counted.

Imports the library: import this module late (see `machine.environment`).
"""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

from lit_sql_trainer.agent.answering import Answering, describe
from lit_sql_trainer.errors import RolloutError
from lit_sql_trainer.machine.endpoints import ModelEndpoint
from lit_sql_trainer.machine.environment import redirect_output
from lit_sql_trainer.machine.interrupt import die_with_parent
from lit_sql_trainer.profile.profile import RolloutSettings
from lit_sql_trainer.rollouts.calls import BoundedChat, stable_seed
from lit_sql_trainer.rollouts.wire import FRESH_SEEDS, KEEPS_ALIVE, MODEL_RESOURCE, SAMPLING_SEED
from lit_sql_trainer.runs.folder import LIBRARY_LOG, append_line
from spider_data import SpiderTask
from sql_graph import Attempt, SqlAnswer
from sql_reward import GoldSqlError, Outcome, Verdict, reward_of

MAX_REMARK = 300
"""At most this many characters of an error or of a checker's remark are kept."""

Row = dict[str, str | int]


class LitSQLAgent(agl.LitAgent[Row]):
    """The SQL agent as Agent-lightning runs it.

    Args:
        data: the data folder whose databases the tasks name.
        settings: turns, prompt, sampling and time limits of a rollout.
        rollouts_file: file to which each rollout appends one JSON line; None writes none.

    A task is a row of `SpiderTask.to_row()`. An algorithm may put `step`, `sample` and a sampling seed into the
    rollout's metadata; without a seed, the agent derives one from the task, so that the same call gives the same reply.
    """

    def __init__(
        self, *, data: Path, settings: RolloutSettings | None = None, rollouts_file: Path | None = None
    ) -> None:
        super().__init__()
        self.settings = settings or RolloutSettings()
        self.answering = Answering(data=data, settings=self.settings)
        self.catalog = self.answering.catalog
        self.rollouts_file = rollouts_file

    def set_runner(self, runner: agl.Runner[Row]) -> None:
        """Prepare a runner process; the library calls this before the process's first rollout."""
        super().set_runner(runner)
        if multiprocessing.parent_process() is not None:
            die_with_parent()  # a killed run must not leave runners that poll for its store forever
            if self.rollouts_file is not None:  # the tracer prints failed requests to the terminal, in colours
                redirect_output(self.rollouts_file.with_name(LIBRARY_LOG))

    def rollout(self, task: Row, resources: agl.NamedResources, rollout: agl.Rollout) -> float:
        """Answer one task and return its reward.

        Raises:
            RolloutError: this rollout failed, and the policy did not cause it.
        """
        record = RolloutRecord.of(task, rollout)
        started = time.monotonic()
        try:
            sql_task = SpiderTask.from_row(task)
            sql_answer = self._answer(sql_task, resources, rollout, record)
            verdict = self.answering.judge(sql_task, sql_answer.sql)
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
        return self.answering.answer(
            task,
            chat=self._chat(resources[MODEL_RESOURCE], rollout, record),
            callbacks=() if handler is None else (handler,),
        )

    def _chat(self, llm: agl.Resource, rollout: agl.Rollout, record: RolloutRecord) -> BoundedChat:
        if not isinstance(llm, agl.LLM):
            raise RolloutError(f"resource {MODEL_RESOURCE!r} is a {type(llm).__name__}, expected an LLM")
        attempt = cast("agl.AttemptedRollout", rollout).attempt
        sampling = self.settings.sampling(llm.sampling_parameters, greedy=rollout.mode != "train")
        metadata = rollout.metadata or {}
        endpoint = ModelEndpoint(
            url=llm.get_base_url(rollout.rollout_id, attempt.attempt_id),
            model=llm.model,
            api_key=llm.api_key,
            keeps_alive=bool(metadata.get(KEEPS_ALIVE)),
        )
        seed = metadata.get(SAMPLING_SEED)
        if seed is None:
            seed = stable_seed(record.task_id, record.step, record.sample)
        chat = self.answering.chat(endpoint, sampling=sampling, seed=int(seed))
        chat.fresh_seeds = bool(metadata.get(FRESH_SEEDS))
        return chat


@dataclass(kw_only=True, slots=True)
class RolloutRecord:
    """One line of `rollouts.jsonl`. It has no gold, neither query nor rows."""

    task_id: str
    db_id: str
    mode: str
    step: int
    sample: int
    rollout_id: str
    question: str = ""
    turns: int = 0
    sql: list[str | None] = field(default_factory=list[str | None])
    """The query of each turn; None where a reply held no SQL."""
    path: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    """The result of each turn; see `_turn`."""
    stop: str = ""
    outcome: str = ""
    detail: str = ""
    databases_passed: int = 0
    databases_total: int = 0
    empty_match: bool = False
    """The answer matched and the gold result is empty, so any query with an empty result would match."""
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
            question=str(task.get("question", "")),
        )

    def judged(self, answer: SqlAnswer, verdict: Verdict, reward: float) -> None:
        self.turns, self.stop = answer.turns, str(answer.stop)
        self.sql = [attempt.sql for attempt in answer.attempts]
        self.path = [_turn(attempt) for attempt in answer.attempts]
        self.outcome = str(verdict.outcome)
        # The detail of a mismatch quotes its first differing row, which is the gold's.
        self.detail = "" if verdict.outcome is Outcome.MISMATCH else verdict.detail
        self.databases_passed, self.databases_total = verdict.databases_passed, verdict.databases_total
        self.empty_match = verdict.matched and verdict.gold_empty
        self.reward = reward


def _turn(attempt: Attempt) -> dict[str, object]:
    """One reply as the record keeps it: node, the database's message (no rows), and why the checker rejected it."""
    turn: dict[str, object] = {"node": attempt.node, "status": "cut" if attempt.cut else "", "rows": 0, "seconds": 0.0}
    if attempt.observation is not None:
        seen = attempt.observation
        turn |= {"status": str(seen.status), "rows": seen.row_count, "seconds": round(seen.seconds, 4)}
        if not seen.ran:
            turn["error"] = seen.text[:MAX_REMARK]
    if attempt.feedback:
        turn["feedback"] = attempt.feedback[:MAX_REMARK]
    return turn
