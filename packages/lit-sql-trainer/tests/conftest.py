"""A toy data folder that every test may train on, and a stage that plays single rollouts through the real library."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.machine.environment import guard_environment
from lit_sql_trainer.runs import read_lines
from lit_sql_trainer.testing import PlayedRollout, play_rollout
from spider_data import SpiderTask, write_tasks

guard_environment(local_model=True)  # before any test imports the library
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell: programs that we start inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

WEAK_LOSS = 0.05
TABLES = {"shop": "item", "school": "pupil"}
QUESTIONS = (
    ("How many {table}s are there?", "SELECT count(*) FROM {table}"),
    ("List the name of every {table}.", "SELECT name FROM {table}"),
    ("What is the highest age of a {table}?", "SELECT max(age) FROM {table}"),
    ("Which {table}s are older than {age}?", "SELECT name FROM {table} WHERE age > {age}"),
)


def toy_tasks(split: str, count: int) -> list[SpiderTask]:
    """Tasks that turn through both databases and all questions."""
    tasks: list[SpiderTask] = []
    for number in range(count):
        db_id = ("shop", "school")[number % 2]
        question, gold = QUESTIONS[number // 2 % len(QUESTIONS)]
        words = {"table": TABLES[db_id], "age": 10 + number}
        tasks.append(
            SpiderTask(
                task_id=f"{split}-{number:05d}",
                db_id=db_id,
                question=question.format(**words),
                query=gold.format(**words),
            )
        )
    return tasks


def make_toy_data(folder: Path) -> Path:
    """A data folder with two databases, a variant of each, and three splits."""
    for db_id, table in TABLES.items():
        home = folder / "database" / db_id
        home.mkdir(parents=True)
        for suffix in ("", "_v1"):
            rng = random.Random(db_id + suffix)
            connection = sqlite3.connect(home / f"{db_id}{suffix}.sqlite")
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT, age INTEGER)")
            rows = [(number, f"n{rng.randrange(20)}", rng.randrange(5, 60)) for number in range(8 + len(suffix))]
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
            connection.commit()
            connection.close()
    for split, count in (("train", 24), ("validation", 12), ("test", 8)):
        write_tasks(folder / f"{split}.parquet", toy_tasks(split, count))
    return folder


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder; nobody writes to it."""
    return make_toy_data(tmp_path_factory.mktemp("data") / "toy")


@pytest.fixture(scope="session")
def toy_rows() -> list[dict[str, Any]]:
    """Training rows as a runner gets them; the first two ask how many items and pupils there are."""
    return [dict(task.to_row()) for task in toy_tasks("train", 24)]


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """A data folder that the test may damage."""
    return make_toy_data(tmp_path / "data")


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a Qwen2 of random weights, a byte tokenizer and a chat template."""
    torch = pytest.importorskip("torch", reason="needs the `cpu` dependency group")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    special = ["<pad>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={token: place for place, token in enumerate(special + alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<|im_end|>")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    folder = tmp_path_factory.mktemp("model")
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def weak_model(random_model: Path, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random model after a minute fraction of supervised training: it writes SQL that is right now and then."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from spider_data import DatabaseCatalog, read_tasks
    from sql_graph import PromptStyle, SqlDatabase, build_graph

    tokenizer = AutoTokenizer.from_pretrained(random_model)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(random_model)
    samples: list[tuple[list[int], list[int]]] = []
    for task in read_tasks(toy_data / "train.parquet", 8):  # the four questions on both databases
        asked = Listener()
        database = SqlDatabase(DatabaseCatalog(toy_data).path(task.db_id))
        with contextlib.suppress(Listener.Heard):
            build_graph(chat=asked, database=database, style=PromptStyle.COMPACT).invoke({"question": task.question})
        prompt = tokenizer.apply_chat_template(asked.messages, add_generation_prompt=True, return_dict=False)
        samples.append((prompt, [*tokenizer(f"```sql\n{task.query}\n```").input_ids, tokenizer.eos_token_id]))
    width = max(len(prompt) + len(reply) for prompt, reply in samples)
    ids, labels = torch.zeros(len(samples), width, dtype=torch.long), torch.full((len(samples), width), -100)
    for row, (prompt, reply) in enumerate(samples):
        ids[row, : len(prompt) + len(reply)] = torch.tensor(prompt + reply)
        labels[row, len(prompt) : len(prompt) + len(reply)] = torch.tensor(reply)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other are slower on a busy machine
    loss = torch.tensor(1e9)
    while loss > WEAK_LOSS:
        loss = model(input_ids=ids, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.set_num_threads(threads)
    folder = tmp_path_factory.mktemp("weak")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class Listener:
    """A chat model that only hears what it is asked."""

    class Heard(Exception):
        """The question was heard."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    def invoke(self, messages: Any, config: Any = None) -> Any:
        """Remember the messages and leave."""
        roles = {"human": "user", "ai": "assistant", "system": "system"}
        self.messages = [{"role": roles[message.type], "content": message.content} for message in messages]
        raise self.Heard


@dataclass
class Played:
    """What one rollout left in the library, and the record that the agent wrote."""

    rollout: PlayedRollout
    record: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rollout, name)

    @property
    def calls(self) -> list[str]:
        """The replies that were traced, trained or not."""
        completions = [span for span in self.rollout.spans if "completion" in span.name]
        replies = [span.attributes.get("response_token_ids") for span in completions]
        return [text_of(reply) for reply in replies if reply]


def text_of(token_ids: Any) -> str:
    """The text behind a scripted endpoint's token ids."""
    return "".join(map(chr, token_ids))


class Stage:
    """Plays single rollouts and reads the agent's record of them."""

    def play(
        self, agent: Any, row: dict[str, Any], llm: Any, *, mode: str = "train", seed: int | None = None
    ) -> Played:
        """One rollout, with its spans as the store holds them."""
        played = play_rollout(agent, row, llm, mode=mode, seed=seed)
        record = list(read_lines(agent.rollouts_file))[-1] if agent.rollouts_file else {}
        return Played(rollout=played, record=record)


@pytest.fixture(scope="session")
def stage() -> Stage:
    """The library is imported once per test session; it takes a quarter of a minute."""
    pytest.importorskip("agentlightning")
    return Stage()
