"""The arithmetic of a summary, on records written by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lit_sql_trainer.evaluation.records import AnswerRecord, Standing
from lit_sql_trainer.evaluation.summary import chosen_record, rewrites, score, summarise
from lit_sql_trainer.evaluation.table import describe_summary
from sql_reward.stats import wilson_interval

PLAN: dict[str, Any] = {
    "version": 1,
    "label": "a model",
    "split": "test",
    "questions": 4,
    "samples": 1,
    "temperature": 0.0,
    "unseen": ["zoo"],
}


def standing(text: str) -> Standing:
    """`+` right everywhere, `~` right on the main database only, `-` wrong."""
    outcome = "match" if text == "+" else "mismatch"
    return Standing(outcome=outcome, databases_passed={"+": 3, "~": 1, "-": 0}[text], databases_total=3)


def record(task_id: str, standings: str, **fields: Any) -> AnswerRecord:
    values: dict[str, Any] = {"db_id": "shop", "hardness": "easy", "question": "?", "sample": 0} | fields
    queries = tuple(f"SELECT {place}" for place in range(len(standings)))
    return AnswerRecord(task_id=task_id, queries=queries, standings=tuple(map(standing, standings)), **values)


RECORDS = [
    record("a", "+"),
    record("b", "-+", hardness="extra"),
    record("c", "+~", db_id="zoo"),
    record("d", "--~", hardness=""),
]


def test_rewrites_compare_the_first_query_with_the_answer() -> None:
    """Answers with a single reply are not rewritten; the rest is fixed, broken or unchanged."""
    assert rewrites([*RECORDS, record("e", "++")]) == {
        "rewritten": 4,
        "fixed": 1,
        "broke": 1,
        "unchanged_right": 1,
        "unchanged_wrong": 1,
    }


def test_lines_and_tables_of_a_summary() -> None:
    """Single turn: a and c. Agent: a and b on the suite, all on one database."""
    found = summarise(PLAN, RECORDS)
    single_turn, agent = found["lines"]
    assert (single_turn["suite"]["right"], single_turn["single"]["right"]) == (2, 2)
    assert (agent["suite"]["right"], agent["single"]["right"]) == (2, 4)
    assert [(part["name"], part["suite"]["right"]) for part in found["hardness"]] == [
        ("easy", 1),
        ("extra", 1),
        ("", 0),
    ]
    assert [part["suite"]["right"] for part in found["after_replies"]] == [2, 2, 2]
    assert [(part["name"], part["suite"]["questions"]) for part in found["replies"]] == [("1", 1), ("2", 2), ("3", 1)]
    assert [(part["name"], part["suite"]["right"]) for part in found["seen"]] == [("seen", 2), ("unseen", 0)]


def test_a_share_of_right_answers_has_wilsons_interval() -> None:
    """The interval of the package that the judge comes from."""
    found = score([1.0, 0.0, 1.0, 1.0])
    wilson = wilson_interval(3, 4)
    assert (found["rate"], found["low"], found["high"]) == (0.75, wilson.low, wilson.high)


def test_a_mean_over_samples_has_an_interval_over_questions() -> None:
    """Samples of one question are not independent, so questions are what is counted."""
    found = score([0.5, 0.75, 0.25, 0.5])
    error = math.sqrt(((0.0 + 0.25**2 + 0.25**2 + 0.0) / 3) / 4)
    assert found["rate"] == 0.5
    assert found["high"] - found["low"] == pytest.approx(2 * 1.959964 * error, abs=1e-6)


def test_nothing_answered_has_no_rate() -> None:
    """And every rate is possible."""
    found = summarise({**PLAN, "questions": 1}, [record("a", "", failed="down")])
    assert found["lines"][1]["suite"] == {"rate": None, "low": 0.0, "high": 1.0, "right": 0, "questions": 0}
    assert (found["failed"], found["failures"], found["answered"]) == (1, {"down": 1}, 0)
    assert "1 × down" in describe_summary(found)


def test_the_majority_may_have_no_result() -> None:
    """Then the first sample stands for the question."""
    group = [record("a", "-", sample=number, digest=None) for number in range(3)]
    assert chosen_record(group) is group[0]


def test_the_table_says_what_the_summary_holds() -> None:
    """Line 0 comes first, and can be left out."""
    text = describe_summary(summarise(PLAN, RECORDS))
    assert text.index("0  single turn, same prompt") < text.index("1  agent")
    assert "1 fixed, 1 broke, 1 unchanged (0 right, 1 wrong)" in text
    assert "failures of ours: none" in text
    assert "single turn" not in describe_summary(summarise(PLAN, RECORDS), baseline=False)
