"""Several samples of an answer vote by their results."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from sql_graph import (
    Attempt,
    CheckMode,
    Observation,
    ScriptedChat,
    SqlAnswer,
    StopReason,
    TableDatabase,
    UsageError,
    answer,
    build_graph,
)
from sql_graph.agent.ballot import Ballot, is_sorted, result_digest
from sql_graph.agent.calls import Call
from sql_graph.cli import main
from sql_graph.ports import ObservationStatus

CASES = tomllib.loads((Path(__file__).parent / "ballots.toml").read_text(encoding="utf-8"))["case"]
ROWS: dict[str, Any] = {"SELECT 1": [{"a": 1}], "SELECT 2": [{"a": 2}], "SELECT 3": [{"a": 3}], "SELECT 0": []}


def sample(*, sql: str = "SELECT a FROM t", rows: Any = None, failed: bool = False, logprob: Any = None) -> SqlAnswer:
    """An answer whose query gave these rows."""
    status = ObservationStatus.ERROR if failed else ObservationStatus.ROWS if rows else ObservationStatus.EMPTY
    seen = Observation(status=status, text="", rows=tuple(map(tuple, rows or ())), row_count=len(rows or ()))
    attempt = Attempt(node="write_query", sql=sql, cut=False, observation=seen, feedback="")
    call = Call(node="write_query", logprob=logprob)
    return SqlAnswer(
        question="?", sql=sql, turns=1, stop=StopReason.APPROVED, attempts=(attempt,), calls=(call,), result=seen
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_ballot(case: dict[str, Any]) -> None:
    """Each written case elects the answer that its author expects."""
    ballot = Ballot()
    for given_sample in case["samples"]:
        ballot.add(sample(**given_sample))
    assert ballot.elected() == (case["elected"], case["agreement"] / len(case["samples"]))


CELLS = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from(["a", "b", ""]), st.floats(0, 1))


@given(st.data(), st.integers(1, 4), st.integers(0, 6), st.integers())
def test_a_digest_knows_no_order(data: st.DataObject, width: int, height: int, seed: int) -> None:
    """Shuffling columns and rows never changes a digest, and shuffling columns never one of a sorted result."""
    rows = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=height, max_size=height))
    shuffle = random.Random(seed)
    columns = shuffle.sample(range(width), width)
    turned = [[row[i] for i in columns] for row in rows]
    assert result_digest(turned, ordered=True) == result_digest(rows, ordered=True)
    mixed = shuffle.sample(turned, height)
    assert result_digest(mixed, ordered=False) == result_digest(rows, ordered=False)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([[1, 2], [2, 1]], [[1, 1], [2, 2]]),
        ([["a", "x"], ["b", "y"]], [["a", "y"], ["b", "x"]]),
        ([[1]], [["1"]]),
        ([[None]], [[""]]),
        ([[1], [1]], [[1]]),
        ([[1, 1]], [[1]]),
        ([[0.5]], [[0.25]]),
    ],
)
def test_results_that_differ(left: Sequence[Sequence[Any]], right: Sequence[Sequence[Any]]) -> None:
    """Values that stand together in other rows, other types and other counts are other results."""
    assert result_digest(left, ordered=False) != result_digest(right, ordered=False)


def test_numbers_of_every_type() -> None:
    """One value is the same in every numeric type, and the last digits of a sum do not count."""
    same = [[1, 1.0, Decimal("1.00"), True], [0.1 + 0.2, 0.3, Decimal("0.3"), 0.30000000000000004]]
    for values in same:
        assert len({result_digest([[value]], ordered=False) for value in values}) == 1
    assert len({result_digest([[value]], ordered=False) for value in (float("nan"), Decimal("NaN"))}) == 1
    assert result_digest([[2**60]], ordered=False) != result_digest([[2**60 + 1]], ordered=False)


@pytest.mark.parametrize(
    ("sql", "is_so"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order\n by a", True),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3)", False),
        ("SELECT rank() OVER (PARTITION BY f(x) ORDER BY a) FROM t", False),
        ("SELECT ' ORDER BY ' FROM t -- order by a", False),
    ],
)
def test_a_query_that_sorts(sql: str, is_so: bool) -> None:
    """A query sorts its result if ORDER BY stands outside of parentheses, quotes and comments."""
    assert is_sorted(sql) == is_so


class Sampled:
    """A model with a temperature and a seed, which notes how each call was asked."""

    temperature: float | None = 0.0
    seed: int | None = 7

    def __init__(self, *replies: str | AIMessage) -> None:
        self._chat = ScriptedChat(list(replies))
        self.asked: list[dict[str, Any]] = []

    def invoke(self, input: list[Any], /, config: Any = None, **sampling_parameters: Any) -> Any:
        """The next reply."""
        self.asked.append(sampling_parameters)
        return self._chat.invoke(input, config)


def voted(chat: Any, votes: int = 5, **options: Any) -> SqlAnswer:
    """The answer that samples elect, each of one turn."""
    return answer("?", database=TableDatabase(ROWS), chat=chat, votes=votes, **{"check": CheckMode.RULES, **options})


def test_the_majority_answers() -> None:
    """The elected answer has its rows, every sample's calls, and the share of the samples that agree."""
    found = voted(ScriptedChat([f"SELECT {n}" for n in (1, 2, 3, 2, 2)]))
    assert (found.sql, found.rows, found.agreement, found.chosen) == ("SELECT 2", ((2,),), 0.6, 1)
    assert [each.sql for each in found.samples] == [f"SELECT {n}" for n in (1, 2, 3, 2, 2)]
    assert [call.sample for call in found.calls] == [0, 1, 2, 3, 4]


