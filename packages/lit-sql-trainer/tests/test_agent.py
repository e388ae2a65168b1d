"""What a rollout leaves behind: promises 1, 3, 4, 6, 9 to 12 of the design, on the library's real spans."""

from __future__ import annotations

import logging
import sqlite3
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer import RolloutSettings
from lit_sql_trainer.errors import CanaryError, RolloutError
from lit_sql_trainer.profile import TRAINED_NODES
from lit_sql_trainer.rollouts.canary import canary
from lit_sql_trainer.testing import Fault, ScriptedEndpoint
from sql_graph import CheckMode
from sql_graph.options import RewriteForm
from sql_reward import Outcome, Verdict, reward_of

WRONG = "```sql\nSELECT name FROM item WHERE age = 99\n```"
BETTER = "```sql\nSELECT count(name) FROM item\n```"
REMARK = "It does not count.\nVERDICT: INCORRECT"
APPROVAL = "Good.\nVERDICT: CORRECT"

Play = Callable[..., Any]


def script(*replies: str) -> Callable[[dict[str, Any]], str]:
    """These replies, one after another; a further request fails the rollout."""
    left = list(replies)
    return lambda body: left.pop(0)


@pytest.fixture
def play(stage: Any, toy_data: Path, toy_rows: list[dict[str, Any]], tmp_path: Path) -> Play:
    """Play the first toy task, `How many items are there?`, against an endpoint."""

    def played(
        endpoint: ScriptedEndpoint | str,
        *,
        row: dict[str, Any] | None = None,
        data: Path = toy_data,
        sampling: dict[str, Any] | None = None,
        mode: str = "train",
        seed: int | None = None,
        llm: Any = None,
        **settings: Any,
    ) -> Any:
        import agentlightning as agl

        from lit_sql_trainer import LitSQLAgent

        url = endpoint if isinstance(endpoint, str) else endpoint.url
        agent = LitSQLAgent(data=data, settings=RolloutSettings(**settings), rollouts_file=tmp_path / "rollouts.jsonl")
        llm = llm or agl.LLM(endpoint=url, model="scripted", sampling_parameters=sampling or {"temperature": 0.7})
        return stage.play(agent, row or toy_rows[0], llm, mode=mode, seed=seed)

    return played


@pytest.fixture(params=list(RewriteForm))
def checked_run(play: Play, request: pytest.FixtureRequest) -> Iterator[tuple[Any, ScriptedEndpoint]]:
    """A rollout of two turns with the model as its checker: write, check, rewrite, check; in either form of rewrite."""
    with ScriptedEndpoint(script(WRONG, REMARK, BETTER, APPROVAL)) as endpoint:
        yield play(endpoint, seed=5, check=CheckMode.LLM, rewrite=request.param), endpoint


def replies_of(triplets: list[Any]) -> list[str]:
    return ["".join(map(chr, triplet.response["token_ids"])) for triplet in triplets]


def test_write_and_rewrite_are_trained_and_the_check_never(checked_run: tuple[Any, ScriptedEndpoint]) -> None:
    """Four model calls are traced; the two that wrote SQL become triplets, with the tokens that the endpoint named."""
    played, endpoint = checked_run
    assert played.error is None
    assert played.calls == [WRONG, REMARK, BETTER, APPROVAL]
    triplets = played.triplets()
    assert replies_of(triplets) == [WRONG, BETTER]
    for triplet, body in zip(triplets, (endpoint.requests[0], endpoint.requests[2]), strict=True):
        prompt = "\n".join(message["content"] for message in body["messages"])
        assert "".join(map(chr, triplet.prompt["token_ids"])) == prompt


def test_no_tool_output_carries_loss(checked_run: tuple[Any, ScriptedEndpoint]) -> None:
    """What the check made of the answer is in the rewrite's prompt, never in a response that is trained."""
    played, endpoint = checked_run
    observed = endpoint.requests[2]["messages"][-1]["content"]
    assert REMARK.partition("\n")[0] in observed
    assert not any("rows" in reply for reply in replies_of(played.triplets()))


@pytest.mark.parametrize(
    ("active_agent", "trained"),
    [
        ("^write_query$", [WRONG]),
        ("^rewrite_query$", [BETTER]),
        ("^check_query$", [REMARK, APPROVAL]),
        ("_query$", [WRONG, REMARK, BETTER, APPROVAL]),
        ("^nobody$", []),
    ],
)
def test_active_agent_overrides(
    checked_run: tuple[Any, ScriptedEndpoint], active_agent: str, trained: list[str]
) -> None:
    """`--active-agent` picks nodes by their name in the graph."""
    assert replies_of(checked_run[0].triplets(active_agent)) == trained


