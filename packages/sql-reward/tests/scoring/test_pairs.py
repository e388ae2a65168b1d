"""Files of pairs: what is a row, what is a bad row, what is no file of pairs at all."""

import json
from pathlib import Path

import pytest

from sql_reward.errors import InputError
from sql_reward.scoring.pairs import BadRow, Pair, read_official_pairs, read_pairs

GOOD = {"id": "q1", "db_id": "singers", "gold": "SELECT 1", "pred": "SELECT 2"}


def read(tmp_path: Path, content: bytes) -> list[Pair | BadRow]:
    (tmp_path / "pairs.jsonl").write_bytes(content)
    return read_pairs(tmp_path / "pairs.jsonl")


def test_rows(tmp_path: Path) -> None:
    """Rows come in order with their ids as they are; a byte order mark, CRLF, blank lines and other keys do no harm."""
    rows = [GOOD, {**GOOD, "id": 7, "pred": None, "source": "x"}, {**GOOD, "pred": "\ud800 € \n\t"}]
    content = b"\xef\xbb\xbf" + b"\r\n\r\n".join(json.dumps(row).encode() for row in rows) + b"\n"
    assert read(tmp_path, content) == [
        Pair(id="q1", db_id="singers", gold="SELECT 1", predicted="SELECT 2"),
        Pair(id=7, db_id="singers", gold="SELECT 1", predicted=None),
        Pair(id="q1", db_id="singers", gold="SELECT 1", predicted="\ud800 € \n\t"),
    ]


@pytest.mark.parametrize(
    ("line", "row_id", "reason"),
    [
        (b"{", None, "is not JSON"),
        (b"\xff\xfe{}", None, "is not JSON"),
        (b"[" * 100_000, None, "is not JSON"),
        (b"[1, 2]", None, "is not a JSON object"),
        (b"null", None, "is not a JSON object"),
        (b"{}", None, "lacks id, db_id, gold, pred"),
        (b'{"id": "a", "db_id": "x", "pred": ""}', "a", "lacks gold"),
        (b'{"id": "a", "db_id": "x", "gold": ""}', "a", "lacks pred"),
        (b'{"id": 1, "db_id": 2, "gold": "", "pred": ""}', 1, "db_id and gold have to be texts"),
        (b'{"id": 1, "db_id": "x", "gold": null, "pred": ""}', 1, "db_id and gold have to be texts"),
        (b'{"id": 1, "db_id": "x", "gold": "", "pred": ["SELECT 1"]}', 1, "pred has to be a text, or null"),
        (b'{"id": [1], "db_id": "x", "gold": "", "pred": ""}', None, "the id is neither a text nor a number"),
        (b'{"id": NaN, "db_id": "x", "gold": "", "pred": ""}', None, "NaN is not a JSON value"),
    ],
)
def test_bad_rows(tmp_path: Path, line: bytes, row_id: object, reason: str) -> None:
    """A line that holds no pair says why, with its number and, if it can be read, its id; its neighbours stay."""
    good = json.dumps(GOOD).encode()
    first, bad, last = read(tmp_path, b"\n".join([good, line, good]))
    assert first == last
    assert isinstance(bad, BadRow)
    assert bad.id == row_id
    assert "line 2" in bad.error
    assert reason in bad.error


def test_no_file_of_pairs(tmp_path: Path) -> None:
    """A path that cannot be read is named; an empty file holds no pairs."""
    with pytest.raises(InputError, match=r"absent\.jsonl"):
        read_pairs(tmp_path / "absent.jsonl")
    assert read(tmp_path, b"") == []


def official(tmp_path: Path, gold: str, predictions: str) -> list[Pair]:
    (tmp_path / "gold.sql").write_text(gold)
    (tmp_path / "pred.sql").write_text(predictions)
    return read_official_pairs(tmp_path / "gold.sql", tmp_path / "pred.sql")


def test_official_files(tmp_path: Path) -> None:
    """Line by line; predictions end at their first tab, golds at their last; an empty line is an empty prediction."""
    pairs = official(
        tmp_path, "SELECT 'a\tb'\tone\nSELECT 2\t two \nSELECT 3\tthree\n\n", " SELECT 1\tone\n\nSELECT 3;"
    )
    assert pairs == [
        Pair(id=1, db_id="one", gold="SELECT 'a\tb'", predicted="SELECT 1"),
        Pair(id=2, db_id="two", gold="SELECT 2", predicted=""),
        Pair(id=3, db_id="three", gold="SELECT 3", predicted="SELECT 3;"),
    ]


def test_only_line_breaks_end_a_line(tmp_path: Path) -> None:
    """Characters that Python also takes for line ends stay inside their line."""
    assert official(tmp_path, "SELECT 'a\u2028b\x0c'\tone\n", "SELECT 1\n")[0].gold == "SELECT 'a\u2028b\x0c'"


def test_unequal_lengths_are_refused_with_both(tmp_path: Path) -> None:
    """A short prediction file is not scored on its length, nor a long one cut."""
    gold = "SELECT 1\tone\n" * 3
    with pytest.raises(InputError, match=r"has 2 lines and .*has 3;"):
        official(tmp_path, gold, "SELECT 1\n" * 2)
    with pytest.raises(InputError, match=r"has 4 lines \(the last one is blank\) and .*has 3;"):
        official(tmp_path, gold, "SELECT 1\n" * 3 + "\n")


@pytest.mark.parametrize("line", ["SELECT 1", "\tone", "SELECT 1 one"])
def test_a_gold_line_without_database_is_refused(tmp_path: Path, line: str) -> None:
    """A gold line needs SQL, a tab and a db_id; the line is named."""
    with pytest.raises(InputError, match=r"line 2 of .*expected SQL, a tab, and a db_id"):
        official(tmp_path, f"SELECT 1\tone\n{line}\nSELECT 1\tone\n", "SELECT 1\n" * 3)
