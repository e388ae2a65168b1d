"""Your own databases and questions become a data folder."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from spider_data import (
    DatabaseCatalog,
    ImportOptions,
    Origin,
    SpiderTask,
    SplitBy,
    check_data,
    data_stats,
    import_data,
    read_manifest,
    read_tasks,
)
from spider_data.errors import DatabaseUnreadableError, OptionInvalidError, QuestionsInvalidError, SourceNotFoundError

Row = dict[str, object]


def lines(path: Path, rows: list[Row | str]) -> Path:
    path.write_text(
        "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", encoding="utf-8"
    )
    return path


def asks(count: int, **more: object) -> list[Row | str]:
    return [
        {"question": f"Item {n}?", "query": f"SELECT name FROM item WHERE id = {n % 3 + 1} -- {n}"} | more
        for n in range(count)
    ]


@pytest.fixture
def shop(tmp_path: Path, database: Callable[..., Path]) -> Path:
    """One database."""
    return database(tmp_path / "shop.db")


def everything(folder: Path) -> list[SpiderTask]:
    return [task for stem in ("train", "validation", "test") for task in read_tasks(folder / f"{stem}.parquet")]


def test_one_database_and_a_jsonl(shop: Path, tmp_path: Path) -> None:
    """The folder has the three files, its database under the file's name, and no fault."""
    manifest = import_data(shop, lines(tmp_path / "q.jsonl", asks(40)), tmp_path / "data")
    assert manifest.rows == {"train.parquet": 32, "validation.parquet": 4, "test.parquet": 4}
    assert manifest.origin is Origin.OWN
    assert read_manifest(tmp_path / "data") == manifest
    assert DatabaseCatalog(tmp_path / "data").path("shop").resolve() == shop.resolve()
    assert len({task.task_id for task in everything(tmp_path / "data")}) == 40
    for stem in ("train", "validation", "test"):
        assert {task.split for task in read_tasks(tmp_path / "data" / f"{stem}.parquet")} == {stem}
    report = check_data(tmp_path / "data")
    assert (report.findings, report.official) == ((), False)
    assert data_stats(tmp_path / "data").splits["train"].table_counts == {1: 32}


def test_a_csv_with_sql_and_quotes(shop: Path, tmp_path: Path) -> None:
    """The column may be called `sql`; commas, quotes, line breaks and a byte order mark are CSV's business."""
    text = "question,sql,hardness\n"
    text += "\"Who, if any, is O'Hara?\",\"SELECT name\nFROM item WHERE name = 'O''Hara'\",hard\n"
    text += "All?,SELECT 1,\n"
    (tmp_path / "q.csv").write_text(text, encoding="utf-8-sig")
    import_data(shop, tmp_path / "q.csv", tmp_path / "data", options=ImportOptions(validation_share=0, test_share=0))
    first, second = read_tasks(tmp_path / "data" / "train.parquet")
    assert first.question == "Who, if any, is O'Hara?"
    assert first.query == "SELECT name\nFROM item WHERE name = 'O''Hara'"
    assert (first.hardness, second.hardness) == ("hard", "")


@pytest.mark.parametrize("layout", ["flat", "spider", "data folder"])
def test_folders_of_databases(tmp_path: Path, database: Callable[..., Path], layout: str) -> None:
    """Files side by side, one folder each, or a whole data folder; suites come along."""
    places = {
        "flat": ("{}.sqlite3", "."),
        "spider": ("{0}/{0}.sqlite", "."),
        "data folder": ("database/{0}/{0}.sqlite", "."),
    }
    for db_id in ("north", "south", "unused"):
        database(tmp_path / "dbs" / places[layout][0].format(db_id))
    if layout != "flat":
        database(tmp_path / "dbs" / places[layout][0].format("north").replace("north.", "north_v1."))
    rows: list[Row | str] = [*asks(6, db_id="north"), *asks(6, db_id="south")]
    import_data(tmp_path / "dbs", lines(tmp_path / "q.jsonl", rows), tmp_path / "data")
    catalog = DatabaseCatalog(tmp_path / "data")
    assert catalog.ids == ("north", "south")
    assert len(catalog.suite("north")) == (1 if layout == "flat" else 2)


