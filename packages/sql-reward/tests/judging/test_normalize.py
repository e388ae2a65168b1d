"""The official textual rules, and the lexer under them."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql_reward.rules.lexer import first_statement, tokens
from sql_reward.rules.normalize import fix_current_year, join_operators, order_matters, remove_distinct
from sql_reward.rules.plug import filled_predictions

CASES = tomllib.loads((Path(__file__).parent / "distinct.toml").read_text())["case"]
PIECES = st.sampled_from(
    [*"'\"`´[]();.,$?:@#-/*+=<>\\ \t\n", "distinct", "1e5", "é", "/*", "*/", "--", "$$", "END", "begin", "GO"]
)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_remove_distinct(case: dict[str, str]) -> None:
    """Each text keeps what sqlparse 0.6.1, which the official evaluator uses, leaves of it."""
    assert remove_distinct(case["sql"]) == case["left"]


@given(st.lists(PIECES, max_size=30).map("".join))
def test_tokens_are_the_text(sql: str) -> None:
    """Nothing is lost or made up: the tokens, joined, are the text, and the first statement begins it."""
    assert "".join(token.text for token in tokens(sql)) == sql
    assert sql.startswith("".join(first_statement(sql)))


@given(st.lists(PIECES, max_size=12).map("".join))
def test_short_cut(sql: str) -> None:
    """Texts that skip the lexer get what the lexer would give them."""
    assert remove_distinct(sql) == "".join(text for text in first_statement(sql) if text.lower() != "distinct")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "sql",
    [
        "/*" * 50_000,
        "$a$" * 33_000,
        "".join(f"$a{number}$" for number in range(15_000)),
        "'" * 99_999,
        "\\'" * 50_000,
        '"' + "a" * 99_999,
        "[" * 100_000,
        "[a" * 50_000,
        "LEFT" + " " * 100_000,
        "a " * 50_000,
        "a" * 100_000,
        "-- " * 33_000,
        ("distinct" + " " * 30) * 2_500,
        "END " * 25_000,
        "NOT" + "\t" * 99_000,
    ],
    ids=lambda sql: sql[:6],
)
def test_linear(sql: str) -> None:
    """The longest text allowed is cut without growing work: a square of its length would not end before the timeout."""
    assert len(remove_distinct(sql + ";")) <= len(sql) + 1


def test_operators_and_year() -> None:
    """Split operators are joined everywhere, and the current year is 2020 however it is written."""
    assert join_operators("a > = 1 and b < = 2 and c ! = '> ='") == "a >= 1 and b <= 2 and c != '>='"
    assert fix_current_year("SELECT YEAR ( CURDATE( ) ) - 1, year(curdate())") == "SELECT 2020- 1, 2020"


def test_order_matters() -> None:
    """The words decide, one blank apart and anywhere."""
    assert order_matters("SELECT 1 Order By 1")
    assert order_matters("SELECT 'order by'")
    assert not order_matters("SELECT 1 ORDER  BY 1")
    assert not order_matters("SELECT 1 ORDER\nBY 1")


def test_values_are_plugged() -> None:
    """Every assignment of gold values to slots is tried, quoted and numeric, one slot per value."""
    gold = "SELECT a FROM t WHERE b = 'It is' AND c > 1.5 AND d = 7"
    filled = list(filled_predictions(gold, "SELECT A FROM T WHERE B = 'x' AND C > 3"))
    assert len(filled) == 9
    assert "select a from t where b = 'It is' and c > 1.5" in filled
    assert list(filled_predictions("SELECT 1 FROM t", "SELECT a FROM t")) == ["select a from t"]
    assert list(filled_predictions("SELECT a FROM t", "SELECT a FROM t WHERE b = 1")) == []
