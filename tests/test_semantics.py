"""The twelve promises of training, by number. A red test here means that training has changed.

Each test goes through the public doors of the packages. Finer tests of the same matters lie beside the code.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_sql_trainer import PROFILES, LitSQLAgent, RolloutSettings, evaluate, find_target, verl_config
from lit_sql_trainer.cli import main as lit_sql
from lit_sql_trainer.errors import CanaryError, FailureLimitError
from lit_sql_trainer.rollouts import DropWindow, group_advantages
from lit_sql_trainer.rollouts.advantage import call_weights
from lit_sql_trainer.rollouts.canary import canary
from lit_sql_trainer.testing import Fault, PlayedRollout, ScriptedEndpoint, play_rollout
from spider_data import Manifest, Origin, SpiderTask, check_data, write_tasks
from spider_data.manifest import write_manifest
from sql_graph import CheckMode, ScriptedChat, SqlDatabase, answer
from sql_reward import Limits, Outcome, Verdict, judge, reward_of

PROGRAMS = Path(__file__).parent / "programs"
WRONG = "```sql\nSELECT name FROM item WHERE price = -1\n```"
RIGHT = "```sql\nSELECT count(name) FROM item\n```"
REMARK = "It does not count.\nVERDICT: INCORRECT"
APPROVAL = "Good.\nVERDICT: CORRECT"
GOLD = "SELECT count(*) FROM item /* gold-mark */"

Play = Callable[..., PlayedRollout]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one database, a variant of it, and three splits of the same question."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "database" / "shop").mkdir(parents=True)
    for name, rows in (("shop", 3), ("shop_v1", 5)):
        with sqlite3.connect(folder / "database" / "shop" / f"{name}.sqlite") as connection:
            connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL)")
            connection.executemany("INSERT INTO item VALUES (?, ?, ?)", [(n, f"n{n}", n * 1.5) for n in range(rows)])
        connection.close()
    for split in ("train", "validation", "test"):
        write_tasks(folder / f"{split}.parquet", [task(f"{split}-0")])
    return folder


def task(task_id: str, *, db_id: str = "shop", query: str = GOLD) -> SpiderTask:
    return SpiderTask(task_id=task_id, db_id=db_id, question="How many items are there?", query=query)


@pytest.fixture
def play(shop: Path) -> Play:
    """Plays one rollout of the question against a scripted endpoint, as a runner does."""

    def played(endpoint: ScriptedEndpoint, *, check: CheckMode = CheckMode.LLM) -> PlayedRollout:
        import agentlightning as agl

        chosen = RolloutSettings(check=check, max_retries=0)
        agent = LitSQLAgent(data=shop, settings=chosen)
        llm = agl.LLM(endpoint=endpoint.url, model="scripted", sampling_parameters={"temperature": 0.7})
        return play_rollout(agent, dict(task("train-0").to_row()), llm)

    return played


def script(*replies: str) -> Callable[[dict[str, Any]], str]:
    """These replies in turn; a further request fails the rollout."""
    left = list(replies)
    return lambda body: left.pop(0)


@pytest.fixture
def two_turns(play: Play) -> Iterator[tuple[PlayedRollout, ScriptedEndpoint]]:
    """A rollout that writes, is checked, rewrites and is checked again."""
    with ScriptedEndpoint(script(WRONG, REMARK, RIGHT, APPROVAL)) as endpoint:
        yield play(endpoint), endpoint


def replies(rollout: PlayedRollout) -> list[str]:
    return ["".join(map(chr, triplet.response["token_ids"])) for triplet in rollout.triplets()]


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.CUT])
def test_01_a_provider_failure_is_dropped(play: Play, fault: Fault) -> None:
    """It becomes neither a prompt nor a reward; more than 2 % of them stop the run with the reason."""
    with ScriptedEndpoint(lambda body: RIGHT, fault=lambda number: fault) as endpoint:
        rollout = play(endpoint)
    assert (rollout.status, rollout.rewards, rollout.triplets()) == ("failed", [], [])
    assert len({json.dumps(body["messages"]) for body in endpoint.requests}) == 1
    window = DropWindow(limit=0.02, size=256)
    for _ in range(5):
        window.lost("the server is down")
    with pytest.raises(FailureLimitError, match="6 × the server is down"):
        window.lost("the server is down")


def test_02_a_broken_gold_is_found_before_training(shop: Path, tmp_path: Path) -> None:
    """`lit-sql check` fails and names the task."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "database").symlink_to(shop / "database")
    for split in ("train", "validation", "test"):
        query = "SELECT nothing FROM nowhere" if split == "train" else GOLD
        write_tasks(data / f"{split}.parquet", [task(f"{split}-0", query=query)])
    done = CliRunner().invoke(lit_sql, ["check", "tiny", "--data", str(data), "--only", "golds", "--json"])
    assert done.exit_code == 1, done.output
    failed = [finding for finding in json.loads(done.stdout)["findings"] if finding["level"] == "fail"]
    assert failed
    assert "train-0" in json.dumps(failed)


