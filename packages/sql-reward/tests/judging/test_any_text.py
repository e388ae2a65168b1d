"""Whatever a policy writes, the judge answers with a verdict."""

import random
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sql_reward import GoldCache, Limits, Rules, Verdict, judge

GOLDS = [
    "SELECT name, age FROM singer WHERE country = 'France' ORDER BY age DESC LIMIT 2",
    "SELECT count(DISTINCT country), avg(fee) FROM singer",
    "SELECT T1.name FROM singer AS T1 JOIN song AS T2 ON T1.id = T2.singer_id GROUP BY T1.id HAVING count(*) > 1",
    "SELECT name FROM singer EXCEPT SELECT title FROM song",
    "SELECT CASE WHEN age > 30 THEN 'old' ELSE 'young' END FROM singer; ",
]
PIECES = [
    *string.punctuation, *" \n\t\0\x1a\x7f", "é", "雪", "\U0001f600", "\ud800", "\udfff", "''", "--", "/*", "*/", "\\'",
    "$$", "SELECT", "distinct", "FROM singer", "NULL", "x'FF'", "1e999", "-9223372036854775809", "%s", "GO", "END",
    "BEGIN", "WITH", "DROP TABLE singer", "PRAGMA", "zeroblob(9e9)", "printf('%.*c', 9e9, 'x')", "CAST(x'E9' AS TEXT)",
    "json_each('[')", "randomblob(-1)",
]  # fmt: skip
LIMITS = Limits(deadline_s=0.2)


def mutated(rng: random.Random) -> str:
    """A gold query with a few pieces put in, cut out or doubled, or pieces alone."""
    if rng.random() < 0.3:
        return rng.choice(["", " "]).join(rng.choices(PIECES, k=rng.randint(1, 12)))
    text = rng.choice(GOLDS)
    for _ in range(rng.randint(1, 4)):
        start, end = sorted(rng.choices(range(len(text) + 1), k=2))
        change = rng.randrange(3)
        if change == 0:
            text = text[:start] + rng.choice(PIECES) + text[start:]
        elif change == 1:
            text = text[:start] + text[min(end, start + 8) :]
        else:
            text = text[:end] + text[start:]
    return text


def test_ten_thousand_texts(toy_db: Path) -> None:
    """10,000 mutated and random texts each get a verdict, under every set of rules and flags in turn."""
    rng = random.Random(20261122)
    cache = GoldCache()
    outcomes = set[str]()
    for number in range(10_000):
        rules = Rules.OFFICIAL if number % 4 else (Rules.STRICT, Rules.BIRD)[number % 8 // 4]
        flags = {"keep_distinct": number % 3 == 0, "plug_value": number % 10 == 0, "overlap": number % 7 == 0}
        verdict = judge(mutated(rng), rng.choice(GOLDS), toy_db, rules=rules, limits=LIMITS, cache=cache, **flags)
        outcomes.add(verdict.outcome)
    assert outcomes >= {"match", "mismatch", "sql_error", "forbidden", "no_sql", "too_large"}


@settings(max_examples=500, deadline=None)
@given(text=st.text(alphabet=st.characters(), max_size=200))
def test_random_text(text: str, toy_db: Path) -> None:
    """So does any string of any characters, lone surrogates included."""
    assert isinstance(judge(text, GOLDS[0], toy_db, limits=LIMITS), Verdict)


@pytest.mark.parametrize("piece", ["a", "é", "(", "'", ";", "SELECT 1 UNION ", "/*", "\ud800", "\0"])
def test_ten_megabytes(piece: str, toy_db: Path) -> None:
    """So does a text of ten million characters."""
    verdict = judge(piece * (10_000_000 // len(piece)), GOLDS[0], toy_db, limits=LIMITS, plug_value=True, overlap=True)
    assert verdict.outcome == "too_large"


def test_the_gold_text_stays_out_of_verdicts(toy_db: Path) -> None:
    """No detail quotes the gold query, whatever the prediction does."""
    rng = random.Random(7)
    gold = "SELECT name AS zq_marker FROM singer ORDER BY name"
    for _ in range(500):
        assert "zq_marker" not in judge(mutated(rng), gold, toy_db, limits=LIMITS).detail
