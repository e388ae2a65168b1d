"""Exact set match and hardness, by written cases and by their properties."""

import pickle
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql_reward.exact import Schema, UnparsableSqlError, exact_match, hardness
from sql_reward.exact.parser import MAX_NESTING, parse_query
from sql_reward.exact.tokens import split_words

CASES = tomllib.loads((Path(__file__).parent / "exact_match.toml").read_text())


def ids(cases: list[dict[str, str]]) -> list[str]:
    return [case["name"] for case in cases]


@pytest.mark.parametrize("case", CASES["match"], ids=ids(CASES["match"]))
def test_exact_match(case: dict[str, object], schema: Schema) -> None:
    """Each written pair matches or not, and where it does not, these components are wrong."""
    found = exact_match(str(case["predicted"]), str(case["gold"]), schema)
    wrong = {name for name, component in found.components.items() if not component.correct}
    assert (found.matched, wrong) == (case["matched"], set(case.get("wrong", [])))  # pyright: ignore[reportArgumentType]  a TOML list
    assert found.parsed


@pytest.mark.parametrize("case", CASES["unparsable"], ids=ids(CASES["unparsable"]))
def test_what_the_grammar_cannot_read(case: dict[str, str], schema: Schema) -> None:
    """A prediction outside the grammar counts as an empty query, and says why when read by itself."""
    found = exact_match(case["sql"], "SELECT name FROM singer", schema)
    assert (found.matched, found.parsed) == (False, False)
    with pytest.raises(UnparsableSqlError, match=case.get("reason")) as caught:
        parse_query(case["sql"], schema)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("case", CASES["readable"], ids=ids(CASES["readable"]))
def test_what_the_grammar_reads_nevertheless(case: dict[str, str], schema: Schema) -> None:
    """The grammar's leniencies: odd SQL that counts as the plain query beside it."""
    assert parse_query(case["sql"], schema) == parse_query(case["same_as"], schema)


@pytest.mark.parametrize("case", CASES["hardness"], ids=ids(CASES["hardness"]))
def test_hardness(case: dict[str, str], schema: Schema) -> None:
    """Each written query has its level."""
    assert hardness(case["sql"], schema) == case["level"]


@pytest.mark.parametrize("case", CASES["words"], ids=ids(CASES["words"]))
def test_words(case: dict[str, object]) -> None:
    """Each text falls into these words."""
    assert split_words(str(case["sql"])) == case.get("words")


def test_no_prediction_is_no_match(schema: Schema) -> None:
    """None and an empty text match nothing."""
    for nothing in (None, "", "  "):
        found = exact_match(nothing, "SELECT name FROM singer", schema)
        assert (found.matched, found.parsed) == (False, False)


def test_a_gold_outside_the_grammar_is_an_error(schema: Schema) -> None:
    """Nothing can be held against a gold query that cannot be read."""
    with pytest.raises(UnparsableSqlError, match="no table 'left'"):
        exact_match("SELECT name FROM singer", "SELECT name FROM singer LEFT JOIN concert", schema)


def test_comparing_twice_gives_the_same(schema: Schema) -> None:
    """Nothing is used up by a comparison."""
    pair = ("SELECT name, age FROM singer", "SELECT age, name FROM singer")
    assert exact_match(*pair, schema) == exact_match(*pair, schema)


def nested(levels: int) -> str:
    return "SELECT name FROM singer WHERE age IN (" * levels + "SELECT age FROM singer" + ")" * levels


def test_nesting_is_bounded(schema: Schema) -> None:
    """Deep nesting is read up to the bound and refused beyond it, without exhausting the stack."""
    assert parse_query(nested(MAX_NESTING - 1), schema)
    with pytest.raises(UnparsableSqlError, match="nested"):
        parse_query(nested(3_000), schema)


WORDS = st.sampled_from(
    re.split(
        r"\s+",
        """select distinct from singer concert singer_in_concert as t1 t2 t1.name t2.title name age country title where
        and or not in like between is exists = > < >= <= != ( ) , ; * + - / count ( max min avg sum none group order by
        having asc desc limit 1 2.5 nan "x" 'y' ' join on union intersect except left case null""",
    )
)


@given(words=st.lists(WORDS, max_size=30), text=st.text(max_size=40))
def test_reading_never_fails_otherwise(words: list[str], text: str) -> None:
    """Whatever the text, it is read or refused; there is no third way."""
    for sql in (" ".join(words), "select name from singer " + " ".join(words), text):
        for_schema = Schema.of({"singer": ["name", "age", "country"], "concert": ["title", "year"]})
        found = exact_match(sql, "SELECT name FROM singer WHERE age > 3 OR name = 'x'", for_schema)
        if found.parsed:
            assert exact_match(sql, sql, for_schema).matched
            assert hardness(sql, for_schema)