def test_the_reward_is_in_the_spans_once(checked_run: tuple[Any, ScriptedEndpoint]) -> None:
    """One reward span, equal to the verdict's reward, on the last trained call; the final check does not take it."""
    played, _ = checked_run
    assert played.rewards == [1.0]
    assert [triplet.reward for triplet in played.triplets()] == [None, 1.0]
    assert (played.record["outcome"], played.record["reward"]) == ("match", 1.0)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_reward_is_exact_in_bfloat16(outcome: Outcome) -> None:
    """VERL keeps rewards as bfloat16, the upper half of a float32; ours lose nothing there."""
    for passed in range(5):
        reward = reward_of(Verdict(outcome=outcome, databases_passed=passed, databases_total=5))
        upper = struct.pack(">f", reward)[:2]
        assert struct.unpack(">f", upper + b"\x00\x00") == (reward,)


def test_a_turn_more_does_not_cost_a_reward_more(play: Play) -> None:
    """A rollout returns one reward whatever its turns, so that it weighs the same in its group."""
    for replies, calls in (((BETTER,), 1), ((WRONG, BETTER), 2)):
        with ScriptedEndpoint(script(*replies)) as endpoint:
            played = play(endpoint, check=CheckMode.RULES)
        assert (len(played.triplets()), played.rewards, played.record["turns"]) == (calls, [1.0], calls)


def test_the_gold_query_is_nowhere(
    play: Play, toy_rows: list[dict[str, Any]], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """When the model writes something else, the gold is in no request, no span, no log above DEBUG and no record."""
    gold = "SELECT count(*) FROM item /* gold-mark */"
    with (
        caplog.at_level(logging.INFO),
        ScriptedEndpoint(script(WRONG, REMARK, WRONG, REMARK, WRONG.replace("99", "98"))) as endpoint,
    ):
        played = play(endpoint, row={**toy_rows[0], "query": gold})
    assert played.record["outcome"] == "mismatch"
    kept = (tmp_path / "rollouts.jsonl").read_text()
    for text in (played.text, str(endpoint.requests), caplog.text, kept):
        assert text
        assert "gold-mark" not in text
        assert "count(*)" not in text
    assert "gold-mark" in gold


def test_prose_never_reaches_the_database(play: Play) -> None:
    """A reply without SQL is judged as such: nothing is executed, and its tokens are trained with its reward."""
    with ScriptedEndpoint(script("I would look at the items and count them.")) as endpoint:
        played = play(endpoint)
    assert (played.record["turns"], played.record["sql"], played.record["outcome"]) == (0, [None], "no_sql")
    assert played.rewards == [0.0]
    assert len(played.triplets()) == 1


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("```sql\nSELECT nothing FROM nowhere\n```", "sql_error"),
        ("```sql\nDROP TABLE item\n```", "forbidden"),
        ("```sql\nSELECT name FROM item\n```", "mismatch"),
    ],
)
def test_what_the_policy_does_wrong_is_its_reward(play: Play, reply: str, outcome: str) -> None:
    """Bad SQL ends in a verdict and a number, never in a failed rollout."""
    with ScriptedEndpoint(lambda body: reply) as endpoint:
        played = play(endpoint, check=CheckMode.RULES, max_turns=1)
    assert (played.error, played.status, played.rewards) == (None, "succeeded", [0.0])
    assert played.record["outcome"] == outcome


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.CUT, Fault.TIMEOUT])
def test_an_endpoint_that_fails_earns_no_reward(play: Play, fault: Fault) -> None:
    """After its retries the rollout fails visibly: no reward is invented, no other prompt is tried."""
    with ScriptedEndpoint(lambda body: BETTER, fault=lambda number: fault) as endpoint:
        played = play(endpoint, request_timeout_s=0.3, max_retries=1)
    assert isinstance(played.error, RolloutError)
    assert (played.status, played.rewards, played.triplets()) == ("failed", [], [])
    assert "ModelCallError" in played.record["failed"]
    assert len(endpoint.requests) == 2
    assert endpoint.requests[0]["messages"] == endpoint.requests[1]["messages"]


