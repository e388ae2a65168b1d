"""What the tiny model is shown before it learns by itself: prompts of the real agent with a written reply.

The prompts are recorded from the agent itself: the graph runs on the real database while a scripted model replies, and
what that model was asked is the prompt. So the words that the warm start teaches are the words of training, evaluation
and serving, rewrite turns included, whatever happens to the prompt functions.

Values are varied: most replies ask for another name, number or date than the task did, in question and query alike,
because what a model of this size otherwise learns is which value goes with which question, not to copy it.

Two things are wrong on purpose. A share of the first-turn replies carries the mistakes of an annotator with bad habits
(`spider_data.mini.noisy_demonstration`), as real text-to-SQL data does: that is what the reward can later correct. And
each rewrite prompt shows a broken query, with the database's own answer to it, before the right one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.agent.first_prompt import Messages, as_messages
from lit_sql_trainer.errors import ModelError
from spider_data import DatabaseCatalog, SpiderTask
from sql_graph import CheckMode, PromptStyle, ScriptedChat, SqlDatabase, answer
from sql_graph.options import RewriteForm

_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*|'(?:[^']|'')*'|\d+(?:\.\d+)?")
_VALUE = re.compile(r"'(?P<text>[^']+)'|(?<![\w'.])(?P<digits>\d+(?:\.\d+)?)(?![\w'.])")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
Noise = Callable[[SpiderTask, random.Random], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One call of the model and the reply it should learn to give."""

    messages: Messages
    reply: str
    node: str
    """`write_query` or `rewrite_query`."""
    noisy: bool = False
    """The reply is an annotator's mistake."""


def fenced(sql: str) -> str:
    """The reply that holds this query."""
    return f"```sql\n{sql}\n```"


def demonstrations(
    tasks: Sequence[SpiderTask],
    root: Path,
    *,
    seed: int,
    noise: Noise,
    noise_share: float,
    rewrite_share: float,
    varied_share: float,
    annotators: int,
    held_out: Collection[str] = (),
) -> list[Demonstration]:
    """What `annotators` people write: each one `write_query` reply per task, and some `rewrite_query` replies.

    In a family with a bad habit each reply has it with probability `noise_share`, independently, so a model cannot
    learn by heart which questions are answered wrongly; it learns to be unsure. A share `varied_share` of the replies
    is about other values, drawn from all the values of the tasks, in question and query alike; one that happens to ask
    a question in `held_out` keeps its own values. Each annotator also
    rewrites a broken query for about `rewrite_share` of the tasks. Deterministic for one seed. The databases are
    opened read-only.

    Raises:
        ModelError: the graph asked for another number of turns than the script holds.
        DatabaseNotFoundError: a task's database is not under `root`.
    """
    catalog = DatabaseCatalog(root)
    draw = random.Random(seed)  # noqa: S311  reproducible data, not a secret
    databases: dict[str, SqlDatabase] = {}
    names: dict[str, list[str]] = {}
    texts = sorted({match["text"] for task in tasks for match in _VALUE.finditer(task.query) if match["text"]})
    shown: list[Demonstration] = []
    for task in tasks:
        if task.db_id not in databases:
            databases[task.db_id] = SqlDatabase(catalog.path(task.db_id))
            golds = [other.query for other in tasks if other.db_id == task.db_id]
            names[task.db_id] = sorted({word for gold in golds for word in re.findall(r"\b[a-z_]+\b", gold)})
        database = databases[task.db_id]
        for _ in range(annotators):
            mistake = noise(task, draw) if draw.random() < noise_share else None
            question, written = task.question, mistake or task.query
            if draw.random() < varied_share:
                other = varied(question, written, texts, draw)
                question, written = (question, written) if other[0] in held_out else other
            asked = _prompts(question, database, [fenced(task.query)])[0]
            reply = fenced(written)
            shown.append(Demonstration(messages=asked, reply=reply, node="write_query", noisy=mistake is not None))
            if draw.random() < rewrite_share:
                broken = _broken(task.query, names[task.db_id], draw)
                prompts = _prompts(task.question, database, [fenced(broken), fenced(task.query)])
                if len(prompts) == 2:  # the broken query happened to pass the check: nothing to rewrite
                    right = fenced(task.query)
                    shown.append(Demonstration(messages=prompts[1], reply=right, node="rewrite_query"))
    for database in databases.values():
        database.close()
    return shown


def varied(question: str, sql: str, texts: Sequence[str], draw: random.Random) -> tuple[str, str]:
    """Question and query with each value that both name replaced: text by one of `texts`, digits by other digits."""
    for match in list(_VALUE.finditer(sql)):
        old = match["text"] or match["digits"]
        spot = re.compile(rf"(?<![\w.]){re.escape(old)}(?![\w])")
        if len(spot.findall(question)) != 1:
            continue  # not said in the question, or not clear where
        new = _other_text(old, texts, draw) if match["text"] else _other_digits(old, draw)
        quoted = f"'{new}'" if match["text"] else new
        question = spot.sub(new, question)
        sql = sql.replace(f"'{old}'", quoted) if match["text"] else re.sub(rf"(?<![\w'.]){old}(?![\w'.])", new, sql)
    return question, sql


def _other_text(text: str, texts: Sequence[str], draw: random.Random) -> str:
    """A date for a date, a word for a word."""
    dated = bool(_DATE.fullmatch(text))
    return draw.choice([other for other in texts if bool(_DATE.fullmatch(other)) == dated])


def _other_digits(number: str, draw: random.Random) -> str:
    """A number of as many digits; a small one stays as it is, since it may be a LIMIT or a count that is spelt out."""
    if len(number.replace(".", "")) < 2:
        return number
    return re.sub(r"\d", lambda digit: draw.choice("123456789"), number)


def _prompts(question: str, database: SqlDatabase, replies: Sequence[str]) -> list[Messages]:
    """What the agent asks a model that gives these replies, call by call."""
    chat = ScriptedChat(list(replies))
    answer(
        question,
        database=database,
        chat=chat,
        max_turns=len(replies),
        check=CheckMode.RULES,
        style=PromptStyle.COMPACT,
        rewrite=RewriteForm.CONVERSATION,
    )
    if not chat.calls:
        raise ModelError(f"the agent asked nothing about {question!r}: its graph and the demonstrations have parted")
    return [as_messages(call) for call in chat.calls]


def _broken(sql: str, names: Sequence[str], draw: random.Random) -> str:
    """The query as a careless writer leaves it: one name swapped, misspelt or left out, or one value changed."""
    spots = [match for match in _WORD.finditer(sql) if match[0] in names or match[0][0] in "'0123456789"]
    if not spots:
        return sql.rpartition(" ")[0]
    spot = draw.choice(spots)
    word = spot[0]
    if word.startswith("'"):
        wrong = draw.choice([f"'{word[1:-1].swapcase()}'", f"'{word[1:3]}'", word[1:-1].split(" ")[0] or "x"])
    elif word[0].isdigit():
        wrong = draw.choice([f"{word}000", f"-{word}"])
    else:
        wrong = draw.choice([draw.choice(list(names)), word + "s", word[:-1] or "x", ""])
    return f"{sql[: spot.start()]}{wrong}{sql[spot.end() :]}"
