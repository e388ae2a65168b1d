"""The three leaves together, as a training step uses them: a task, an agent's answer, a verdict, one float."""

import json
import random
from pathlib import Path

import pytest

from spider_data import DatabaseCatalog, SpiderTask, read_tasks
from sql_graph import CheckMode, ScriptedChat, SqlAnswer, SqlDatabase, answer
from sql_reward import Outcome, judge, reward_of


def asked(task: SpiderTask, root: Path, *replies: str) -> SqlAnswer:
    """What the agent answers when its model gives these replies."""
    database = SqlDatabase(DatabaseCatalog(root).path(task.db_id))
    return answer(task.question, database=database, chat=ScriptedChat(list(replies)), check=CheckMode.RULES)


def test_right_answer_earns_the_reward(mini: Path) -> None:
    """A model that writes the gold query matches on the whole suite and earns 1."""
    catalog = DatabaseCatalog(mini)
    for task in random.Random(0).sample(read_tasks(mini / "test.parquet"), 40):
        reply = asked(task, mini, f"```sql\n{task.query}\n```")
        verdict = judge(reply.sql, task.query, catalog.suite(task.db_id))
        assert verdict.outcome is Outcome.MATCH, (task, verdict)
        assert verdict.databases_passed == verdict.databases_total == len(catalog.suite(task.db_id))
        assert reward_of(verdict) == 1.0


def test_rewrite_repairs(mini: Path) -> None:
    """A failing query is shown to the model with its error, and the rewrite is what is judged."""
    task = next(task for task in read_tasks(mini / "train.parquet") if task.query.startswith("SELECT name FROM"))
    reply = asked(task, mini, task.query.replace("SELECT name", "SELECT nme"), task.query)
    assert reply.turns == 2
    assert judge(reply.sql, task.query, DatabaseCatalog(mini).suite(task.db_id)).matched


@pytest.mark.parametrize("reply", ["I do not know.", "", "```python\nprint(1)\n```"])
def test_prose_never_reaches_the_database(mini: Path, reply: str) -> None:
    """A reply without SQL is NO_SQL and earns nothing."""
    task = read_tasks(mini / "train.parquet", limit=1)[0]
    answered = asked(task, mini, reply)
    assert answered.sql is None
    verdict = judge(answered.sql, task.query, DatabaseCatalog(mini).suite(task.db_id))
    assert verdict.outcome is Outcome.NO_SQL
    assert reward_of(verdict) == 0.0


def test_hostile_answer_changes_nothing(mini: Path) -> None:
    """A model that writes DROP TABLE is told so, earns nothing, and the database's bytes stay."""
    task = read_tasks(mini / "train.parquet", limit=1)[0]
    file = DatabaseCatalog(mini).path(task.db_id)
    before, folder = file.read_bytes(), sorted(file.parent.iterdir())
    answered = asked(task, mini, "DROP TABLE singer", "DELETE FROM singer", "VACUUM INTO 'copy.sqlite'")
    verdict = judge(answered.sql, task.query, DatabaseCatalog(mini).suite(task.db_id))
    assert verdict.outcome is Outcome.FORBIDDEN
    assert file.read_bytes() == before
    assert sorted(file.parent.iterdir()) == folder


def test_rows_survive_the_store(mini: Path) -> None:
    """A task is the same after its trip as a plain row through JSON."""
    for task in read_tasks(mini / "validation.parquet"):
        assert SpiderTask.from_row(json.loads(json.dumps(task.to_row()))) == task