def test_one_fault_is_retried(play: Play) -> None:
    """A single failure costs a retry, not the rollout; the failed request becomes no sample."""
    with ScriptedEndpoint(
        lambda body: BETTER, fault=lambda number: Fault.SERVER_ERROR if number == 1 else None
    ) as endpoint:
        played = play(endpoint, check=CheckMode.RULES)
    assert (played.status, played.rewards, len(played.triplets())) == ("succeeded", [1.0], 1)
    assert endpoint.requests[0] == endpoint.requests[1]  # the same seed: the same draw


def test_a_gold_that_fails_is_our_fault(
    play: Play, toy_rows: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """The task is named and the rollout dropped; the gold's text stays out of errors, logs, spans and records."""
    gold = "SELECT count(*) FROM goldtable WHERE secret = 'gold-mark'"
    with ScriptedEndpoint(lambda body: BETTER) as endpoint:
        played = play(endpoint, row={**toy_rows[0], "query": gold}, check=CheckMode.RULES)
    assert isinstance(played.error, RolloutError)
    assert "train-00000" in str(played.error)
    assert "GoldSqlError" in played.record["failed"]
    assert (played.status, played.rewards) == ("failed", [])
    for text in (str(played.error), played.text, caplog.text, str(played.record)):
        assert "gold-mark" not in text


def test_a_missing_database_is_our_fault(play: Play, toy_rows: list[dict[str, Any]]) -> None:
    """A task without its database is no question the model could answer; no model is asked."""
    with ScriptedEndpoint(lambda body: BETTER) as endpoint:
        played = play(endpoint, row={**toy_rows[0], "db_id": "shpo"})
    assert "did you mean 'shop'" in played.record["failed"]
    assert (played.status, played.rewards, endpoint.requests) == ("failed", [], [])


def test_a_damaged_database_is_our_fault(play: Play, own_data: Path) -> None:
    """A file that SQLite cannot read fails the rollout; the model's query is not blamed."""
    (own_data / "database/shop/shop.sqlite").write_bytes(b"not a database" * 100)
    with ScriptedEndpoint(lambda body: BETTER) as endpoint:
        played = play(endpoint, data=own_data)
    assert (played.status, played.rewards) == ("failed", [])


def test_a_rollout_ends_by_its_deadline(play: Play) -> None:
    """No call is begun after the deadline, so a slow endpoint cannot hold a runner for the library's 20 minutes."""
    with ScriptedEndpoint(lambda body: WRONG, fault=_slow) as endpoint:
        played = play(endpoint, deadline_s=0.2)
    assert isinstance(played.error, RolloutError)
    assert "no time left after 1 model calls" in played.record["failed"]
    assert played.record["seconds"] < 5
    assert len(endpoint.requests) == 1


def _slow(number: int) -> None:
    import time

    time.sleep(0.3)


def test_training_explores_and_validation_is_greedy(play: Play) -> None:
    """In training the published temperature holds; in every other mode it is 0, whatever was published."""
    temperatures: dict[str, list[float]] = {}
    for mode in ("train", "val", "test"):
        with ScriptedEndpoint(lambda body: BETTER) as endpoint:
            play(endpoint, mode=mode, sampling={"temperature": 0.7}, check=CheckMode.RULES)
        temperatures[mode] = [body["temperature"] for body in endpoint.requests]
        assert all(body["max_tokens"] == 512 for body in endpoint.requests)
    assert temperatures == {"train": [0.7], "val": [0.0], "test": [0.0]}


def test_a_rollout_asks_with_the_seed_it_was_given(play: Play) -> None:
    """Every call carries the algorithm's seed, by which the local server knows which rollouts it samples together.

    Without one the task makes it, so that the same rollout asks the same again.
    """
    seeds: list[set[int]] = []
    for seed in (5, 5, 6, None, None):
        with ScriptedEndpoint(script(WRONG, REMARK, BETTER, APPROVAL)) as endpoint:
            play(endpoint, seed=seed)
        seeds.append({body["seed"] for body in endpoint.requests})
    first, again, other, without, without_again = seeds
    assert (first, again, other) == ({5}, {5}, {6})
    assert without == without_again
    assert len(without) == 1


def test_a_proxied_model_is_asked_at_the_rollouts_own_address(play: Play) -> None:
    """The same agent works behind the library's proxy, whose address names rollout and attempt."""
    import agentlightning as agl

    with ScriptedEndpoint(lambda body: BETTER) as endpoint:
        llm = agl.ProxyLLM(endpoint=endpoint.url, model="scripted", sampling_parameters={})
        played = play(endpoint, llm=llm, check=CheckMode.RULES)
    rollout_id = played.record["rollout_id"]
    assert played.status == "succeeded"
    assert endpoint.paths[0].startswith(f"/rollout/{rollout_id}/attempt/")
    assert endpoint.paths[0].endswith("/v1/chat/completions")


def test_the_canary_passes_a_real_trace(checked_run: tuple[Any, ScriptedEndpoint]) -> None:
    """A rollout that can be trained on is accepted."""
    played, _ = checked_run
    canary(played.spans, played.triplets(), active_agent=TRAINED_NODES)


def test_the_canary_names_a_wrong_pattern(checked_run: tuple[Any, ScriptedEndpoint]) -> None:
    """Real node names are listed beside the pattern that matched none."""
    played, _ = checked_run
    with pytest.raises(CanaryError) as caught:
        canary(played.spans, played.triplets("^writer$"), active_agent="^writer$")
    assert "'^writer$'" in str(caught.value)
    assert "write_query" in str(caught.value)


def test_the_canary_names_an_endpoint_without_token_ids(play: Play) -> None:
    """An endpoint that keeps its token ids lets rollouts succeed and trains nothing: training stops at once."""
    with ScriptedEndpoint(lambda body: BETTER, ids=False) as endpoint:
        played = play(endpoint, check=CheckMode.RULES)
    assert played.status == "succeeded"
    with pytest.raises(CanaryError, match="none with token ids"):
        canary(played.spans, played.triplets(), active_agent=TRAINED_NODES)


def test_the_trace_is_as_small_as_it_was_measured(checked_run: tuple[Any, ScriptedEndpoint]) -> None:
    """Two turns with checks are at most 40 spans, and no call is traced twice."""
    played, endpoint = checked_run
    ids = [span.attributes["gen_ai.response.id"] for span in played.spans if "gen_ai.response.id" in span.attributes]
    assert len([span for span in played.spans if span.name == "openai.chat.completion"]) == len(endpoint.requests) == 4
    assert len(set(ids)) == 4
    assert len(played.spans) <= 40


def test_a_rollout_changes_no_database(play: Play, own_data: Path) -> None:
    """The files are the same bytes after a rollout that tried to write."""
    file = own_data / "database/shop/shop.sqlite"
    before = file.read_bytes()
    with ScriptedEndpoint(lambda body: "```sql\nDELETE FROM item\n```") as endpoint:
        played = play(endpoint, data=own_data, check=CheckMode.RULES)
    assert played.record["outcome"] == "forbidden"
    assert file.read_bytes() == before
    assert sqlite3.connect(file).execute("SELECT count(*) FROM item").fetchone() == (8,)


def test_the_record_holds_the_way_through_the_graph(
    checked_run: tuple[Any, ScriptedEndpoint], toy_rows: list[dict[str, Any]]
) -> None:
    """Node, status, rows and remark of every turn, in the order of the queries; no row of the database."""
    record = checked_run[0].record
    first, second = record["path"]
    assert record["question"] == toy_rows[0]["question"]
    assert (first["node"], first["status"], first["rows"]) == ("write_query", "empty", 0)
    assert "does not count" in first["feedback"]
    assert (second["node"], second["status"], second["rows"]) == ("rewrite_query", "rows", 1)
    assert "feedback" not in second
    assert all(turn["seconds"] >= 0 for turn in record["path"])
    assert record["empty_match"] is False


def test_a_match_where_nothing_is_to_be_found_is_marked(play: Play, toy_rows: list[dict[str, Any]]) -> None:
    """Any query that finds nothing would have matched; a mismatch is never marked."""
    gold = "SELECT name FROM item WHERE age > 900"
    for reply, marked in (("SELECT id FROM item WHERE 1 = 0", True), ("SELECT id FROM item", False)):
        with ScriptedEndpoint(lambda body, reply=reply: f"```sql\n{reply}\n```") as endpoint:
            played = play(endpoint, row={**toy_rows[0], "query": gold}, check=CheckMode.RULES, max_turns=1)
        assert played.record["empty_match"] is marked


def test_a_query_that_failed_is_recorded_with_its_error(play: Play) -> None:
    """The short message that the model read, without a feedback where the check was not asked."""
    with ScriptedEndpoint(lambda body: "```sql\nSELECT name FROM nowhere\n```") as endpoint:
        played = play(endpoint, check=CheckMode.RULES, max_turns=1)
    assert played.record["path"][0]["status"] == "error"
    assert "nowhere" in played.record["path"][0]["error"]
