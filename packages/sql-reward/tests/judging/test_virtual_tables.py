"""Tables that SQLite computes: what only reads is allowed, in gold queries and predictions alike."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sql_reward import Rows, Rules, SqlFailure, judge, run_sql

SCHEMA = """
CREATE VIRTUAL TABLE docs USING fts5(title, body);
INSERT INTO docs VALUES ('hello world', 'first'), ('bye', 'hello again');
CREATE VIRTUAL TABLE "old ""using"" docs" USING fts4(t);
INSERT INTO "old ""using"" docs" VALUES ('hello'), ('good morning');
CREATE VIRTUAL TABLE f3 USING FTS3 (t); INSERT INTO f3 VALUES ('a b c');
CREATE VIRTUAL TABLE words USING fts5vocab(docs, 'row');
CREATE VIRTUAL TABLE terms USING fts4aux(f3);
CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1); INSERT INTO rt VALUES (1, 0, 1), (2, 5, 6);
CREATE VIRTUAL TABLE ri USING rtree_i32(id, x0, x1); INSERT INTO ri VALUES (1, 0, 1);
CREATE TABLE j (doc TEXT); INSERT INTO j VALUES ('{"a": [1, 2]}');
CREATE VIEW parts AS SELECT e.value AS v FROM j, json_each(j.doc, '$.a') e;
"""
READING = [
    "SELECT title FROM docs WHERE docs MATCH 'hello'",
    "SELECT title, snippet(docs, 1, '', '', '', 5) FROM docs('hello') ORDER BY rank",
    "SELECT highlight(docs, 0, '<', '>'), bm25(docs) FROM docs WHERE docs MATCH 'hello'",
    "SELECT count(*) FROM docs",
    "SELECT title FROM docs WHERE title LIKE 'b%'",
    'SELECT t FROM "old ""using"" docs" WHERE t MATCH \'hello\'',
    "SELECT snippet(f3), offsets(f3), hex(matchinfo(f3)) FROM f3 WHERE f3 MATCH 'a NEAR c'",
    "SELECT term, cnt FROM words",
    "SELECT term, documents FROM terms WHERE col = '*'",
    "SELECT id FROM rt WHERE x0 >= 0 AND x1 < 3",
    "SELECT id FROM ri WHERE x0 >= 0",
    "SELECT v FROM parts",
    "SELECT key, value FROM json_tree((SELECT doc FROM j))",
    "SELECT c0 FROM docs_content",
    "SELECT count(*) FROM rt_node",
    "SELECT name FROM pragma_table_info('docs')",
    "SELECT type, name FROM pragma_table_list WHERE name NOT LIKE 'sqlite%'",
]
WRITING = [
    "DELETE FROM docs",
    "INSERT INTO docs(docs) VALUES ('optimize')",
    "INSERT INTO docs(docs, rank) VALUES ('merge', 500)",
    "INSERT INTO f3(f3) VALUES ('rebuild')",
    "UPDATE rt SET x0 = 1",
    "DELETE FROM rt_node",
    "DROP TABLE f3",
    "SELECT optimize(f3) FROM f3",
    "SELECT fts3_tokenizer('simple')",
    "SELECT rtreecheck('rt')",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_stmt",
    "SELECT * FROM fts3tokenize WHERE input = 'a b'",
    "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, database_of: Callable[[Path, str], Path]) -> Path:
    """A file with a table of each kind."""
    return database_of(tmp_path_factory.mktemp("virtual") / "virtual.sqlite", SCHEMA)


@pytest.mark.parametrize("sql", READING)
def test_reading(sql: str, db: Path) -> None:
    """A query that reads virtual tables gives rows, and matches itself by all rules."""
    found = run_sql(db, sql)
    assert isinstance(found, Rows), found
    assert found.rows
    assert all(judge(sql, sql, db, rules=rules).matched for rules in Rules)


@pytest.mark.parametrize("sql", WRITING)
def test_not_reading(sql: str, db: Path) -> None:
    """Nothing else is allowed, and the file stays as it is."""
    before = db.read_bytes()
    found = run_sql(db, sql)
    assert isinstance(found, SqlFailure)
    assert found.outcome == "forbidden", found
    assert db.read_bytes() == before


def test_a_table_of_an_unknown_module(db: Path, tmp_path: Path, database_of: Callable[[Path, str], Path]) -> None:
    """A table whose module is not on the list is refused, though the file declares it."""
    file = database_of(tmp_path / "d.sqlite", "CREATE VIRTUAL TABLE pages USING dbstat; CREATE TABLE t (i);")
    found = run_sql(file, "SELECT * FROM pages")
    assert isinstance(found, SqlFailure)
    assert found.outcome == "forbidden"
    assert isinstance(run_sql(file, "SELECT * FROM t"), Rows)