def test_sampling_stops_when_nothing_can_change() -> None:
    """Three of five agree: the others are not asked. Two of three that agree are not certain of five."""
    chat = ScriptedChat(["SELECT 1"] * 5)
    assert voted(chat).agreement == 1.0
    assert len(chat.calls) == 3
    chat = ScriptedChat(["SELECT 2", "SELECT 1", "SELECT 1", "SELECT 1", "SELECT 3"])
    assert voted(chat).agreement == 0.75
    assert len(chat.calls) == 4


def test_empty_results_decide_nothing_early() -> None:
    """However many samples find nothing, one that finds something outvotes them, so all are asked."""
    chat = ScriptedChat(["SELECT 0"] * 4 + ["SELECT 3"])
    found = voted(chat, max_turns=1)
    assert (found.sql, found.agreement) == ("SELECT 3", 0.2)


def test_the_first_sample_is_greedy() -> None:
    """The first sample is asked at temperature 0, the others with some and with a seed of their own."""
    chat = Sampled("SELECT 1", "SELECT 2", "SELECT 3")
    voted(chat, votes=3)
    assert [each["temperature"] for each in chat.asked] == [0.0, 0.8, 0.8]
    assert len({each.get("seed") for each in chat.asked}) == 3
    assert "seed" not in chat.asked[0]
    warm = Sampled("SELECT 1", "SELECT 2", "SELECT 3")
    warm.temperature, warm.seed = 0.4, None
    voted(warm, votes=3)
    assert [each["temperature"] for each in warm.asked] == [0.0, 0.4, 0.4]
    assert not any("seed" in each for each in warm.asked)


def test_one_vote_changes_nothing() -> None:
    """Without votes the model is asked as ever, and nobody speaks of agreement."""
    chat = Sampled("SELECT 1")
    found = voted(chat, votes=1)
    assert (chat.asked, found.agreement, found.samples) == ([{}], None, ())


@pytest.mark.parametrize("votes", [0, -1])
def test_votes_that_make_no_sense(votes: int) -> None:
    """There is at least one sample."""
    with pytest.raises(UsageError, match="votes must be at least 1"):
        voted(ScriptedChat([]), votes=votes)


