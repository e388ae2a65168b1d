"""Files of pairs: what is a row, what is a bad row, what is no file of pairs at all."""

import json
from pathlib import Path

import pytest

from sql_reward.scoring import BadRow, InputError, Pair, read_pairs

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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_rows_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    """What other systems call text is read like UTF-8."""
    text = json.dumps({**GOOD, "pred": "SELECT 'é→'"}, ensure_ascii=False) + "\r\n"
    assert read(tmp_path, text.encode(encoding) * 1) == [
        Pair(id="q1", db_id="singers", gold="SELECT 1", predicted="SELECT 'é→'")
    ]