def test_three_broken_lines_are_named_at_once(shop: Path, tmp_path: Path) -> None:
    """Numbers, reasons, in order; the good lines are not written either."""
    rows = asks(3)
    rows.insert(1, "{broken")
    rows.insert(2, {"question": "no query"})
    rows.append({"question": "Which?", "query": "SELECT 1", "db_id": "shopp"})
    with pytest.raises(QuestionsInvalidError) as caught:
        import_data(shop, lines(tmp_path / "q.jsonl", rows), tmp_path / "data")
    message = str(caught.value)
    assert "3 faults; nothing was written" in message
    for words in (
        "line 2: not JSON",
        "line 3: 'query' is missing",
        "line 6: no database 'shopp' here; did you mean 'shop'",
    ):
        assert words in message
    assert len(caught.value.problems) == 3
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT nme FROM item", "no such column: nme"),
        ("DELETE FROM item", "does more than read"),
        ("ATTACH 'x.db' AS x", "does more than read"),
        ("PRAGMA writable_schema = 1", "does more than read"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("-- nothing", "gives no rows"),
        ("SELECT load_extension('x')", "not authorized"),
        (
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
            "still running after 0.3 s",
        ),
    ],
    ids=["column", "write", "attach", "pragma", "two", "none", "function", "endless"],
)
def test_a_gold_that_cannot_be_used_is_named(shop: Path, tmp_path: Path, sql: str, reason: str) -> None:
    """It is run, read-only and with a deadline, before anything is written."""
    before = shop.read_bytes()
    rows: list[Row | str] = [*asks(2), {"question": "bad", "query": sql}]
    with pytest.raises(QuestionsInvalidError, match=f"line 3: the query fails on 'shop': .*{reason}"):
        import_data(shop, lines(tmp_path / "q.jsonl", rows), tmp_path / "data", options=ImportOptions(deadline_s=0.3))
    assert shop.read_bytes() == before
    assert not (tmp_path / "data").exists()


def test_broken_lines_and_failing_golds_come_together(shop: Path, tmp_path: Path) -> None:
    """One round of mending, not two."""
    rows: list[Row | str] = [{"question": "bad", "query": "SELECT nme FROM item"}, "[]", *asks(2)]
    with pytest.raises(QuestionsInvalidError) as caught:
        import_data(shop, lines(tmp_path / "q.jsonl", rows), tmp_path / "data")
    assert [problem.number for problem in caught.value.problems] == [1, 2]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("q.csv", "question,answer\na,b\n", "header is question, answer"),
        ("q.csv", "", "header is empty"),
        ("q.csv", "question,query\nWho, me?,SELECT 1\n", "line 2: 1 values more"),
        ("q.csv", 'question,query\n"a"b,SELECT 1\n', "line 2: not CSV"),
        ("q.csv", "question,query\n\"a\nb\",SELECT 1\n'c',SELECT nme\n", "line 4: the query fails"),
        ("q.csv", "question,query\nonly\n", "line 2: 'query' is missing"),
        ("q.jsonl", "", "no question"),
        ("q.jsonl", '"text"\n', "line 1: expected an object"),
        ("q.jsonl", '{"question": "a", "query": "SELECT 1", "hardness": "mad"}\n', "line 1: .*'mad'"),
        ("q.jsonl", '{"question": "\\ud800", "query": "SELECT 1"}\n', "line 1: .*half a character"),
        ("q.xlsx", "", "cannot be read as a workbook"),
        ("q.csv", "PK\x03\x04", "name it .xlsx"),
        ("q.docx", "", "expected one of .jsonl"),
    ],
)
def test_files_that_are_not_what_they_should_be(shop: Path, tmp_path: Path, name: str, text: str, words: str) -> None:
    """Each with its own message."""
    (tmp_path / name).write_text(text)
    with pytest.raises(QuestionsInvalidError, match=words):
        import_data(shop, tmp_path / name, tmp_path / "data")


def test_a_file_in_latin_1(shop: Path, tmp_path: Path) -> None:
    """Not guessed at."""
    (tmp_path / "q.jsonl").write_bytes('{"question": "é", "query": "SELECT 1"}\n'.encode("latin-1"))
    with pytest.raises(QuestionsInvalidError, match="not UTF-8"):
        import_data(shop, tmp_path / "q.jsonl", tmp_path / "data")


def test_databases_that_are_not_there_or_none(shop: Path, tmp_path: Path, database: Callable[..., Path]) -> None:
    """No such file, a folder without any, a text file, two of one name."""
    questions = lines(tmp_path / "q.jsonl", asks(3))
    with pytest.raises(SourceNotFoundError, match="no SQLite file or folder"):
        import_data(tmp_path / "none", questions, tmp_path / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFoundError, match="no database in"):
        import_data(tmp_path / "empty", questions, tmp_path / "data")
    with pytest.raises(SourceNotFoundError, match="no question file"):
        import_data(shop, tmp_path / "none.jsonl", tmp_path / "data")
    (tmp_path / "empty" / "shop.sqlite").write_text("no database at all, but long enough to be taken for a header" * 3)
    with pytest.raises(DatabaseUnreadableError, match=r"shop\.sqlite.*not a database"):
        import_data(tmp_path / "empty", questions, tmp_path / "data")
    database(tmp_path / "empty" / "shop.db")
    with pytest.raises(OptionInvalidError, match="called 'shop'"):
        import_data(tmp_path / "empty", questions, tmp_path / "data")


