"""Builds the prompts: functions from typed arguments to messages, and the budget that keeps them short.

The same functions serve training, evaluation and daily use, so a model meets the words it was trained on. They carry
no placeholder that a small model could copy as its answer. All prompts of one question hold the same schema text at
the same place, so a server that caches prefixes reads it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from sql_graph.agent.shown import tame
from sql_graph.agent.state import HistoryRecord
from sql_graph.agent.tokens import clip, estimate_tokens
from sql_graph.errors import EmptyQuestionError, PromptBudgetError
from sql_graph.options import PromptStyle
from sql_graph.parse import message_text
from sql_graph.ports import Database, SchemaStyle

MESSAGE_TOKENS = 8
"""What a chat template adds around one message: role, start and end marks."""
JOINT_TOKENS = 8
"""What joining texts may add to the sum of their own estimates, in any prompt here."""
LESSON_TOKENS = 4
"""What stands around one lesson in a prompt."""
MIN_SCHEMA_TOKENS = 48
"""Below this no useful schema fits, so the budget is refused."""

_CONVENTIONS = """\
You answer questions about a {dialect} database by writing one SQL query.

- Select exactly the columns that the question asks for, in the order in which it names them, and no others: no ids, \
counts or sort keys that were not asked for.
- Use only tables and columns of the schema, spelled as they are there. Join tables along their keys.
- Spell text values as the sample values in the schema spell them.
- Sort, limit or remove duplicates only when the question asks for it.
- Write a single statement that reads, in the syntax of {dialect}."""

_WRITE_SYSTEM = _CONVENTIONS + "\n\nReply with the query alone, in a fenced code block marked sql."

_CHECK_SYSTEM = """\
You review a {dialect} query that was written to answer a question. Compare the query and its result with the \
question and the schema. Look for:

- an error or an empty result, and what causes it;
- columns that are missing, not asked for, or in another order than asked;
- a wrong table, a wrong or missing join, a filter that the question does not state or that is missing;
- text values that are not spelled as in the schema's sample values;
- wrong grouping, aggregation, sorting, limit or removal of duplicates.

Say in a few words what is wrong, without writing a new query. Then end with one line that is either \
VERDICT: CORRECT or VERDICT: INCORRECT."""

_REWRITE_REQUEST = "Write the corrected query. Reply with the query alone, in a fenced code block marked sql."


_LESSONS = "Earlier queries failed. Keep in mind:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What every prompt of one question shares."""

    question: str
    schema: str
    dialect: str
    style: PromptStyle = PromptStyle.FULL
    history: Sequence[HistoryRecord] = ()
    """Earlier questions of the conversation, oldest first; FULL style only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A query that was executed, what came of it, and what a check made of that."""

    sql: str
    """Empty where it is too long to be shown."""
    observation: str
    """The result as a table, or the error."""
    feedback: str = ""


def write_messages(task: Task) -> list[BaseMessage]:
    """Ask for a query. FULL: a system and a user message; COMPACT: one user message."""
    if task.style is PromptStyle.COMPACT:
        return [HumanMessage(f"{_compact_head(task)}\n{task.dialect} query:")]
    earlier: list[BaseMessage] = []
    for record in task.history:
        earlier += [HumanMessage(f"Question: {record['question']}"), AIMessage(_fenced(record["query"]))]
    system = f"{_WRITE_SYSTEM.format(dialect=task.dialect)}\n\nSchema:\n\n{task.schema}"
    return [SystemMessage(system), *earlier, HumanMessage(f"Question: {task.question}")]


def rewrite_messages(task: Task, outcome: Outcome) -> list[BaseMessage]:
    """Ask for a better query: the messages of `write_messages`, then the query, its outcome and the feedback."""
    if task.style is PromptStyle.COMPACT:
        first_line = outcome.observation.strip().partition("\n")[0]  # the error itself, or the header of the rows
        failed = f"{_one_line(outcome.sql)}\n-- {_one_line(f'{first_line} {outcome.feedback}')}"
        return [HumanMessage(f"{_compact_head(task)}\n{failed}\nfixed {task.dialect} query:")]
    review = f"\n\nReview: {outcome.feedback}" if outcome.feedback else ""
    request = f"The query gave:\n\n{outcome.observation}{review}\n\n{_REWRITE_REQUEST}"
    if not outcome.sql:  # a chat template may allow no two messages of a user in a row
        *before, asked = write_messages(task)
        return [*before, HumanMessage(f"{message_text(asked)}\n\nAn earlier query failed. {request}")]
    return [*write_messages(task), AIMessage(_fenced(outcome.sql)), HumanMessage(request)]


def lesson_messages(task: Task, lessons: Sequence[str]) -> list[BaseMessage]:
    """Ask for the query once more: the messages of `write_messages`, and beside the question what failures taught.

    No failed query is shown: a small model repeats what it reads. Without lessons the messages are those of the first
    prompt, so that only sampling can tell the replies apart.
    """
    *before, asked = write_messages(task)
    if not lessons:
        return [*before, asked]
    if task.style is PromptStyle.COMPACT:
        noted = "".join(f"\n-- {_one_line(lesson)}" for lesson in lessons)
        return [HumanMessage(f"{_compact_head(task)}{noted}\n{task.dialect} query:")]
    noted = "\n".join(f"- {_one_line(lesson)}" for lesson in lessons)
    return [*before, HumanMessage(f"Question: {task.question}\n\n{_LESSONS}\n{noted}")]


