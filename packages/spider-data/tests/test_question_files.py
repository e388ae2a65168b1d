"""Question files that people have: each form is read as it is meant, and what is wrong is named with its place."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from spider_data import ImportOptions, SpiderTask, import_data, read_manifest, read_tasks
from spider_data.errors import QuestionsInvalidError, SourceNotFoundError

ALL = ImportOptions(validation_share=0, test_share=0)
ROWS = [("Who, if any; is | first?", "SELECT name FROM item WHERE id = 1"), ("Čo?", "SELECT\n  price FROM item")]
KEYS = ("question", "query", "db_id")


@pytest.fixture
def shop(tmp_path: Path, database: Callable[..., Path]) -> Path:
    """One database, with a document in each row and a full-text table."""
    return database(
        tmp_path / "shop.sqlite",
        [
            "CREATE VIRTUAL TABLE note USING fts5(text)",
            "INSERT INTO note VALUES ('hello world')",
            "CREATE VIRTUAL TABLE old USING fts4(text)",
            "CREATE VIRTUAL TABLE area USING rtree(id, low, high)",
            "CREATE TABLE doc (body TEXT, n INT GENERATED ALWAYS AS (json_extract(body, '$.n')) STORED)",
            'INSERT INTO doc VALUES (\'{"n": 1, "tags": [1, 2]}\')',
        ],
    )


def imported(shop: Path, path: Path) -> list[SpiderTask]:
    target = path.with_name("data")
    import_data(shop, path, target, options=ALL)
    return read_tasks(target / "train.parquet")


def delimited(mark: str, *, heading: tuple[str, ...] = KEYS, end: str = "\n", before: str = "", after: str = "") -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    lines = [heading, *((*row, "shop") for row in ROWS)]
    return before + "".join(mark.join(map(quoted, line)) + after + end for line in lines)


RECORDS = [dict(zip(KEYS, (*row, "shop"), strict=True)) for row in ROWS]
FORMS: dict[str, bytes] = {
    "list.json": json.dumps(RECORDS, indent=2).encode(),
    "lines.json": "\r\n".join(map(json.dumps, RECORDS)).encode("utf-8-sig"),
    "list.jsonl": json.dumps(RECORDS).encode("utf-16"),
    "one.jsonl": ("\n\n" + "\n\n".join(map(json.dumps, RECORDS))).encode(),
    "bird.json": json.dumps([{"SQL": q, "question": t, "difficulty": "simple"} for t, q in ROWS]).encode(),
    "syn.json": json.dumps([{"SpiderQuestion": "x", "SpiderSynQuestion": t, "query": q} for t, q in ROWS]).encode(),
    "tree.json": json.dumps([{**record, "sql": {"from": {}}} for record in RECORDS]).encode(),
    "bars.csv": delimited("|").encode(),
    "bars.psv": delimited("|").encode(),
    "semicolons.txt": delimited(";", end="\r\n").encode(),
    "mac.csv": delimited(",", end="\r").encode(),
    "tabs.tsv": delimited("\t").encode("utf-16-le"),
    "big_endian.csv": delimited(";").encode("utf-16-be"),
    "sep_bars.csv": delimited("|", before='"sep=|"\n').encode("utf-8-sig"),
    "sep_caret.csv": delimited("^", before="SEP=^\r\n", end="\r\n").encode("utf-16"),
    "shouting.csv": delimited(",", heading=("QUESTION", " Sql ", "Db-Id")).encode(),
    "blanks.csv": delimited(",", end="\n\n , ,\n").encode(),
    "trailing.csv": delimited(";", after=";;").encode(),
    "spaced.csv": delimited(", ").encode(),
    "blank_top.csv": delimited(",", before="\n,,\n").encode(),
}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_gives_the_same_tasks(shop: Path, tmp_path: Path, name: str) -> None:
    """Delimiters, encodings, JSON as list or lines, keys and headings in any spelling, blank rows."""
    (tmp_path / name).write_bytes(FORMS[name])
    assert [(task.question, task.query) for task in imported(shop, tmp_path / name)] == ROWS


@pytest.mark.parametrize("name", ["q.xlsx", "q.parquet"])
def test_frames_written_by_pandas_come_back(shop: Path, tmp_path: Path, name: str) -> None:
    """A workbook with another sheet beside it, and a Parquet file with other columns."""
    frame = pd.DataFrame([*RECORDS, dict.fromkeys(KEYS), {**RECORDS[0], "question": "NA"}]).assign(extra=1.5)
    if name.endswith("xlsx"):
        with pd.ExcelWriter(tmp_path / name) as book:
            pd.DataFrame({"about": ["how we asked"]}).to_excel(book, sheet_name="read me", index=False)
            frame.assign(extra=None).to_excel(book, sheet_name="questions", index=False, startrow=2)
    else:
        frame.drop(index=2).to_parquet(tmp_path / name)
    assert [(task.question, task.query) for task in imported(shop, tmp_path / name)] == [*ROWS, ("NA", ROWS[0][1])]


@pytest.mark.parametrize("text", ["1e5", "NA", "null", "None", "TRUE", "0012", "2024-01-01", "#N/A", "-", "inf"])
def test_a_text_stays_the_text_it_was(shop: Path, tmp_path: Path, text: str) -> None:
    """No reader takes a word for a number, a date or a missing value."""
    (tmp_path / "q.csv").write_text(f"question,query\n{text},SELECT '{text}'\n")
    (task,) = imported(shop, tmp_path / "q.csv")
    assert (task.question, task.query) == (text, f"SELECT '{text}'")


def test_a_number_in_a_workbook_is_no_text(shop: Path, tmp_path: Path) -> None:
    """Excel has lost what was typed, so the cell is named; rows count as Excel counts them."""
    rows = [
        ("a?", "SELECT 1"),
        ("", ""),
        (1e5, "SELECT 2"),
        (True, "SELECT 3"),
        ("b?", 7),
        ("c?", "SELECT nme"),
    ]
    pd.DataFrame(rows, columns=["Question", "SQL"]).to_excel(tmp_path / "q.xlsx", index=False)
    with pytest.raises(QuestionsInvalidError) as caught:
        import_data(shop, tmp_path / "q.xlsx", tmp_path / "data")
    assert [(problem.unit, problem.number) for problem in caught.value.problems] == [("row", n) for n in (4, 5, 6, 7)]
    assert "'question' is 100000, expected text" in str(caught.value)


def test_windows_1252_is_read_and_said(shop: Path, tmp_path: Path) -> None:
    """An old spreadsheet's CSV: the letters are right, and a note asks to look at them."""
    (tmp_path / "q.csv").write_bytes("question;query\nWo ist das Café – „dort“?;SELECT 1\n".encode("cp1252"))
    (task,) = imported(shop, tmp_path / "q.csv")
    assert task.question == "Wo ist das Café – „dort“?"
    manifest = read_manifest(tmp_path / "data")
    assert manifest is not None
    assert any("Windows-1252" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("q.csv", 'question,query\n"a\nb",SELECT 1\n\nc,SELECT 2,x\n', "line 5: 1 values more"),
        ("q.csv", 'sep=;\nquestion;query\n"a\n\nb";SELECT 1\nc;SELECT nme\n', "line 6: the query fails"),
        ("q.csv", 'question,query\na,"SELECT 1\n', "line 2: not CSV"),
        ("q.csv", "question,Question,query\na,b,SELECT 1\n", "line 1: the heading names question twice"),
        ("q.tsv", "question,answer\n", "line 1: the header is question,answer"),
        ("q.json", '[{"question": "a", "query": "SELECT 1"},\n {"question": }]', "line 2: not JSON"),
        ("q.json", '[{"question": "a", "query": "SELECT 1"}]\nmore', "line 2: .*follows the end of the list"),
        ("q.json", '[{"question": "a",\n "query": "SELECT 1"},\n 5]', "line 3: expected an object, found 5"),
        ("q.json", '{"rows": [\n]}', "line 1: expected a list of objects"),
        ("q.json", '[{"question": "a", "question": "b", "query": "SELECT 1"}]', "line 1: .*'question' occurs twice"),
        ("q.json", '[{"question": "a", "query": "SELECT 1", "SQL": "SELECT 2"}]', "line 1: .*both give the query"),
        ("q.json", "[]", "no question"),
        ("q.jsonl", '{"question": 1e5, "query": null}', "'question' is 100000.0.*'query' is missing"),
        ("q.jsonl", '{"question": "a", "query": ["SELECT 1"]}', r"'query' is \['SELECT 1'\], expected text"),
        ("q.jsonl", '{"question": "a", "query": "SELECT 1"}\n' + "[" * 100_000, "line 2: .*nested too deeply"),
        ("q.jsonl", '{"question": "a", "query": ' + "9" * 5000 + "}", "line 1: .*thousands of digits"),
        ("q.parquet", "PAR1", "cannot be read as Parquet"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(shop: Path, tmp_path: Path, name: str, text: str, words: str) -> None:
    """And nothing is written."""
    (tmp_path / name).write_text(text)
    with pytest.raises(QuestionsInvalidError, match=words):
        import_data(shop, tmp_path / name, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT value FROM doc, json_each(doc.body, '$.tags')",
        "SELECT key FROM doc, json_tree(doc.body)",
        "SELECT body ->> '$.n' FROM doc WHERE n = 1",
        "SELECT snippet(note, 0, '<', '>', '…', 3) FROM note WHERE note MATCH 'hello' ORDER BY rank",
        "SELECT count(*) FROM old WHERE old MATCH 'hello'",
        "SELECT id FROM area WHERE low > 1",
    ],
)
def test_golds_may_read_virtual_tables(shop: Path, tmp_path: Path, query: str) -> None:
    """Full text, R-trees and JSON are read like any table."""
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "?", "query": query}))
    assert [task.query for task in imported(shop, tmp_path / "q.jsonl")] == [query]


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO note VALUES ('x')",
        "INSERT INTO note(note) VALUES ('rebuild')",
        "DELETE FROM area_node",
        "UPDATE sqlite_master SET sql = ''",
        "CREATE VIRTUAL TABLE x USING fts5(y)",
        "PRAGMA page_size = 512",
        "SELECT load_extension('x')",
        "VACUUM INTO 'copy.sqlite'",
    ],
)
def test_what_writes_is_refused(shop: Path, tmp_path: Path, query: str) -> None:
    """Virtual tables open no door for it, and the file keeps its bytes."""
    before = shop.read_bytes()
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "?", "query": query}))
    with pytest.raises(QuestionsInvalidError, match="line 1"):
        import_data(shop, tmp_path / "q.jsonl", tmp_path / "data")
    assert shop.read_bytes() == before
    assert not list(tmp_path.rglob("copy.sqlite"))