def test_a_question_is_never_on_both_sides(shop: Path, tmp_path: Path) -> None:
    """Questions with one answer stay together, in whatever words and for whatever seed."""
    rows: list[Row | str] = [
        {"question": f"wording {k} of {n}", "query": f"SELECT {n}"} for n in range(12) for k in range(3)
    ]
    questions = lines(tmp_path / "q.jsonl", rows)
    seen: set[tuple[str, ...]] = set()
    for seed in range(4):
        folder = tmp_path / f"data{seed}"
        import_data(shop, questions, folder, options=ImportOptions(seed=seed, validation_share=0.2, test_share=0.2))
        parts = [
            {task.query for task in read_tasks(folder / f"{stem}.parquet")} for stem in ("train", "validation", "test")
        ]
        assert sum(map(len, parts)) == 12
        assert all(parts)
        seen.add(tuple(sorted(parts[2])))
    assert len(seen) > 1


def test_by_database_no_schema_is_on_both_sides(tmp_path: Path, database: Callable[..., Path]) -> None:
    """Whole databases are held out; with one database that is impossible and said so."""
    for n in range(6):
        database(tmp_path / "dbs" / f"db{n}.sqlite")
    rows = [row for n in range(6) for row in asks(5, db_id=f"db{n}")]
    options = ImportOptions(split_by=SplitBy.DATABASE, validation_share=0.2, test_share=0.2)
    import_data(tmp_path / "dbs", lines(tmp_path / "q.jsonl", rows), tmp_path / "data", options=options)
    ids = [
        {task.db_id for task in read_tasks(tmp_path / "data" / f"{stem}.parquet")}
        for stem in ("train", "validation", "test")
    ]
    assert sum(map(len, ids)) == 6
    assert all(ids)
    one = lines(tmp_path / "one.jsonl", asks(5, db_id="db0"))
    with pytest.raises(OptionInvalidError, match="only one"):
        import_data(tmp_path / "dbs", one, tmp_path / "other", options=options)


def test_given_splits_are_kept(shop: Path, tmp_path: Path) -> None:
    """A `split` in every row is used as it is; in some rows only, it is a slip."""
    rows = [*asks(4, split="train"), {"question": "x", "query": "SELECT 5", "split": "test"}]
    manifest = import_data(shop, lines(tmp_path / "q.jsonl", rows), tmp_path / "data")
    assert manifest.rows == {"train.parquet": 4, "validation.parquet": 0, "test.parquet": 1}
    assert "validation.parquet is empty" in manifest.notes
    with pytest.raises(QuestionsInvalidError, match="fill it in every row"):
        import_data(shop, lines(tmp_path / "q.jsonl", [*rows, *asks(9)[8:]]), tmp_path / "other")


def test_repetitions_and_empty_results_are_noted(shop: Path, tmp_path: Path) -> None:
    """Neither stops the import, both are told."""
    rows = [*asks(4), *asks(1), {"question": "none", "query": "SELECT 1 WHERE 0"}]
    manifest = import_data(shop, lines(tmp_path / "q.jsonl", rows), tmp_path / "data")
    assert sum(manifest.rows.values()) == 5
    assert any(note.startswith("1 lines repeat") for note in manifest.notes)
    assert any(note.startswith("1 gold queries give no row (lines 6)") for note in manifest.notes)


def test_a_copy_is_whole_even_in_use(shop: Path, tmp_path: Path) -> None:
    """`copy` goes through SQLite's backup: pages still in a write-ahead log are in it."""
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO item VALUES (9, 'fresh', 1)")
        connection.commit()
        options = ImportOptions(copy=True)
        import_data(shop, lines(tmp_path / "q.jsonl", asks(4)), tmp_path / "data", options=options)
    file = DatabaseCatalog(tmp_path / "data").path("shop")
    assert not file.is_symlink()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM item WHERE id = 9").fetchall() == [("fresh",)]


def test_twice_gives_the_same_bytes(shop: Path, tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]) -> None:
    """Same input, same folder."""
    questions = lines(tmp_path / "q.jsonl", asks(20))
    for name in ("a", "b"):
        import_data(shop, questions, tmp_path / name, options=ImportOptions(copy=True))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_shares_must_leave_something_to_train_on(shop: Path, tmp_path: Path) -> None:
    """Half and half is nothing."""
    with pytest.raises(OptionInvalidError, match="sum is below 1"):
        questions = lines(tmp_path / "q.jsonl", asks(4))
        import_data(shop, questions, tmp_path / "data", options=ImportOptions(validation_share=0.5, test_share=0.5))