def check_messages(task: Task, outcome: Outcome) -> list[BaseMessage]:
    """Ask whether a query answers the question; the reply ends in a line for `parse_verdict`."""
    if task.style is PromptStyle.COMPACT:
        shown = f"{_one_line(outcome.sql)}\n-- {_one_line(outcome.observation)}"
        return [HumanMessage(f"{_compact_head(task)}\n{shown}\nVERDICT: CORRECT or VERDICT: INCORRECT?")]
    system = f"{_CHECK_SYSTEM.format(dialect=task.dialect)}\n\nSchema:\n\n{task.schema}"
    shown = f"Query:\n\n{_fenced(outcome.sql)}\n\nIt gave:\n\n{outcome.observation}"
    return [SystemMessage(system), HumanMessage(f"Question: {task.question}\n\n{shown}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptBudget:
    """How the tokens of a prompt are shared out, as `estimate_tokens` counts them.

    After the fixed text and the question, `schema_share` of the rest is for the schema. The query takes up to half
    of what remains, its outcome and the feedback a quarter each. The split does not depend on them, so the schema
    text stays the same from the first prompt of a question to its last.
    """

    total_tokens: int = 4096
    schema_share: float = 0.65
    max_observation_chars: int | None = None
    """Bounds a query's outcome further, in characters."""

    def task(
        self, database: Database, question: str, *, style: PromptStyle, history: Sequence[HistoryRecord] = ()
    ) -> Task:
        """The task of a question, with as much schema as fits.

        Raises:
            EmptyQuestionError: the question holds no text.
            PromptBudgetError: no useful schema fits beside the question.
            DatabaseError: the database cannot be read.
        """
        question = tame(question.strip())
        if not question:
            raise EmptyQuestionError()
        if style is PromptStyle.COMPACT:
            question = _one_line(question)
        dialect = database.dialect
        room = self.total_tokens - _fixed_tokens(dialect, style) - estimate_tokens(question)
        kept = self._fit_history(history, room // 4) if style is PromptStyle.FULL else []
        schema_tokens = int((room - _history_tokens(kept)) * self.schema_share)
        if schema_tokens < MIN_SCHEMA_TOKENS:
            raise PromptBudgetError(
                total_tokens=self.total_tokens,
                schema_tokens=max(schema_tokens, 0),
                question_tokens=estimate_tokens(question),
            )
        schema_style = SchemaStyle.COMPACT if style is PromptStyle.COMPACT else SchemaStyle.FULL
        schema = database.schema_text(question, budget_tokens=schema_tokens, style=schema_style)
        return Task(question=question, schema=clip(schema, schema_tokens), dialect=dialect, style=style, history=kept)

    def outcome(self, task: Task, *, sql: str, observation: str, feedback: str = "") -> Outcome:
        """A query and what it showed, each within its share.

        What is cut of the outcome says so. A query is whole or not there: a model takes half of one for its own.
        """
        room = self.total_tokens - _fixed_tokens(task.dialect, task.style)
        room -= estimate_tokens(task.question) + _history_tokens(task.history)
        room -= int(room * self.schema_share)
        limit = self.max_observation_chars
        if limit is not None and len(observation) > limit:
            observation = f"{observation[:limit]} [{len(observation) - limit} characters left out]"
        shown = tame(sql)
        return Outcome(
            sql=shown if estimate_tokens(shown) <= room // 2 else "",
            observation=clip(tame(observation), room // 4),
            feedback=clip(tame(feedback), room // 4),
        )

    def lessons(self, task: Task, lessons: Sequence[str]) -> list[str]:
        """The lessons that fit beside the question, each whole, the latest first to get room; in order, none twice."""
        room = self.total_tokens - _fixed_tokens(task.dialect, task.style)
        room -= estimate_tokens(task.question) + _history_tokens(task.history)
        room -= int(room * self.schema_share)
        kept: list[str] = []
        for lesson in reversed(dict.fromkeys(_one_line(tame(lesson)) for lesson in lessons)):
            size = estimate_tokens(lesson) + LESSON_TOKENS
            if size <= room:
                kept.insert(0, lesson)
                room -= size
        return kept

    def _fit_history(self, history: Sequence[HistoryRecord], room: int) -> list[HistoryRecord]:
        """The latest earlier questions that fit in `room` tokens, oldest first."""
        kept: list[HistoryRecord] = []
        for said in reversed(history):
            record: HistoryRecord = {"question": tame(said["question"]), "query": tame(said["query"])}
            if _history_tokens([record, *kept]) > room:
                break
            kept.insert(0, record)
        return kept


def prompt_tokens(messages: Sequence[BaseMessage]) -> int:
    """An upper estimate of a prompt's length, the chat template's marks included."""
    return sum(estimate_tokens(str(message.content)) + MESSAGE_TOKENS for message in messages)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  untyped in langchain


@lru_cache(maxsize=64)
def _fixed_tokens(dialect: str, style: PromptStyle) -> int:
    """Tokens of the longest prompt when question, schema, history, query and outcome are left empty."""
    bare = Task(question="", schema="", dialect=dialect, style=style)
    nothing = Outcome(sql="", observation="", feedback=" ")
    prompts = (
        write_messages(bare),
        rewrite_messages(bare, nothing),
        rewrite_messages(bare, Outcome(sql=" ", observation="", feedback=" ")),
        lesson_messages(bare, [" "]),
        check_messages(bare, nothing),
    )
    return max(prompt_tokens(messages) for messages in prompts) + JOINT_TOKENS


def _history_tokens(history: Sequence[HistoryRecord]) -> int:
    texts = [text for record in history for text in (f"Question: {record['question']}", _fenced(record["query"]))]
    return sum(estimate_tokens(text) + MESSAGE_TOKENS for text in texts)


def _compact_head(task: Task) -> str:
    return f"{task.schema}\n-- {task.question}"


def _fenced(sql: str) -> str:
    return f"```sql\n{sql}\n```"


def _one_line(text: str) -> str:
    return " ".join(text.split())
