"""Asks one question once and returns a record; a failure that the model did not cause becomes the record's `failed`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lit_sql_trainer.agent.answering import Answering, describe
from lit_sql_trainer.errors import RolloutError
from lit_sql_trainer.evaluation.plan import Sampling
from lit_sql_trainer.evaluation.records import AnswerRecord, Standing
from lit_sql_trainer.machine.endpoints import ModelEndpoint
from lit_sql_trainer.rollouts.calls import stable_seed
from spider_data import SpiderDataError, SpiderTask
from sql_graph import SqlAnswer, SqlGraphError
from sql_reward import Outcome, Rows, SqlRewardError, Verdict, run_sql
from sql_reward.stats import result_digest

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler

FAULTS = (RolloutError, SqlGraphError, SqlRewardError, SpiderDataError)
"""Errors that leave a question without an answer and that the model does not cause: endpoint, database, gold query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question to ask, as the `sample`-th of its samples."""

    task: SpiderTask
    sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Asks a model. Safe to share between threads."""

    answering: Answering
    endpoint: ModelEndpoint
    sampling: Sampling

    def __call__(self, asked: Asked) -> AnswerRecord:
        """The record of one question: its answer with all verdicts, or the reason why there is none."""
        task = asked.task
        record = partial(
            AnswerRecord,
            task_id=task.task_id,
            db_id=task.db_id,
            hardness=str(task.hardness),
            question=task.question,
            sample=asked.sample,
        )
        started = time.monotonic()
        try:
            answer = self.answer(asked)
            greedy = answer.samples[0] if answer.samples else answer
            verdicts = self._verdicts(task, greedy)
            vote = self.answering.judge(task, answer.sql) if answer.samples else None
            digest = self._digest(task, answer.sql) if self.sampling.samples > 1 else None
        except FAULTS as error:
            return record(failed=describe(error), seconds=_since(started))
        last = vote or verdicts[-1]
        return record(
            sql=answer.sql,
            queries=tuple(attempt.sql for attempt in greedy.attempts),
            standings=tuple(_standing(verdict) for verdict in verdicts),
            stop=str(answer.stop),
            # The detail of a mismatch quotes rows, which may be the gold's.
            detail="" if last.outcome is Outcome.MISMATCH else last.detail,
            digest=digest,
            empty_match=last.matched and last.gold_empty,
            vote=None if vote is None else _standing(vote),
            agreement=answer.agreement,
            drawn=max(len(answer.samples), 1),
            seconds=_since(started),
        )

    def answer(self, asked: Asked, *, callbacks: Sequence[BaseCallbackHandler] = ()) -> SqlAnswer:
        """The agent's answer to the question; raises `FAULTS`."""
        settings = self.answering.settings
        heat = self.sampling.heat
        chat = self.answering.chat(
            self.endpoint,
            sampling=settings.sampling({"temperature": heat}, greedy=heat == 0),
            seed=stable_seed(asked.task.task_id, self.sampling.seed, asked.sample),
            answers=self.sampling.votes,
        )
        return self.answering.answer(asked.task, chat=chat, callbacks=callbacks, votes=self.sampling.votes)

    def _verdicts(self, task: SpiderTask, answer: SqlAnswer) -> list[Verdict]:
        """The verdict on the answer so far, after each reply."""
        return [self.answering.judge(task, sql) for sql in answer.sql_after_each]

    def _digest(self, task: SpiderTask, sql: str | None) -> str | None:
        if sql is None:
            return None
        found = run_sql(self.answering.catalog.path(task.db_id), sql)
        return result_digest(found.rows) if isinstance(found, Rows) else None


def _standing(verdict: Verdict) -> Standing:
    return Standing(
        outcome=str(verdict.outcome),
        databases_passed=verdict.databases_passed,
        databases_total=verdict.databases_total,
    )


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
