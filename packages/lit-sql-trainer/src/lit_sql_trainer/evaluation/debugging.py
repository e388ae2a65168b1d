"""Shows what a model does on a few questions: every prompt, reply, query, result and reward.

It trains nothing and does not import Agent-lightning. It is the tutorial's debugging path: the same graph, prompts,
judge and reward as in training, one question after another.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from lit_sql_trainer.agent.answering import Answering, describe
from lit_sql_trainer.evaluation.asking import FAULTS, Asked, Asker
from lit_sql_trainer.evaluation.plan import Sampling
from lit_sql_trainer.evaluation.questions import Questions
from lit_sql_trainer.evaluation.targets import Target
from lit_sql_trainer.machine import environment
from spider_data import SpiderTask
from sql_graph import SqlAnswer
from sql_reward import Outcome, Verdict, reward_of

ROLES = {"human": "user", "ai": "assistant"}
SPLITS = ("dev", "validation")
"""Splits that may hold development questions, in order: Spider's own development set comes first."""


def debug(
    target: Target,
    questions: Questions,
    *,
    sampling: Sampling | None = None,
    show_gold: bool = False,
    echo: Callable[[str], None] = print,
) -> int:
    """Show each question; return how many have no answer because our side failed.

    Raises:
        ModelError, SetupError: the model cannot be served.
    """
    environment.guard_environment(local_model=target.endpoint is None)
    echo(f"{target.label}: {len(questions.tasks)} questions of {questions.split} in {questions.folder}")
    failed, rewards = 0, 0.0
    with target.open() as endpoint:
        answering = Answering(data=questions.folder, settings=target.profile.rollout)
        asker = Asker(answering=answering, endpoint=endpoint, sampling=sampling or Sampling())
        for task in questions.tasks:
            calls = Calls()
            echo(f"\n{task.task_id} on {task.db_id}{f' ({task.hardness})' if task.hardness else ''}: {task.question}")
            try:
                answer = asker.answer(Asked(task=task, sample=0), callbacks=(calls,))
                verdict = answering.judge(task, answer.sql)
            except FAULTS as error:
                failed += 1
                echo("\n".join([*calls.lines, f"  failed, would be dropped: {describe(error)}"]))
                continue
            rewards += reward_of(verdict)
            echo("\n".join([*calls.lines, *_turns(answer), *_ending(task, answer, verdict, show_gold=show_gold)]))
    done = len(questions.tasks) - failed
    if done:
        echo(f"\nmean reward {rewards / done:.3f} over {done} questions")
    return failed


class Calls(BaseCallbackHandler):
    """Records every model call of one question: the node that asks, the prompt, the reply."""

    raise_error = True

    def __init__(self) -> None:
        self.lines: list[str] = []
        """The calls so far, as lines of text."""

    def on_chat_model_start(
        self,
        serialized: Mapping[str, object],
        messages: list[list[BaseMessage]],
        *,
        metadata: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> None:
        """Record a prompt."""
        node = (metadata or {}).get("langgraph_node", "model")
        self.lines.append(f"  {node} asks:")
        for message in messages[0]:
            self.lines += _quoted(f"{ROLES.get(message.type, message.type)}: {message.text}")

    def on_llm_end(self, response: LLMResult, **kwargs: object) -> None:
        """Record a reply."""
        generation = response.generations[0][0]
        text = generation.message.text if isinstance(generation, ChatGeneration) else generation.text
        self.lines += ["  reply:", *_quoted(str(text))]


def _turns(answer: SqlAnswer) -> list[str]:
    lines: list[str] = []
    for number, attempt in enumerate(answer.attempts, start=1):
        lines.append(f"  query {number} ({attempt.node}): {attempt.sql or '(no SQL in the reply)'}")
        if attempt.observation is not None:
            lines += _quoted(attempt.observation.text)
        if attempt.feedback:
            lines.append(f"  not approved: {attempt.feedback}")
    return [*lines, f"  ended: {answer.stop}"]


def _ending(task: SpiderTask, answer: SqlAnswer, verdict: Verdict, *, show_gold: bool) -> list[str]:
    # The detail of a mismatch quotes rows, which may be the gold's.
    detail = verdict.detail if show_gold or verdict.outcome is not Outcome.MISMATCH else ""
    lines = [f"  gold: {task.query}"] if show_gold else []
    lines.append(
        f"  {verdict.outcome}: right on {verdict.databases_passed} of {verdict.databases_total} databases"
        f"{f' ({detail})' if detail else ''}; reward {reward_of(verdict):g}"
    )
    return lines


def _quoted(text: str) -> Sequence[str]:
    return textwrap.indent(text, "    | ", lambda _: True).splitlines()
