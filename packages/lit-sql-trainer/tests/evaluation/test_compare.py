"""A comparison sets like beside like, pair by pair, and refuses everything else by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lit_sql_trainer import Sampling, compare, evaluate
from lit_sql_trainer.commands.compare import compare_command
from lit_sql_trainer.errors import RunError
from lit_sql_trainer.testing import Fault, ScriptedEndpoint
from sql_reward.stats import mcnemar_p

from .conftest import right_answer, sql_block, target_at, wrong_about


def evaluated(out: Path, data: Path, reply: Callable[[dict[str, Any]], str], **options: Any) -> Path:
    with ScriptedEndpoint(reply, ids=False) as endpoint:
        evaluate(target_at(endpoint, "rollout.max_turns=1"), out=out, data=data, **options)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluations")


@pytest.fixture(scope="module")
def before(folder: Path, toy_data: Path) -> Path:
    """Wrong about every list and every highest age of the validation split."""
    both = re.compile("List|highest")
    return evaluated(
        folder / "before",
        toy_data,
        lambda body: sql_block("SELECT 'no'") if both.search(str(body)) else right_answer(body),
        split="validation",
    )


@pytest.fixture(scope="module")
def after(folder: Path, toy_data: Path) -> Path:
    """Wrong about the comparisons of ages only."""
    return evaluated(folder / "after", toy_data, wrong_about("older than"), split="validation")


def test_two_evaluations_of_the_same_answers_are_equal(folder: Path, toy_data: Path, before: Path) -> None:
    """No difference, an interval around nothing, p = 1, nothing won and nothing lost."""
    again = evaluated(folder / "again", toy_data, wrong_about("older than"), split="validation")
    twice = evaluated(folder / "twice", toy_data, wrong_about("older than"), split="validation")
    found = compare(again, twice)
    assert (found.suite.difference, found.suite.p_value, found.won, found.lost) == (0, 1, (), ())
    assert found.suite.interval.low < 0 < found.suite.interval.high
    assert compare(before, before).suite.difference == 0


def test_the_difference_is_counted_question_by_question(before: Path, after: Path) -> None:
    """12 questions of 4 kinds: 4 + 2 wrong before, 2 wrong after, none of them the same."""
    found = compare(before, after)
    suite = found.suite
    assert (suite.only_first, suite.only_second, suite.both, suite.neither) == (2, 6, 4, 0)
    assert suite.difference == pytest.approx(4 / 12)
    assert suite.p_value == pytest.approx(mcnemar_p(2, 6))
    assert suite.interval.low < suite.difference < suite.interval.high
    assert len(found.won) == 6
    assert {"older" in each.question for each in found.lost} == {True}
    assert compare(after, before).suite.difference == pytest.approx(-4 / 12)


def test_both_queries_are_shown_and_the_gold_only_on_request(before: Path, after: Path) -> None:
    """The command prints the pair of each question won or lost."""
    shown = CliRunner().invoke(compare_command, [str(before), str(after)])
    assert shown.exit_code == 0, shown.output
    assert "won by B: 6" in shown.output
    assert "SELECT 'no'" in shown.output
    assert re.search(r"B match +SELECT name FROM", shown.output)
    assert "gold" not in shown.output
    told = CliRunner().invoke(compare_command, [str(before), str(after), "--show-gold"])
    assert re.search(r"gold +SELECT max\(age\) FROM", told.output)


def test_json_holds_everything(before: Path, after: Path) -> None:
    """One object, for scripts."""
    result = CliRunner().invoke(compare_command, [str(before), str(after), "--json"])
    found = json.loads(result.output)
    assert found["suite"]["only_second"] == 6
    assert {"low", "high", "p", "difference"} <= set(found["suite"])
    assert len(found["won"]) == 6
    assert found["won"][0]["gold_sql"] is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split": "test"}, "split ('validation' and 'test')"),
        ({"split": "validation", "limit": 4}, "questions ("),
        ({"split": "validation", "sampling": Sampling(samples=2)}, "samples (-k) (1 and 2)"),
        ({"split": "validation", "sampling": Sampling(temperature=0.5)}, "temperature (0.0 and 0.5)"),
    ],
)
def test_what_does_not_measure_the_same_is_refused(
    before: Path, toy_data: Path, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    """What differs is named, with both values, in one line."""
    other = evaluated(tmp_path / "other", toy_data, right_answer, **options)
    result = CliRunner().invoke(compare_command, [str(before), str(other)])
    assert result.exit_code == 2
    assert told in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "told"), [("rules", "rules ('official' and 'strict')"), ("databases_digest", "databases")]
)
def test_other_rules_or_databases_are_refused(before: Path, tmp_path: Path, key: str, told: str) -> None:
    """Whatever else is equal."""
    other = tmp_path / "other"
    other.mkdir()
    for file in before.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    plan = json.loads((other / "evaluation.json").read_text())
    (other / "evaluation.json").write_text(json.dumps({**plan, key: "strict"}))
    with pytest.raises(RunError) as refused:
        compare(before, other)
    assert told in str(refused.value)


def test_questions_without_an_answer_are_left_out_and_counted(before: Path, toy_data: Path, tmp_path: Path) -> None:
    """A failure of ours is no defeat."""
    with ScriptedEndpoint(
        right_answer, fault=lambda number: Fault.SERVER_ERROR if number <= 3 else None, ids=False
    ) as endpoint:
        target = target_at(endpoint, "rollout.max_turns=1", "rollout.max_retries=0")
        evaluate(target, out=tmp_path / "e", data=toy_data, split="validation", workers=1)
    found = compare(before, tmp_path / "e")
    assert (found.left_out, found.suite.total) == (3, 9)
    assert "3 left out" in CliRunner().invoke(compare_command, [str(before), str(tmp_path / "e")]).output


def test_a_run_stands_for_its_only_evaluation(before: Path, after: Path, tmp_path: Path) -> None:
    """With two of them one must be named; with none there is nothing to compare."""
    run = tmp_path / "run"
    with pytest.raises(RunError, match="no evaluation at"):
        compare(run, after)
    (run / "evaluations").mkdir(parents=True)
    (run / "evaluations" / "a").symlink_to(before)
    assert compare(run, after).suite.only_second == 6
    (run / "evaluations" / "b").symlink_to(after)
    with pytest.raises(RunError, match="has 2 evaluations: name one of"):
        compare(run, after)


def test_what_may_differ_is_said(before: Path, toy_data: Path, tmp_path: Path) -> None:
    """Another number of turns is a fair comparison, and is named."""
    with ScriptedEndpoint(right_answer, ids=False) as endpoint:
        evaluate(target_at(endpoint), out=tmp_path / "e", data=toy_data, split="validation")
    assert "rollout.max_turns (1 and 3)" in compare(before, tmp_path / "e").differs
