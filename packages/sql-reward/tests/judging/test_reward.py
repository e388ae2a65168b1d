"""From verdicts to numbers."""

import itertools
import struct
from pathlib import Path

import pytest

from sql_reward import (
    PLAIN,
    SHAPED,
    GoldSqlError,
    LimitsError,
    Outcome,
    RewardScale,
    SchemaOverlap,
    Verdict,
    evaluate_query,
    judge,
    reward_of,
)

OVERLAPS = [SchemaOverlap(tables=a / 7, columns=b / 9) for a, b in itertools.product(range(8), range(10))]


def as_bfloat16(value: float) -> float:
    """The value after a trip through bfloat16: a float32 without its last 16 bits, rounded to even."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return struct.unpack("<f", struct.pack("<I", bits))[0]


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("gold_empty", [False, True])
def test_plain(outcome: Outcome, gold_empty: bool) -> None:
    """By default a match is 1 and anything else is 0."""
    verdict = Verdict(outcome=outcome, gold_empty=gold_empty)
    assert reward_of(verdict) == reward_of(verdict, scale=PLAIN) == float(outcome is Outcome.MATCH)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_shaped(outcome: Outcome) -> None:
    """No wrong query comes near a right one, all rewards are exact in bfloat16, and only a query that ran gets any."""
    for overlap in OVERLAPS:
        reward = reward_of(Verdict(outcome=outcome, overlap=overlap), scale=SHAPED)
        assert as_bfloat16(reward) == reward
        if outcome is Outcome.MATCH:
            assert reward == 1.0
        else:
            assert 0.0 <= reward <= 0.3
            assert (reward > 0) is (outcome is Outcome.MISMATCH)
        assert reward_of(Verdict(outcome=outcome, overlap=overlap, gold_empty=True), scale=SHAPED) == 0.0


def test_more_of_the_schema_is_worth_more() -> None:
    """Between wrong queries, reading more of the right columns never costs."""
    rewards = [
        reward_of(Verdict(outcome=Outcome.MISMATCH, overlap=SchemaOverlap(tables=1, columns=part / 20)), scale=SHAPED)
        for part in range(21)
    ]
    assert rewards == sorted(rewards)
    assert rewards[0] < rewards[-1]


def test_shaped_needs_the_overlap() -> None:
    """A scale that asks for tables does not take a missing figure for zero."""
    with pytest.raises(LimitsError, match="overlap=True"):
        reward_of(Verdict(outcome=Outcome.MISMATCH), scale=SHAPED)
    assert reward_of(Verdict(outcome=Outcome.MISMATCH), scale=RewardScale(executable=0.25)) == 0.25


@pytest.mark.parametrize(
    "parts", [{"executable": 0.31}, {"tables": 0.2, "columns": 0.2}, {"columns": -0.1}, {"tables": float("nan")}]
)
def test_scale_is_checked(parts: dict[str, float]) -> None:
    """Partial credit beyond 0.3 in sum is refused where the scale is written."""
    with pytest.raises(LimitsError, match=r"0\.3"):
        RewardScale(**parts)


@pytest.mark.parametrize(
    ("predicted", "tables", "columns"),
    [
        ("SELECT age FROM singer", 1.0, 0.5),
        ("SELECT s.name, s.age, s.fee FROM singer AS s", 1.0, 2 / 3),
        ("SELECT title FROM song", 0.0, 0.0),
        ("SELECT count(*) FROM singer", 1.0, 0.0),
        ("SELECT age FROM french", 2 / 3, 2 / 3),
        ("SELECT nme FROM singer", 0.0, 0.0),
    ],
)
def test_overlap(predicted: str, tables: float, columns: float, toy_db: Path) -> None:
    """Tables and columns are those that SQLite says the statements read, whatever they are called there."""
    overlap = judge(predicted, "SELECT name, country FROM singer WHERE age > 1", toy_db, overlap=True).overlap
    assert overlap == SchemaOverlap(tables=pytest.approx(tables), columns=pytest.approx(columns))
    assert judge(predicted, "SELECT name FROM singer", toy_db).overlap is None


def test_evaluate_query(toy_db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one-liner gives 1.0 or 0.0; our own faults raise, or are logged without the gold query and count as 0."""
    assert evaluate_query("SELECT age FROM singer", "SELECT age FROM singer", str(toy_db)) == 1.0
    assert evaluate_query("SELECT id FROM singer", "SELECT age FROM singer", toy_db) == 0.0
    with pytest.raises(GoldSqlError):
        evaluate_query("SELECT 1", "SELECT secret_gold FROM singer", toy_db)
    assert evaluate_query("SELECT 1", "SELECT secret_gold FROM singer", toy_db, raise_on_error=False) == 0.0
    assert "GoldSqlError" in caplog.text
    assert "secret_gold" not in caplog.text
