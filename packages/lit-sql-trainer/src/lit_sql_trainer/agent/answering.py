"""Answers and judges a question: the one place for training, validation, evaluation and debugging.

The graph, prompts, client, limits and judge are the same everywhere, so a number measured outside training means the
same as one measured inside. The module knows neither Agent-lightning nor torch; the gold query goes only to the judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lit_sql_trainer.machine.endpoints import ModelEndpoint
from lit_sql_trainer.profile.profile import RolloutSettings
from lit_sql_trainer.rollouts.calls import BoundedChat
from spider_data import DatabaseCatalog, SpiderTask
from sql_graph import ModelCallError, SqlAnswer, SqlDatabase, answer, open_chat
from sql_reward import GoldCache, GoldSqlError, Verdict, judge

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler

    from sql_graph import ChatModel
    from sql_graph.agent.chat import EndpointChat

LONGEST_REQUEST_S = 24 * 3600.0
GOLD_CACHE_BYTES = 64 * 2**20


class Answering:
    """Answers and judges the questions of one data folder. Safe to share between threads and across a fork.

    Args:
        data: the data folder whose databases the tasks name.
        settings: turns, prompt and time limits; sampling comes with each chat.
    """

    def __init__(self, *, data: Path, settings: RolloutSettings) -> None:
        self.catalog = DatabaseCatalog(data)
        self.settings = settings
        self._gold = GoldCache(max_bytes=GOLD_CACHE_BYTES)  # a gold query runs once per process
        self._databases: dict[str, SqlDatabase] = {}

    def chat(
        self, endpoint: ModelEndpoint, *, sampling: Mapping[str, object], seed: int, answers: int = 1
    ) -> BoundedChat:
        """The model for one question; every call uses this seed.

        No call begins after the deadline in the settings, once for each of the `answers` that it may give, unless the
        endpoint sends signs of life.
        """
        chat = _open_chat(
            endpoint.model,
            endpoint.url,
            endpoint.api_key,
            json.dumps(sampling, sort_keys=True),
            self.settings.request_timeout_s,
            self.settings.max_retries,
            endpoint.keeps_alive,
        )
        deadline_s = None if endpoint.keeps_alive else self.settings.deadline_s * answers
        return BoundedChat(chat, deadline_s=deadline_s, seed=seed)

    def answer(
        self,
        task: SpiderTask,
        *,
        chat: ChatModel,
        callbacks: Sequence[BaseCallbackHandler] = (),
        votes: int = 1,
    ) -> SqlAnswer:
        """The agent's answer to the question; with `votes` above 1, the one that so many samples elect.

        Raises:
            SqlGraphError: the database or the model cannot be asked.
            RolloutError: the deadline passed before the agent ended.
        """
        return answer(
            task.question,
            database=self.database(task.db_id),
            chat=chat,
            max_turns=self.settings.max_turns,
            callbacks=callbacks,
            check=self.settings.check,
            style=self.settings.style,
            rewrite=self.settings.rewrite,
            prompt_budget_tokens=self.settings.prompt_budget_tokens,
            votes=votes,
        )

    def judge(self, task: SpiderTask, sql: str | None) -> Verdict:
        """The verdict on `sql`: whether it answers like the gold query on every database of the suite.

        Raises:
            SqlRewardError: the gold query or a database is broken.
        """
        return judge(sql, task.query, self.catalog.suite(task.db_id), cache=self._gold)

    def database(self, db_id: str) -> SqlDatabase:
        """The agent's view of a database; its schema is read once per process."""
        found = self._databases.get(db_id)
        if found is None:
            found = self._databases.setdefault(db_id, SqlDatabase(self.catalog.path(db_id)))
        return found


def describe(error: BaseException) -> str:
    """One line about an error on our side: its type, its fault if it has one, and the first line of its message.

    It never holds a gold query.
    """
    if isinstance(error, GoldSqlError):  # its own message quotes the query
        return f"GoldSqlError: the gold query gives no result on {error.database.name}: {error.reason}"
    name = type(error).__name__
    kind = f"{name} ({error.fault})" if isinstance(error, ModelCallError) else name
    text = str(error).strip().splitlines()
    return f"{kind}: {text[0]}" if text else kind


@lru_cache(maxsize=64)
def _open_chat(
    model: str,
    base_url: str,
    api_key: str | None,
    sampling: str,
    timeout_s: float,
    retries: int,
    keeps_alive: bool,
) -> EndpointChat:
    """One client for each endpoint and sampling (as JSON): opening one costs more than a small model's reply.

    A request to a server with signs of life has no time limit while the server sends something every `timeout_s`.
    """
    return open_chat(
        model=model,
        base_url=base_url,
        api_key=api_key,
        sampling_parameters=json.loads(sampling),
        timeout_s=LONGEST_REQUEST_S if keeps_alive else timeout_s,
        silence_s=timeout_s,
        max_retries=retries,
    )