def test_03_only_the_trained_nodes_contribute_tokens(two_turns: tuple[PlayedRollout, ScriptedEndpoint]) -> None:
    """The two calls that wrote SQL are trained, the two checks and what the database answered are not."""
    rollout, endpoint = two_turns
    assert len(endpoint.requests) == 4
    assert replies(rollout) == [WRONG, RIGHT]


@settings(max_examples=60, deadline=None)
@given(prose=st.text(alphabet=st.characters(exclude_characters="`;", codec="utf-8"), max_size=80))
def test_04_prose_never_reaches_the_database(prose: str) -> None:
    """A reply that begins as prose is `NO_SQL`, whatever follows, and nothing is executed."""

    class Untouchable(SqlDatabase):
        def run(self, sql: str) -> Any:
            raise AssertionError(f"{sql!r} reached the database")

    reply = f"I would look at the items: {prose}"
    with SqlShop() as file:
        got = answer("How many items?", database=Untouchable(file), chat=ScriptedChat([reply] * 9))
        assert got.sql is None
        assert judge(got.sql, "SELECT 1", file).outcome is Outcome.NO_SQL


class SqlShop:
    """A database file for as long as a test needs one."""

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "shop.sqlite"
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE item (id INTEGER)")
        connection.close()
        return file

    def __exit__(self, *exc: object) -> None:
        self._folder.cleanup()


@pytest.mark.parametrize(
    ("sql", "outcome"),
    [
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", Outcome.TIMEOUT),
        ("DELETE FROM item", Outcome.FORBIDDEN),
        ("UPDATE item SET price = 0", Outcome.FORBIDDEN),
        ("DROP TABLE item", Outcome.FORBIDDEN),
        ("ATTACH 'other.sqlite' AS other", Outcome.FORBIDDEN),
        ("VACUUM INTO 'copy.sqlite'", Outcome.FORBIDDEN),
        ("PRAGMA writable_schema = 1", Outcome.FORBIDDEN),
        ("SELECT load_extension('x')", Outcome.FORBIDDEN),
    ],
)
def test_05_sql_ends_and_changes_nothing(shop: Path, sql: str, outcome: Outcome) -> None:
    """Judge and agent both come back, and no byte and no file has changed."""
    folder = shop / "database" / "shop"
    before = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    assert judge(sql, "SELECT count(*) FROM item", folder, limits=Limits(deadline_s=0.5)).outcome is outcome
    observation = SqlDatabase(folder / "shop.sqlite").run(sql)
    assert observation.status.value != "rows", observation
    assert {file.name: file.read_bytes() for file in sorted(folder.iterdir())} == before


