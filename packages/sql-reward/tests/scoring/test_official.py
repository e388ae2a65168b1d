"""The files of Spider and BIRD: lines or JSON, as people and other programs write them."""

import json
from pathlib import Path

import pytest

from sql_reward.scoring import InputError, Pair, read_official_pairs
from sql_reward.scoring.official import read_official

BIRD = "\t----- bird -----\t"


def official(tmp_path: Path, gold: str | bytes, predictions: str | bytes) -> list[Pair]:
    for name, content in (("gold.sql", gold), ("pred.sql", predictions)):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_official_pairs(tmp_path / "gold.sql", tmp_path / "pred.sql")


def predicted(tmp_path: Path, gold: str, predictions: str | bytes) -> list[str | None]:
    return [pair.predicted for pair in official(tmp_path, gold, predictions)]


def test_official_files(tmp_path: Path) -> None:
    """Line by line; golds end at their last tab; an empty line is an empty prediction; a db_id behind one goes."""
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


@pytest.mark.parametrize(
    ("line", "sql"),
    [
        ("SELECT\tcount(*)\tFROM\tt", "SELECT\tcount(*)\tFROM\tt"),
        ("SELECT count(*)\tFROM t\tone", "SELECT count(*)\tFROM t"),
        ("SELECT x\tFROM t WHERE y = 'a\tb'", "SELECT x\tFROM t WHERE y = 'a\tb'"),
        ("SELECT x FROM t WHERE y = 1\tone", "SELECT x FROM t WHERE y = 1"),
        (f"SELECT x FROM t{BIRD}one", "SELECT x FROM t"),
        ("SELECT x FROM t WHERE y = 1\t0.93\teasy", "SELECT x FROM t WHERE y = 1"),
    ],
)
def test_tabs_in_a_prediction(tmp_path: Path, line: str, sql: str) -> None:
    """Tabs are white space, and separate only what cannot be SQL: the db_id, a score."""
    assert predicted(tmp_path, "SELECT 1\tone\n", f"{line}\n") == [sql]


def test_tabs_are_noted(tmp_path: Path) -> None:
    """The user is told that tabs were read otherwise than by the official evaluator."""
    official(tmp_path, "SELECT 1\tone\n" * 2, "SELECT\t1\nSELECT 2\tone\n")
    (note,) = read_official(tmp_path / "gold.sql", tmp_path / "pred.sql").notes
    assert note.startswith("1 of 2 predictions hold tabs")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_texts_of_other_systems(tmp_path: Path, encoding: str, line_break: str) -> None:
    """Byte order marks, UTF-16 and other line breaks change nothing."""
    gold = line_break.join(["SELECT 'é'\tone", "SELECT 2\ttwo", ""]).encode(encoding)
    found = line_break.join(["SELECT 'é'", "", ""]).encode(encoding)
    assert official(tmp_path, gold, found) == [
        Pair(id=1, db_id="one", gold="SELECT 'é'", predicted="SELECT 'é'"),
        Pair(id=2, db_id="two", gold="SELECT 2", predicted=""),
    ]


@pytest.mark.parametrize("indent", [None, 4])
def test_predictions_of_bird(tmp_path: Path, indent: int | None) -> None:
    """BIRD's predict_dev.json belongs to lines of gold by its indices, in whatever order they stand."""
    gold = "SELECT 1\tone\nSELECT 2\ttwo\nSELECT 3\tthree\nSELECT 4\tone\n"
    answers = {"2": f"SELECT 33{BIRD}three", "0": f" SELECT 11{BIRD}one", "3": "SELECT 44", "1": 0}
    assert predicted(tmp_path, gold, json.dumps(answers, indent=indent)) == [
        "SELECT 11",
        "",
        "SELECT 33",
        "SELECT 44",
    ]


def test_golds_of_bird(tmp_path: Path) -> None:
    """Golds may be indexed too, and then their indices are the ids; a gold in lines may have BIRD's separator."""
    gold = json.dumps({"7": f"SELECT 1{BIRD}one", "12": f"SELECT 2{BIRD}two"})
    pairs = official(tmp_path, gold, json.dumps({"12": "SELECT 22", "7": None}))
    assert [(pair.id, pair.db_id, pair.gold, pair.predicted) for pair in pairs] == [
        (7, "one", "SELECT 1", ""),
        (12, "two", "SELECT 2", "SELECT 22"),
    ]
    assert official(tmp_path, f"SELECT 1{BIRD}one\n", "SELECT 2\n") == [
        Pair(id=1, db_id="one", gold="SELECT 1", predicted="SELECT 2")
    ]


@pytest.mark.parametrize("key", ["SQL", "query"])
def test_lists_in_json(tmp_path: Path, key: str) -> None:
    """A list of tasks is read as golds, a list of texts as predictions."""
    gold = json.dumps([{key: "SELECT 1", "db_id": "one", "question": "?"}, {key: "SELECT 2", "db_id": "two"}])
    pairs = official(tmp_path, gold, json.dumps(["SELECT 11", None]))
    assert [(pair.db_id, pair.gold, pair.predicted) for pair in pairs] == [
        ("one", "SELECT 1", "SELECT 11"),
        ("two", "SELECT 2", ""),
    ]


@pytest.mark.parametrize(
    ("predictions", "reason"),
    [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("\ufeff", "it is empty"),
        ("{}", r"lacks the questions 0, 1 .* has none"),
        ('{"0": "SELECT 1"}', r"lacks the questions 1 .* has none"),
        ('{"0": "SELECT 1", "1": "", "2": ""}', r"lacks the questions none .* has 2"),
        ('{"first": "SELECT 1"}', "indices of questions as keys, got 'first'"),
        ('{"0": ["SELECT 1"], "1": ""}', r"query 0 is \['SELECT 1'\]"),
        ('{"pred": "SELECT 1"}\n{"pred": "SELECT 2"}\n', "begins like JSON and is none"),
        (
            '{"0": "SELECT 1\\t----- bird -----\\tone", "1": "SELECT 1\\t----- bird -----\\tone"}',
            "query 1 is for .*'one'",
        ),
        (b"SELECT '\xe9'\n", "not UTF-8"),
        (b"\xff\xfeS\x00E\x00", "it has 1 lines"),
        (b"\xff\xfeS\x00E", "no whole utf-16-le text"),
    ],
)
def test_predictions_that_cannot_be_meant(tmp_path: Path, predictions: str | bytes, reason: str) -> None:
    """What is no answer to these golds is refused with the reason, never scored as wrong."""
    with pytest.raises(InputError, match=reason) as caught:
        official(tmp_path, "SELECT 1\tone\nSELECT 2\ttwo\n", predictions)
    assert caught.value.path == tmp_path / "pred.sql"


@pytest.mark.parametrize("gold", ["", "\n\n", "\r\n"])
def test_no_golds(tmp_path: Path, gold: str) -> None:
    """An empty gold file is named as such."""
    with pytest.raises(InputError, match="it is empty"):
        official(tmp_path, gold, "SELECT 1\n")
