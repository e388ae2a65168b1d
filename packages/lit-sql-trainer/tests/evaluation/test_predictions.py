"""Exported answers are read by Spider's own evaluators as they were meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_sql_trainer import evaluate
from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.evaluation.predictions import NO_ANSWER, export_predictions, one_line
from lit_sql_trainer.evaluation.run import questions_for
from lit_sql_trainer.testing import Fault, ScriptedEndpoint
from sql_reward import judge
from sql_reward.scoring import read_official_pairs

from .conftest import lines_of, messages_text, right_answer, sql_block, target_at


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELECT a\nFROM t", "SELECT a FROM t"),
        ("SELECT a -- all of them\nFROM t", "SELECT a   FROM t"),
        ("SELECT /* not\nthis */ a\tFROM t\n", "SELECT   a FROM t"),
        ("SELECT '-- no comment'", "SELECT '-- no comment'"),
        ("SELECT 'it''s\n-- here' FROM t", "SELECT 'it''s -- here' FROM t"),
        ('SELECT "a--b", [c/*d], `e--f` FROM t', 'SELECT "a--b", [c/*d], `e--f` FROM t'),
        ("SELECT 'never closed", "SELECT 'never closed"),
        ("-- nothing", ""),
    ],
)
def test_a_query_becomes_one_line(sql: str, line: str) -> None:
    """Comments go, quotes stay."""
    assert one_line(sql) == line


@given(st.text(alphabet="a '\"`[]-/*\n\t\r\u2028\x0b", max_size=30))
def test_a_line_is_a_line(sql: str) -> None:
    """Whatever a model writes, no file is torn apart by it."""
    line = one_line(sql)
    assert len(line.splitlines()) <= 1
    assert "\t" not in line


def test_the_official_files_give_our_numbers(toy_data: Path, tmp_path: Path) -> None:
    """Gold and answers in the order of the split; judged pair by pair they give the verdicts of the evaluation."""

    def reply(body: dict[str, object]) -> str:
        text = messages_text(body)
        if "highest" in text:
            return "I do not know."
        return sql_block("SELECT\n  'wrong' -- no\n") if "List" in text else right_answer(body)

    with ScriptedEndpoint(reply, ids=False) as endpoint:
        target = target_at(endpoint, "rollout.max_turns=1")
        done = evaluate(target, out=tmp_path / "e", data=toy_data)
        tasks = questions_for(target, data=toy_data, split="test", limit=None).tasks
    gold = export_predictions(tmp_path / "answers.sql", done.records, tasks)
    pairs = read_official_pairs(gold, tmp_path / "answers.sql")
    assert [pair.db_id for pair in pairs] == [task.db_id for task in tasks]
    verdicts = [judge(pair.predicted, pair.gold, toy_data / "database" / pair.db_id).matched for pair in pairs]
    assert verdicts == [record.final.suite for record in done.records]
    assert lines_of(tmp_path / "answers.sql").count(NO_ANSWER) == 2


def test_missing_answers_are_not_exported_as_wrong_ones(toy_data: Path, tmp_path: Path) -> None:
    """Another evaluator could not tell them apart."""
    with ScriptedEndpoint(right_answer, fault=lambda number: Fault.CUT if number == 1 else None, ids=False) as endpoint:
        target = target_at(endpoint, "rollout.max_retries=0")
        done = evaluate(target, out=tmp_path / "e", data=toy_data, workers=1)
        tasks = questions_for(target, data=toy_data, split="test", limit=None).tasks
    with pytest.raises(ConfigError, match="1 questions have no answer"):
        export_predictions(tmp_path / "answers.sql", done.records, tasks)
    assert not (tmp_path / "answers.sql").exists()