def test_06_the_gold_is_nowhere(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    """No prompt, no span and no log above DEBUG holds it when the model writes something else."""
    other = WRONG.replace("-1", "-2")
    with (
        caplog.at_level(logging.INFO),
        ScriptedEndpoint(script(WRONG, REMARK, other, REMARK, WRONG.replace("-1", "-3"))) as endpoint,
    ):
        rollout = play(endpoint)
    assert rollout.rewards == [0.0]
    for text in (rollout.text, json.dumps(endpoint.requests), caplog.text or "nothing"):
        assert text
        assert "gold-mark" not in text
        assert "count(*)" not in text


def test_07_splits_share_no_database(shop: Path, tmp_path: Path) -> None:
    """A benchmark whose splits share a database is faulty; no profile takes the test split for validation."""
    for split, db_id in (("train", "shop"), ("validation", "shop"), ("test", "other")):
        write_tasks(tmp_path / f"{split}.parquet", [replace(task(f"{split}-0"), db_id=db_id, question=split)])
    (tmp_path / "database").symlink_to(shop / "database")
    write_manifest(tmp_path, Manifest(origin=Origin.SPIDER))
    shared = [finding for finding in check_data(tmp_path).findings if finding.kind.value == "shared"]
    assert [finding.subject for finding in shared] == ["train.parquet, validation.parquet"]
    named = [verl_config(profile)["data"].get("val_files") for profile in PROFILES.values() if profile.verl]
    assert {Path(file).name for file in named if file} == {"validation.parquet"}


def test_08_same_inputs_same_verdict(shop: Path) -> None:
    """In any process, beside a busy machine, every verdict is the same."""
    pairs = [
        ("SELECT count(name) FROM item", "SELECT count(*) FROM item"),
        ("SELECT name FROM item", "SELECT name FROM item ORDER BY price"),
        ("SELECT nme FROM item", "SELECT name FROM item"),
        ("SELECT a.id FROM item a, item b, item c", "SELECT id FROM item"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT count(i) > 9 FROM n",
            "SELECT 1",
        ),
    ]
    request = json.dumps({"database": str(shop / "database" / "shop"), "pairs": pairs, "deadline_s": 1.5})
    busy = [subprocess.Popen([sys.executable, str(PROGRAMS / "busy.py")]) for _ in range(3)]
    try:
        started = [
            subprocess.Popen(
                [sys.executable, str(PROGRAMS / "verdicts.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        printed = {process.communicate(request)[0] for process in started}
    finally:
        for process in busy:
            process.kill()
            process.wait()
    limits = Limits(deadline_s=1.5)
    here = [judge(predicted, gold, shop / "database" / "shop", limits=limits).outcome for predicted, gold in pairs]
    assert [json.loads(line) for line in printed] == [[outcome.value for outcome in here]]


@given(turns=st.lists(st.integers(1, 6), min_size=2, max_size=8), right=st.floats(0, 1))
def test_09_each_rollout_weighs_the_same(turns: list[int], right: float) -> None:
    """Its calls share a weight of 1 whatever their number; a group without variance has no gradient and is counted."""
    assert [math.fsum(call_weights(number)) for number in turns] == pytest.approx([1.0] * len(turns))
    flat = group_advantages([[right] * len(turns)])
    assert flat.advantages_P_G == ((0.0,) * len(turns),)
    assert flat.zero_variance_share == 1.0


def test_10_the_reward_is_there_once_and_exact(two_turns: tuple[PlayedRollout, ScriptedEndpoint]) -> None:
    """The span holds the verdict's reward, once; every reward there is survives bfloat16, the upper half of float32."""
    rollout, _ = two_turns
    assert rollout.rewards == [1.0]
    for outcome in Outcome:
        for passed in range(5):
            reward = reward_of(Verdict(outcome=outcome, databases_passed=passed, databases_total=4))
            (bits,) = struct.unpack("<I", struct.pack("<f", reward))
            assert struct.unpack("<f", struct.pack("<I", bits & 0xFFFF0000)) == (reward,)


def test_11_training_without_tokens_stops(play: Play) -> None:
    """An endpoint that keeps its token ids lets the rollout succeed; the canary stops the run and names the cause."""
    with ScriptedEndpoint(script(RIGHT, APPROVAL), ids=False) as endpoint:
        rollout = play(endpoint)
    assert rollout.status == "succeeded"
    with pytest.raises(CanaryError, match="token"):
        canary(rollout.spans, rollout.triplets())


@pytest.mark.slow
def test_12_validation_is_greedy_and_seeded(mini: Path, tmp_path: Path) -> None:
    """The same checkpoint gives the same answers twice, and so the same number."""
    read = [
        evaluate(find_target(), out=tmp_path / name, data=mini, split="validation", limit=16) for name in ("one", "two")
    ]
    one, two = ([(record.task_id, record.sql, record.final.outcome) for record in each.records] for each in read)
    assert len(one) == 16
    assert one == two
    assert read[0].summary == read[1].summary
