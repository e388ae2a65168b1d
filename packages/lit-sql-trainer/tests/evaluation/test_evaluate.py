"""An evaluation tells the truth: every answer judged, every failure apart, nothing lost by a kill, nothing mixed up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer import Sampling, evaluate, find_target
from lit_sql_trainer.errors import ConfigError, FailureLimitError, MissingSplitError, RunError, SetupError
from lit_sql_trainer.evaluation.run import FAILURES_IN_A_ROW, load_evaluation
from lit_sql_trainer.evaluation.table import describe_summary
from lit_sql_trainer.testing import Fault, ScriptedEndpoint

from .conftest import lines_of, messages_text, right_answer, sql_block, target_at, wrong_about

QUESTIONS = 8
"""Of the toy test split."""


def agent_line(summary: dict[str, Any], name: str = "agent") -> dict[str, Any]:
    return next(line for line in summary["lines"] if line["name"] == name)


def test_every_question_is_answered_and_judged(endpoint: ScriptedEndpoint, toy_data: Path, tmp_path: Path) -> None:
    """One line a question in the order of the split, a summary that adds up, and no gold query in any file."""
    done = evaluate(target_at(endpoint), out=tmp_path / "e", data=toy_data, split="test")
    assert done.summary is not None
    assert [record.task_id for record in done.records] == [f"test-{number:05d}" for number in range(QUESTIONS)]
    found = agent_line(done.summary)["suite"]
    assert (found["rate"], found["right"], found["questions"]) == (1.0, QUESTIONS, QUESTIONS)
    assert 0.6 < found["low"] < 1.0 == found["high"]
    assert {part["name"]: part["suite"]["questions"] for part in done.summary["databases"]} == {"shop": 4, "school": 4}
    assert (done.summary["failed"], done.summary["outcomes"]) == (0, {"match": QUESTIONS})
    assert load_evaluation(tmp_path / "e").records == done.records
    assert len(lines_of(tmp_path / "e" / "verdicts.jsonl")) == QUESTIONS


def test_the_gold_query_is_in_no_file(toy_data: Path, tmp_path: Path) -> None:
    """A model that is wrong everywhere leaves a folder in which no gold query and no gold row can be read."""
    with ScriptedEndpoint(lambda body: sql_block("SELECT 'wrong'"), ids=False) as endpoint:
        evaluate(target_at(endpoint, "rollout.max_turns=1"), out=tmp_path / "e", data=toy_data, split="test")
        assert not any("SELECT count(*)" in messages_text(body) for body in endpoint.requests)
    text = "".join(file.read_text() for file in (tmp_path / "e").iterdir())
    assert "count(*)" not in text
    assert "max(age)" not in text


def test_line_zero_is_what_a_single_turn_scores(toy_data: Path, tmp_path: Path) -> None:
    """Taken from the first queries of the very same answers, it equals an evaluation with one turn."""

    def rewrites(body: dict[str, Any]) -> str:
        text = messages_text(body)
        first = "WHERE 0" not in text
        if "item" in text and first:
            return sql_block("SELECT name FROM item WHERE 0")  # finds nothing, so the rules ask for a rewrite
        return right_answer(body)

    with ScriptedEndpoint(rewrites, ids=False) as endpoint:
        agent = evaluate(target_at(endpoint), out=tmp_path / "a", data=toy_data, split="test").summary
        single = evaluate(target_at(endpoint, "rollout.max_turns=1"), out=tmp_path / "s", data=toy_data).summary
    assert agent is not None
    assert single is not None
    line_0 = agent_line(agent, "single_turn")
    assert line_0["suite"] == agent_line(single)["suite"]
    assert line_0["suite"]["rate"] == 0.5
    assert agent_line(agent)["suite"]["rate"] == 1.0
    assert agent["rewrites"] == {"rewritten": 4, "fixed": 4, "broke": 0, "unchanged_right": 0, "unchanged_wrong": 0}
    assert [part["suite"]["rate"] for part in agent["after_replies"]] == [0.5, 1.0]


def test_right_on_one_database_is_not_right_on_the_suite(toy_data: Path, tmp_path: Path) -> None:
    """`SELECT 8` counts the rows of the main database and not those of its variant, which has more."""
    with ScriptedEndpoint(
        lambda body: sql_block("SELECT 8") if "How many" in messages_text(body) else right_answer(body), ids=False
    ) as endpoint:
        summary = evaluate(target_at(endpoint), out=tmp_path / "e", data=toy_data).summary
    assert summary is not None
    line = agent_line(summary)
    assert (line["suite"]["right"], line["single"]["right"]) == (QUESTIONS - 2, QUESTIONS)


def test_a_failure_of_ours_is_never_a_wrong_answer(toy_data: Path, tmp_path: Path) -> None:
    """Three requests fail for good: those questions are counted apart, and the same command asks only them again."""

    def fault(number: int) -> Fault | None:
        return Fault.SERVER_ERROR if number <= 3 else None

    with ScriptedEndpoint(right_answer, fault=fault, ids=False) as endpoint:
        target = target_at(endpoint, "rollout.max_retries=0")
        first = evaluate(target, out=tmp_path / "e", data=toy_data, workers=1).summary
        asked = len(endpoint.requests)
        second = evaluate(target, out=tmp_path / "e", data=toy_data, workers=1).summary
        assert len(endpoint.requests) == asked + 3
    assert first is not None
    assert second is not None
    assert (first["failed"], first["answered"]) == (3, QUESTIONS - 3)
    found = agent_line(first)["suite"]
    assert (found["right"], found["questions"]) == (QUESTIONS - 3, QUESTIONS - 3)
    (reason,) = first["failures"]
    assert "ModelCallError" in reason
    assert (second["failed"], agent_line(second)["suite"]["right"]) == (0, QUESTIONS)


class FailingEndpoint(ScriptedEndpoint):
    """Answers the first requests with these bodies, always with HTTP 200, and the others as it should."""

    bodies: tuple[dict[str, Any], ...] = (
        {"error": {"message": "upstream is busy", "code": 429}},
        {"choices": [{"finish_reason": "error", "message": {"content": sql_block("SELECT 1")}}]},
        {"choices": [{"finish_reason": "content_filter", "message": {"content": ""}}]},
        {"choices": [{"finish_reason": "stop", "message": {"content": None}}], "usage": {"completion_tokens": 0}},
        {"choices": [], "x": [[[[]]]]},
    )

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        at = len(self.requests) - 1
        return self.bodies[at] if at < len(self.bodies) else super().completion(body)


def test_a_failure_with_status_200_is_a_failure(toy_data: Path, tmp_path: Path) -> None:
    """An endpoint that reports its failures in successful answers: each question has its fault, none is judged."""
    with FailingEndpoint(right_answer, ids=False) as endpoint:
        target = target_at(endpoint, "rollout.max_retries=0")
        done = evaluate(target, out=tmp_path / "e", data=toy_data, workers=1)
    assert done.summary is not None
    assert (done.summary["failed"], done.summary["outcomes"]) == (5, {"match": QUESTIONS - 5})
    faults = [record.failed.partition(":")[0] for record in done.records if record.failed]
    assert faults == [
        f"ModelCallError ({fault})"
        for fault in ("rate_limited", "server_error", "content_filtered", "nothing_generated", "not_a_chat_answer")
    ]


def test_an_endpoint_that_dies_ends_the_evaluation(toy_data: Path, tmp_path: Path) -> None:
    """After so many failures in a row it says why and how to go on; what was answered is kept."""
    with ScriptedEndpoint(
        right_answer, fault=lambda number: Fault.SERVER_ERROR if number > 6 else None, ids=False
    ) as endpoint:
        target = target_at(endpoint, "rollout.max_retries=0")
        with pytest.raises(FailureLimitError, match=rf"the last {FAILURES_IN_A_ROW} questions failed.*resume"):
            evaluate(target, out=tmp_path / "e", data=toy_data, sampling=Sampling(samples=8), workers=1)
    kept = [json.loads(line) for line in lines_of(tmp_path / "e" / "verdicts.jsonl")]
    assert sum(not row["failed"] for row in kept) == 6
    with pytest.raises(RunError, match="has not ended"):
        load_evaluation(tmp_path / "e")


def test_a_kill_loses_only_what_was_under_way(endpoint: ScriptedEndpoint, toy_data: Path, tmp_path: Path) -> None:
    """A file that ends in half a line is gone on with: whole lines stay, and each question has one line at the end."""
    target = target_at(endpoint)
    whole = evaluate(target, out=tmp_path / "e", data=toy_data, workers=1)
    file = tmp_path / "e" / "verdicts.jsonl"
    lines = lines_of(file)
    file.write_text("\n".join(lines[:3]) + "\n" + lines[3][:40])
    (tmp_path / "e" / "summary.json").unlink()
    asked = len(endpoint.requests)
    again = evaluate(target, out=tmp_path / "e", data=toy_data, workers=1)
    assert len(endpoint.requests) == asked + QUESTIONS - 3
    assert again.summary == whole.summary
    assert [record.key for record in again.records] == [record.key for record in whole.records]


def test_a_finished_evaluation_asks_nothing_again(endpoint: ScriptedEndpoint, toy_data: Path, tmp_path: Path) -> None:
    """The same command prints the same numbers."""
    first = evaluate(target_at(endpoint), out=tmp_path / "e", data=toy_data)
    asked = len(endpoint.requests)
    assert evaluate(target_at(endpoint), out=tmp_path / "e", data=toy_data).summary == first.summary
    assert len(endpoint.requests) == asked


def test_stopping_ends_after_the_questions_under_way(
    endpoint: ScriptedEndpoint, toy_data: Path, tmp_path: Path
) -> None:
    """Nothing is begun after the wish to stop, nothing is thrown away, and half the questions have no summary."""
    answers: list[object] = []
    done = evaluate(
        target_at(endpoint),
        out=tmp_path / "e",
        data=toy_data,
        workers=1,
        should_stop=lambda: len(answers) > 2,
        progress=lambda done, total, record: answers.append(record),
    )
    assert done.summary is None
    assert 2 <= len(done.records) < QUESTIONS
    assert len(lines_of(tmp_path / "e" / "verdicts.jsonl")) == len(done.records)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sampling": Sampling(temperature=0.5)}, "another temperature"),
        ({"sampling": Sampling(samples=2)}, "another samples"),
        ({"sampling": Sampling(votes=2)}, "another votes"),
        ({"split": "validation"}, "another split"),
        ({"limit": 3}, "another questions"),
    ],
)
def test_another_evaluation_does_not_go_on_in_the_same_folder(
    endpoint: ScriptedEndpoint, toy_data: Path, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    """What differs is named."""
    evaluate(target_at(endpoint), out=tmp_path / "e", data=toy_data)
    with pytest.raises(RunError, match=told):
        evaluate(target_at(endpoint), out=tmp_path / "e", **{"data": toy_data, "split": "test", **change})


def test_other_prompts_do_not_go_on_in_the_same_folder(
    endpoint: ScriptedEndpoint, toy_data: Path, tmp_path: Path
) -> None:
    """The setting is named."""
    evaluate(target_at(endpoint), out=tmp_path / "e", data=toy_data)
    with pytest.raises(RunError, match=r"another rollout\.max_turns"):
        evaluate(target_at(endpoint, "rollout.max_turns=1"), out=tmp_path / "e", data=toy_data)


def test_a_changed_database_is_noticed(endpoint: ScriptedEndpoint, own_data: Path, tmp_path: Path) -> None:
    """Databases count by content, variants included."""
    evaluate(target_at(endpoint), out=tmp_path / "e", data=own_data)
    shop = own_data / "database" / "shop"
    shutil.copyfile(shop / "shop.sqlite", shop / "shop_v1.sqlite")
    with pytest.raises(RunError, match="another databases_digest"):
        evaluate(target_at(endpoint), out=tmp_path / "e", data=own_data)


def test_the_majority_is_found_by_result(toy_data: Path, tmp_path: Path) -> None:
    """Of three samples two write different SQL with the same rows: they win over one wrong answer, given first."""
    count = {"n": 0}
    replies = ["SELECT 99", "SELECT count(*) FROM item", "SELECT count(id) FROM item"]

    def reply(body: dict[str, Any]) -> str:
        count["n"] += 1
        return sql_block(replies[(count["n"] - 1) % 3])

    with ScriptedEndpoint(reply, ids=False) as endpoint:
        summary = evaluate(
            target_at(endpoint), out=tmp_path / "e", data=toy_data, limit=1, sampling=Sampling(samples=3), workers=1
        ).summary
        seeds = [body["seed"] for body in endpoint.requests]
    assert summary is not None
    assert agent_line(summary)["suite"]["rate"] == pytest.approx(2 / 3)
    assert agent_line(summary, "majority")["suite"]["rate"] == 1.0
    rates = {k: found["rate"] for k, found in summary["pass_at_k"].items()}
    assert rates == {"1": pytest.approx(2 / 3), "2": 1.0, "3": 1.0}
    assert len(set(seeds)) == 3


def test_samples_vote_on_each_answer(toy_data: Path, tmp_path: Path) -> None:
    """A model that is wrong when greedy and right when sampled: lines 0 and 1 are greedy, line 2 is the vote."""

    def reply(body: dict[str, Any]) -> str:
        return sql_block("SELECT 99") if body["temperature"] == 0 else right_answer(body)

    with ScriptedEndpoint(reply, ids=False) as endpoint:
        done = evaluate(target_at(endpoint), out=tmp_path / "e", data=toy_data, sampling=Sampling(votes=5), workers=1)
        requests = endpoint.requests
    summary = done.summary
    assert summary is not None
    assert [agent_line(summary, name)["suite"]["rate"] for name in ("single_turn", "agent", "votes")] == [0.0, 0.0, 1.0]
    assert summary["outcomes"] == {"match": QUESTIONS}
    assert [part["name"] for part in summary["agreement"]] == ["more than half"]
    assert [(record.agreement, record.drawn) for record in done.records] == [(0.75, 4)] * QUESTIONS
    assert len(requests) == 4 * QUESTIONS
    assert len({(request["seed"], request["temperature"]) for request in requests}) == 4 * QUESTIONS
    assert load_evaluation(tmp_path / "e").records == done.records
    shown = describe_summary(summary)
    assert "2  vote of up to 5" in shown
    assert "samples that agree" in shown


def test_votes_and_samples_exclude_each_other() -> None:
    """One measures the elected answer, the other every sample."""
    with pytest.raises(ConfigError, match="give one of the two"):
        Sampling(samples=2, votes=2)
    with pytest.raises(ConfigError, match="at least one vote"):
        Sampling(votes=0)


def test_databases_that_training_has_not_seen_are_told_apart(
    endpoint: ScriptedEndpoint, own_data: Path, tmp_path: Path
) -> None:
    """The split is there when the test asks about a database that training does not."""
    from spider_data import read_tasks, write_tasks

    evaluated = evaluate(target_at(endpoint), out=tmp_path / "a", data=own_data).summary
    assert evaluated is not None
    assert evaluated["seen"] == []
    kept = [task for task in read_tasks(own_data / "train.parquet") if task.db_id == "shop"]
    write_tasks(own_data / "train.parquet", kept)
    summary = evaluate(target_at(endpoint), out=tmp_path / "b", data=own_data).summary
    assert summary is not None
    assert [(part["name"], part["suite"]["questions"]) for part in summary["seen"]] == [("seen", 4), ("unseen", 4)]


def test_a_broken_gold_query_is_our_failure(endpoint: ScriptedEndpoint, own_data: Path, tmp_path: Path) -> None:
    """It counts nowhere, is named by its reason, and its text is in no file."""
    import dataclasses

    from spider_data import read_tasks, write_tasks

    tasks = read_tasks(own_data / "test.parquet")
    tasks[0] = dataclasses.replace(tasks[0], query="SELECT secret_gold FROM item")
    write_tasks(own_data / "test.parquet", tasks)
    summary = evaluate(target_at(endpoint), out=tmp_path / "e", data=own_data).summary
    assert summary is not None
    assert (summary["failed"], summary["answered"]) == (1, QUESTIONS - 1)
    assert "SELECT secret_gold" not in "".join(file.read_text() for file in (tmp_path / "e").iterdir())


def test_what_makes_no_sense_is_refused(endpoint: ScriptedEndpoint, own_data: Path, tmp_path: Path) -> None:
    """Each with what was expected, before anything is written."""
    target = target_at(endpoint)
    with pytest.raises(MissingSplitError, match=r"no dev\.parquet.*train, validation"):
        evaluate(target, out=tmp_path / "e", data=own_data, split="dev")
    with pytest.raises(ConfigError, match="temperature 0 are 2 times the same reply"):
        Sampling(samples=2, temperature=0)
    with pytest.raises(ConfigError, match="must not be negative"):
        Sampling(temperature=-1)
    with pytest.raises(SetupError, match="is it up"):
        find_target(endpoint="http://127.0.0.1:9/v1", model="m")
    with pytest.raises(ConfigError, match="a run brings its own model"):
        find_target(run="r", model="m")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds no evaluation"):
        evaluate(target, out=tmp_path / "full", data=own_data)
    assert not (tmp_path / "e").exists()


def test_a_wrong_answer_is_one_whatever_else_happens(toy_data: Path, tmp_path: Path) -> None:
    """Wrong about two of eight: 75 %, with both of them named by their outcome."""
    with ScriptedEndpoint(wrong_about("highest age"), ids=False) as endpoint:
        summary = evaluate(target_at(endpoint), out=tmp_path / "e", data=toy_data).summary
    assert summary is not None
    assert agent_line(summary)["suite"]["rate"] == 0.75
    assert summary["outcomes"] == {"match": 6, "mismatch": 2}