def test_a_pipe_is_no_question_file(shop: Path, tmp_path: Path) -> None:
    """Reading it would wait for ever; a folder is none either."""
    import os

    os.mkfifo(tmp_path / "q.csv")
    for path, words in ((tmp_path / "q.csv", "a pipe or a device"), (tmp_path, "is a folder")):
        with pytest.raises(SourceNotFoundError, match=words):
            import_data(shop, path, tmp_path / "data")


def test_a_database_with_a_log_is_copied_whole(tmp_path: Path) -> None:
    """Rows that lie in a `-wal` are there in the data folder, and nothing new appears beside the source."""
    import shutil

    live = tmp_path / "live.sqlite"
    source = tmp_path / "dbs" / "shop.sqlite"
    source.parent.mkdir()
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE item (name TEXT)")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint")
        connection.execute("INSERT INTO item VALUES ('late')")
        connection.commit()
        for ending in ("", "-wal"):
            shutil.copy(f"{live}{ending}", f"{source}{ending}")
    before = sorted(source.parent.iterdir())
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "?", "query": "SELECT name FROM item"}))
    manifest = import_data(source, tmp_path / "q.jsonl", tmp_path / "data", options=ALL)
    assert sorted(source.parent.iterdir()) == before
    assert any("shop has changes in a log" in note for note in manifest.notes)
    copy = tmp_path / "data" / "database" / "shop" / "shop.sqlite"
    assert not copy.is_symlink()
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT name FROM item").fetchall() == [("late",)]
