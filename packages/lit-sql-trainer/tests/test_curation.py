"""Curated data hold what can be learned from, and say what was dropped and why."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lit_sql_trainer.commands.curate import curate_command
from lit_sql_trainer.curation import Reason, bad_golds, decide
from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.evaluation.questions import read_questions
from lit_sql_trainer.testing import Fault, ScriptedEndpoint
from spider_data import SpiderTask, check_data, read_tasks, write_tasks

BAD = {
    "train-00000": ("SELECT colour FROM item", Reason.GOLD_FAILS),
    "train-00001": ("SELECT name FROM pupil WHERE age > 1000", Reason.GOLD_EMPTY),
    "train-00002": ("SELECT name FROM item ORDER BY 1 > 0 LIMIT 1", Reason.GOLD_TIED),
    "train-00003": ("SELECT random()", Reason.GOLD_UNSTABLE),
}


@pytest.fixture
def planted(own_data: Path) -> Path:
    """The toy data with four golds that teach the wrong thing, one of each kind."""
    tasks = read_tasks(own_data / "train.parquet")
    bad = {name: query for name, (query, _) in BAD.items()}
    write_tasks(
        own_data / "train.parquet",
        [dataclasses.replace(task, query=bad.get(task.task_id, task.query)) for task in tasks],
    )
    return own_data


def curate(*words: object) -> Result:
    return CliRunner().invoke(curate_command, [str(word) for word in words])


def ids(tasks: list[SpiderTask]) -> list[str]:
    return [task.task_id for task in tasks]


def reasons(out: Path) -> dict[str, Any]:
    return json.loads((out / "manifest.json").read_text())["curation"]


def test_each_bad_gold_is_dropped_for_its_reason(planted: Path) -> None:
    """And no other task."""
    found = bad_golds(read_questions(planted, "train"))
    assert found == {task_id: reason for task_id, (_, reason) in BAD.items()}


def test_a_curated_folder_is_a_data_folder(planted: Path, tmp_path: Path) -> None:
    """The rest in its order, the other splits and all databases as they were, counts by reason, and no fault."""
    out = tmp_path / "curated"
    result = curate(planted, out)
    assert result.exit_code == 0, result.output
    assert "20 of 24 tasks of 'train' stay" in result.output
    kept = read_tasks(out / "train.parquet")
    assert ids(kept) == [name for name in ids(read_tasks(planted / "train.parquet")) if name not in BAD]
    assert (out / "test.parquet").read_bytes() == (planted / "test.parquet").read_bytes()
    counts = reasons(out)
    assert (counts["before"], counts["after"]) == (24, 20)
    assert {name: each["dropped"] for name, each in counts["reasons"].items() if each["dropped"]} == {
        str(reason): 1 for _, reason in BAD.values()
    }
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    assert {line["task_id"]: line["reason"] for line in dropped} == {name: str(BAD[name][1]) for name in BAD}
    assert check_data(out).faults == check_data(planted).faults


def test_the_same_data_give_the_same_bytes(planted: Path, tmp_path: Path) -> None:
    """Every file, linked databases included; copies are files of their own."""
    for name, option in (("a", ()), ("b", ()), ("c", ("--copy",))):
        assert curate(planted, tmp_path / name, *option).exit_code == 0
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert Path("database/shop/shop_v1.sqlite") in files
    for file in files:
        contents = {(tmp_path / name / file).read_bytes() for name in "abc"}
        assert len(contents) == 1, file
    assert (tmp_path / "a/database/shop/shop.sqlite").is_symlink()
    assert not (tmp_path / "c/database/shop/shop.sqlite").is_symlink()


def test_tasks_solved_never_or_always_are_dropped(toy_data: Path, tmp_path: Path) -> None:
    """Right about every item, wrong about every pupil but the names, where it is right every other time."""
    count = Counter[str]()

    def reply(body: dict[str, Any]) -> str:
        text = "\n".join(str(message["content"]) for message in body["messages"])
        table = "item" if "item" in text else "pupil"
        gold = {"List": f"SELECT name FROM {table}", "highest": f"SELECT max(age) FROM {table}"}
        sql = next((sql for word, sql in gold.items() if word in text), f"SELECT count(*) FROM {table}")
        if "older" in text:
            sql = f"SELECT name FROM {table} WHERE age > {text.split('older than ')[1].split('?')[0]}"
        count[text] += 1
        wrong = table == "pupil" and ("List" not in text or count[text] % 2)
        return "```sql\nSELECT 'wrong'\n```" if wrong else f"```sql\n{sql}\n```"

    with ScriptedEndpoint(reply, ids=False) as endpoint:
        asked = ["--endpoint", endpoint.url, "--model", "m", "--profile", "tiny", "--workers", 1, "-k", 2]
        half = curate(toy_data, tmp_path / "half", *asked, "--keep-share", 0.5)
        none = curate(toy_data, tmp_path / "none", *asked, "--keep-share", 0)
    assert (half.exit_code, none.exit_code) == (0, 0), half.output + none.output
    left = read_tasks(tmp_path / "none" / "train.parquet")
    assert {task.question for task in left} == {"List the name of every pupil."}
    found = reasons(tmp_path / "half")["reasons"]
    assert found["always solved"] == {"found": 12, "dropped": 6, "kept": 6}
    assert found["never solved"] == {"found": 9, "dropped": 5, "kept": 4}
    assert len(read_tasks(tmp_path / "half" / "train.parquet")) == 3 + 6 + 4


def test_which_tasks_are_spared_depends_on_the_seed_alone(toy_data: Path) -> None:
    """The same ones each time, others with another seed, and the stated share of each kind."""
    questions = read_questions(toy_data, "train")
    found = {
        task.task_id: Reason.NEVER_SOLVED if number < 12 else Reason.ALWAYS_SOLVED
        for number, task in enumerate(questions.tasks)
    }
    first = decide(questions, found, keep_share=0.25, seed=1)
    assert first.spared == decide(questions, dict(reversed(found.items())), keep_share=0.25, seed=1).spared
    assert first.spared != decide(questions, found, keep_share=0.25, seed=2).spared
    assert Counter(first.spared.values()) == {Reason.NEVER_SOLVED: 3, Reason.ALWAYS_SOLVED: 3}
    assert decide(questions, found, keep_share=1).dropped == {}


def test_missing_answers_are_no_reason_to_drop_a_task(toy_data: Path, tmp_path: Path) -> None:
    """With a failure of ours nothing is written; the same command asks again."""
    with ScriptedEndpoint(
        lambda body: "no", fault=lambda number: Fault.SERVER_ERROR if number == 1 else None, ids=False
    ) as endpoint:
        words = ["--endpoint", endpoint.url, "--model", "m", "--profile", "tiny", "--set", "max_retries=0", "-k", 2]
        result = curate(toy_data, tmp_path / "out", *words)
    assert result.exit_code == 2
    assert "1 answers are missing for reasons of ours" in result.output
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_curated_is_refused(toy_data: Path, planted: Path, tmp_path: Path) -> None:
    """In one line, before a model is asked."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    assert "exists and is not empty" in curate(toy_data, tmp_path / "full").output
    assert "has no dev.parquet" in curate(toy_data, tmp_path / "out", "--split", "dev").output
    assert "no data folder" in curate(tmp_path / "nowhere", tmp_path / "out").output
    assert "between 0 and 1" in curate(toy_data, tmp_path / "out", "--keep-share", 2).output
    with pytest.raises(ConfigError):
        decide(read_questions(toy_data, "test"), {}, keep_share=-0.1)
    only_bad = [task for task in read_tasks(planted / "train.parquet") if task.task_id in BAD]
    write_tasks(planted / "train.parquet", only_bad)
    result = curate(planted, tmp_path / "out")
    assert (result.exit_code, "would be dropped" in result.output) == (2, True)
    assert not (tmp_path / "out").exists()