def test_a_served_graph_votes() -> None:
    """The graph that a server runs elects as `answer` does; its state holds the winner's attempts and the agreement."""
    chat = ScriptedChat(["SELECT nme", "SELECT 2", "SELECT 1", "SELECT 2"])
    graph = build_graph(database=TableDatabase(ROWS), chat=chat, check=CheckMode.RULES, votes=3)
    final = graph.invoke({"question": "?"})
    assert (final["query"], final["num_turns"], final["agreement"]) == ("SELECT 2", 2, 2 / 3)
    assert json.loads(json.dumps(final)) == final


def probable(text: str, *logprobs: float) -> dict[str, Any]:
    """The body of a completion with a log-probability for each of its tokens."""
    tokens = [{"token": "x", "logprob": each, "bytes": None, "top_logprobs": []} for each in logprobs]
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": tokens}}
    usage = {"prompt_tokens": 10, "completion_tokens": len(logprobs), "total_tokens": 10 + len(logprobs)}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def test_an_endpoint_with_probabilities(opener: Any, reply_with: Callable[..., Any], answers: Any) -> None:
    """Log-probabilities are asked for, and break a tie in favour of the more probable reply."""
    replies = [probable("SELECT 1", -1.0, -2.5), probable("SELECT 2", -0.5, -0.25)]
    endpoint = reply_with(*(answers.Answer(body=json.dumps(reply)) for reply in replies))
    chat = opener(model="m", base_url=endpoint.url, sampling_parameters={"temperature": 0.0, "seed": 3})
    found = voted(chat, votes=2, max_turns=1)
    assert [call.logprob for call in found.calls] == [-3.5, -0.75]
    assert (found.sql, found.agreement) == ("SELECT 2", 0.5)
    assert [request["logprobs"] for request in endpoint.requests] == [True, True]
    assert [request["temperature"] for request in endpoint.requests] == [0.0, 0.8]
    assert len({request["seed"] for request in endpoint.requests}) == 2


def test_an_endpoint_without_probabilities(opener: Any, reply_with: Callable[..., Any], answers: Any) -> None:
    """An endpoint that refuses to give log-probabilities is asked without them, from then on at once."""
    endpoint = reply_with(answers.failure(400, "logprobs is not supported"), "SELECT 1", "SELECT 1")
    chat = opener(model="m", base_url=endpoint.url, sampling_parameters={"temperature": 0.0})
    assert voted(chat, votes=2).agreement == 1.0
    assert ["logprobs" in request for request in endpoint.requests] == [True, False, False]


def test_ask_shows_the_agreement(tmp_path: Path, reply_with: Callable[..., Any]) -> None:
    """`ask --votes` shows each sample, then the elected query with its confidence; --json holds both."""
    endpoint = reply_with("SELECT 1", "SELECT 2", "SELECT 2 AS b", "SELECT 1", "SELECT 2", "SELECT 2 AS b")
    (tmp_path / "a.sqlite").touch()
    import sqlite3

    with sqlite3.connect(tmp_path / "a.sqlite") as connection:
        connection.execute("CREATE TABLE t(x)")
    options = ["--db", str(tmp_path / "a.sqlite"), "--model", "m", "--base-url", endpoint.url, "--check", "rules"]
    shown = CliRunner().invoke(main, ["ask", "?", *options, "--votes", "3"])
    assert shown.exit_code == 0, shown.output
    assert "sample 3" in shown.output
    assert "2 of 3 samples agree (67%)" in shown.output
    assert shown.output.index("2 of 3 samples") < shown.output.rindex("SELECT 2")
    found = json.loads(CliRunner().invoke(main, ["ask", "?", *options, "--votes", "3", "--json"]).stdout)
    assert (found["sql"], round(found["agreement"], 3), len(found["samples"])) == ("SELECT 2", 0.667, 3)
    assert CliRunner().invoke(main, ["ask", "?", *options, "--votes", "0"]).exit_code == 2
