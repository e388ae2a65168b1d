"""The tiny model: what it is shown, that a build can be repeated, and that the shipped one is an ordinary folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from lit_sql_trainer.local.demonstrations import demonstrations, varied
from lit_sql_trainer.local.tiny_model import RECIPE, TinyModelSettings, build_tiny_model
from lit_sql_trainer.local.warm_start import WarmStartSettings
from lit_sql_trainer.models import model_source
from spider_data import mini_benchmark, read_tasks
from spider_data.mini import noisy_demonstration
from sql_graph import extract_sql


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded benchmark, with a training split that is quick to learn from."""
    from spider_data import write_tasks

    folder = mini_benchmark(tmp_path_factory.mktemp("tiny") / "mini")
    write_tasks(folder / "train.parquet", read_tasks(folder / "train.parquet", limit=60))
    return folder


def test_demonstrations_are_the_agents_own_prompts(mini: Path) -> None:
    """Each demonstration is a call of a node that writes SQL; rewrites show the failed query; mistakes are marked."""
    tasks = read_tasks(mini / "train.parquet")
    shown = demonstrations(
        tasks,
        mini,
        seed=0,
        noise=noisy_demonstration,
        noise_share=0.6,
        rewrite_share=0.5,
        varied_share=0.0,
        annotators=2,
    )
    writes = [each for each in shown if each.node == "write_query"]
    rewrites = [each for each in shown if each.node == "rewrite_query"]
    assert len(writes) == 2 * len(tasks)
    assert 0.3 * len(writes) < len(rewrites) < 0.6 * len(writes)
    golds = {task.query for task in tasks}
    assert all(extract_sql(each.reply) in golds for each in shown if not each.noisy)
    assert any(each.noisy for each in writes)
    owners = [task for task in tasks for _ in range(2)]
    for task, each in zip(owners, writes, strict=True):
        assert (extract_sql(each.reply) == task.query) is not each.noisy
    assert all("fixed" in each.messages[0]["content"] for each in rewrites)
    assert not any("fixed" in each.messages[0]["content"] for each in writes)


def test_no_held_out_question_is_shown(mini: Path) -> None:
    """Validation and test questions are in no prompt that the tiny model is warm-started on."""
    shown = demonstrations(
        read_tasks(mini / "train.parquet"),
        mini,
        seed=0,
        noise=noisy_demonstration,
        noise_share=0.6,
        rewrite_share=0.5,
        varied_share=0.9,
        annotators=1,
        held_out={task.question for split in ("validation", "test") for task in read_tasks(mini / f"{split}.parquet")},
    )
    text = "\n".join(message["content"] for each in shown for message in each.messages)
    for split in ("validation", "test"):
        assert not [task for task in read_tasks(mini / f"{split}.parquet") if f"-- {task.question}\n" in text]


def test_values_vary_in_question_and_query_alike() -> None:
    """What both name is replaced in both, text by text and digits by as many digits; a date stays a date."""
    question, sql = varied(
        "Which visits of Oslo before 2019-10-14 have a fee above 140?",
        "SELECT code FROM visit WHERE city = 'Oslo' AND day < '2019-10-14' AND fee > 140 LIMIT 5",
        ["Rome", "2020-01-02"],
        random.Random(0),
    )
    fee = re.search(r"above (\d\d\d)\?", question)
    assert fee and fee[1] != "140"
    assert question == f"Which visits of Rome before 2020-01-02 have a fee above {fee[1]}?"
    assert sql == f"SELECT code FROM visit WHERE city = 'Rome' AND day < '2020-01-02' AND fee > {fee[1]} LIMIT 5"


def test_a_value_that_the_question_does_not_say_stays() -> None:
    """A value said nowhere, or twice, is left alone: the reply must stay right."""
    for question in ("Which visits are cheap?", "Is Oslo in Oslo?"):
        sql = "SELECT code FROM visit WHERE city = 'Oslo' AND fee > 140"
        assert varied(question, sql, ["Rome"], random.Random(0)) == (question, sql)


def test_a_held_out_question_is_not_asked_by_chance(mini: Path) -> None:
    """A varied question that is held out is not used; the task's own stands in its place."""
    tasks = read_tasks(mini / "train.parquet")
    options = {"seed": 0, "noise": noisy_demonstration, "noise_share": 0.0, "rewrite_share": 0.0, "annotators": 1}

    def asked(held_out: set[str]) -> set[str]:
        shown = demonstrations(tasks, mini, varied_share=1.0, held_out=held_out, **options)
        return {line[3:] for each in shown for line in each.messages[0]["content"].splitlines() if line[:3] == "-- "}

    new = asked(set()) - {task.question for task in tasks}
    assert new
    assert not asked(new) & new


def test_a_build_repeats_itself(mini: Path, tmp_path: Path) -> None:
    """Two builds with one seed have the same bytes; an existing folder is refused and left alone."""
    settings = TinyModelSettings(vocabulary=400, hidden=32, layers=1, warm_start=WarmStartSettings(steps=3))
    digests = [
        hashlib.sha256((build_tiny_model(tmp_path / name, mini, settings) / "model.safetensors").read_bytes())
        for name in ("first", "second")
    ]
    assert digests[0].digest() == digests[1].digest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    """`lit-sql tiny-model` names the folder that is in the way and writes nothing."""
    from lit_sql_trainer.cli import main

    told = CliRunner().invoke(main, ["tiny-model", str(tmp_path)])
    assert told.exit_code == 2
    assert f"{tmp_path} exists" in told.output
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_model_is_an_ordinary_folder() -> None:
    """It loads with transformers alone, has a chat template, fits in the wheel, and says how it was built."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(model_source(None))
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8_000_000
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    recipe = json.loads((folder / RECIPE).read_text())
    assert sum(each.numel() for each in model.parameters()) == recipe["parameters"] < 1_000_000
    assert recipe["settings"] == json.loads(json.dumps(dataclasses.asdict(TinyModelSettings())))
    question = [{"role": "user", "content": "x"}]
    asked = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    assert asked.endswith("<|im_start|>assistant\n")
