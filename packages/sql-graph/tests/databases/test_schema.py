"""The schema as a model reads it: complete where it fits, whole tables where it does not."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sql_graph import SqlDatabase, estimate_tokens
from sql_graph.agent.linker import Linker, terms
from sql_graph.agent.render import SchemaWriter
from sql_graph.databases.files import SETTLED_NS
from sql_graph.databases.schema import Column, ForeignKey, Schema, Table
from sql_graph.ports import SchemaStyle

WHOLE = 1_000_000
DATA = Path(os.environ.get("SQL_TEST_DATA", Path(__file__).parents[5] / "shared" / "data")) / "spider" / "database"


def table(name: str, *columns: str, keys: dict[str, str] | None = None, values: dict[str, str] | None = None) -> Table:
    """A table of text columns; `keys` maps a column to the table whose `id` it refers to."""
    return Table(
        name=name,
        columns=tuple(
            Column(name=c, type="TEXT", values=(values[c],) if values and c in values else ()) for c in columns
        ),
        foreign_keys=tuple(
            ForeignKey(columns=(c,), table=other, referred_columns=("id",)) for c, other in (keys or {}).items()
        ),
    )


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A database with what real ones have: blanks, reserved words, no types, keys to nowhere, a broken view."""
    path = tmp_path / "odd.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE "order" ("unit price" REAL, "group" TEXT, plain, PRIMARY KEY ("unit price", "group"),
            FOREIGN KEY (plain) REFERENCES nowhere (gone), FOREIGN KEY ("group") REFERENCES Kinds);
        CREATE TABLE Kinds (Name VARCHAR(20) PRIMARY KEY, Since YEAR, note TEXT);
        CREATE TABLE "it's" (a TEXT REFERENCES Kinds (nosuch));
        CREATE VIEW broken AS SELECT * FROM dropped;
        CREATE VIEW names AS SELECT Name FROM Kinds;
        """
    )
    note = "a note\nof two lines that is longer than thirty letters"
    rows = [("tea's", 1990, note), ("tea's", None, ""), ("x", 2, None), ("y", 3, None), ("z", 4, None)]
    connection.executemany("INSERT OR IGNORE INTO Kinds VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


def test_full_text_of_an_odd_database(odd: Path) -> None:
    """Names are quoted where SQL needs it, values show their spelling, and what cannot be read is left out."""
    text = SqlDatabase(odd).schema_text("q", budget_tokens=WHOLE, style=SchemaStyle.FULL)
    assert text == (
        """CREATE TABLE Kinds (
  Name VARCHAR(20) PRIMARY KEY, -- 'tea''s', 'x', 'y'
  Since NUMERIC,
  note TEXT -- 'a note of two lines that is l…'
);
CREATE TABLE "it's" (
  a TEXT,
  FOREIGN KEY (a) REFERENCES Kinds(nosuch)
);
CREATE TABLE "order" (
  "unit price" REAL,
  "group" TEXT,
  plain,
  PRIMARY KEY ("unit price", "group"),
  FOREIGN KEY (plain) REFERENCES nowhere(gone),
  FOREIGN KEY ("group") REFERENCES Kinds(Name)
);
CREATE VIEW names (
  Name VARCHAR(20) -- 'tea''s', 'x', 'y'
);"""
    )


def test_compact_text_of_an_odd_database(odd: Path) -> None:
    """One line a table, with keys."""
    text = SqlDatabase(odd).schema_text("q", budget_tokens=WHOLE, style=SchemaStyle.COMPACT)
    assert text.splitlines() == [
        "Kinds(Name text pk, Since num, note text)",
        '"it\'s"(a text) fk "it\'s".a=Kinds.nosuch',
        '"order"("unit price" real pk, "group" text pk, plain)'
        ' fk "order".plain=nowhere.gone fk "order"."group"=Kinds.Name',
        "names(Name text)",
    ]


SHOP = Schema(
    tables=(
        table("customers", "id", "full_name", "city", values={"city": "New York"}),
        table("products", "id", "title", "price"),
        table(
            "purchases", "id", "customer_id", "product_id", keys={"customer_id": "customers", "product_id": "products"}
        ),
        table("staff", "id", "name", "birthplace"),
        table("invoices", "id", "total", "customer_id", keys={"customer_id": "customers"}),
        table("audit_log", "id", "happened_at", "who"),
    )
)


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("How many customers are there?", {"customers"}),
        ("Which product costs most?", {"products"}),
        ("Total of each invoice", {"invoices"}),
        ("Who lives in New York?", {"customers"}),
        ("What is the birth place of the staff?", {"staff"}),
        ("Which customers bought which products?", {"customers", "products", "purchases"}),
        ("List the name of each member of staff", {"staff"}),
    ],
)
def test_the_linker_finds_the_tables_of_a_question(question: str, first: set[str]) -> None:
    """Names, values and foreign keys lead to the tables that the question needs, before all others."""
    ranked = [SHOP.tables[i].name for i in Linker(SHOP).rank(question)]
    assert set(ranked[: len(first)]) == first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Song_release_year", ["song", "releas", "year"]),
        ("birthPlace", ["birth", "plac"]),
        ("HTMLPage2", ["html", "page", "2"]),
        ("cities", ["city"]),
        ("Straßen", ["straßen"]),
        ("the number of matches", ["match"]),
        ("歌手名", ["歌手", "手名"]),
    ],
)
def test_words_of_names_and_questions(text: str, words: list[str]) -> None:
    """Names and sentences come down to the same words."""
    assert list(terms(text)) == words


schemas = st.lists(
    st.builds(
        table,
        st.sampled_from(["singer", "Concert", "a b", "ref_types", "X", "straße"]),
        *[st.text(alphabet="abcXYZ_ é'", min_size=1, max_size=12)] * 3,
    ),
    min_size=1,
    max_size=12,
).map(lambda tables: Schema(tables=tuple(tables)))


@settings(max_examples=100)
@given(
    schema=schemas, question=st.text(max_size=60), budget=st.integers(min_value=160, max_value=700),
    style=st.sampled_from(SchemaStyle),
)  # fmt: skip
def test_any_schema_stays_within_its_budget_in_whole_tables(
    schema: Schema, question: str, budget: int, style: SchemaStyle
) -> None:
    """The text fits, holds only whole tables in their order, counts the others, and is the same each time."""
    writer = SchemaWriter(schema)
    text = writer.render(question, budget_tokens=budget, style=style)
    assert estimate_tokens(text) <= budget
    assert text == SchemaWriter(schema).render(question, budget_tokens=budget, style=style)
    whole = iter(
        SchemaWriter(Schema(tables=(one,))).render("", budget_tokens=WHOLE, style=style) for one in schema.tables
    )
    rest, shown = text, 0
    for one in whole:
        if rest.startswith(one):
            rest, shown = rest[len(one) :].removeprefix("\n"), shown + 1
    missing = len(schema.tables) - shown
    assert rest == (f"-- {missing} more table{'' if missing == 1 else 's'} not shown" if missing else "")
    assert shown >= 1


def test_a_table_larger_than_the_budget_is_squeezed_not_cut() -> None:
    """It loses its values, then its lines, then the columns that matter least, which are counted."""
    wide = table(
        "wide", "id", *(f"col_{i}" for i in range(200)), "salary",
        values={f"col_{i}": "some value or other" for i in range(200)},
    )  # fmt: skip
    writer = SchemaWriter(Schema(tables=(wide, table("other", "id"))))
    full, small, tiny = (writer.render("salary?", budget_tokens=n, style=SchemaStyle.FULL) for n in (1900, 1600, 100))
    assert full.startswith("CREATE TABLE wide (\n  id TEXT,\n")
    assert "salary TEXT\n);" in full
    assert "some value" not in full
    assert small.startswith("wide(id text, col_0 text,")
    assert "salary text)" in small
    assert tiny.startswith("wide(")
    assert "salary text, " in tiny
    assert "more columns not shown)" in tiny
    assert tiny.endswith("\n-- 1 more table not shown")
    for text, budget in ((full, 1900), (small, 1600), (tiny, 100)):
        assert estimate_tokens(text) <= budget


def test_nine_hundred_tables_render_within_the_budget(tmp_path: Path) -> None:
    """Of a huge schema, the tables that the question is about are kept."""
    path = tmp_path / "huge.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    for i in range(900):
        connection.execute(
            f"CREATE TABLE entity_{i} (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES entity_{i // 2} (id),"
            + ", ".join(f" attribute_{j} TEXT" for j in range(10))
            + ")"
        )
    connection.execute("CREATE TABLE moon_landings (id INTEGER PRIMARY KEY, astronaut TEXT)")
    connection.execute("COMMIT")
    connection.close()
    database = SqlDatabase(path)
    schema = database.schema
    assert len(schema.tables) == 901
    text = SchemaWriter(schema).render(
        "Which astronauts made moon landings?", budget_tokens=2000, style=SchemaStyle.FULL
    )
    assert "CREATE TABLE moon_landings" in text
    assert estimate_tokens(text) <= 2000


def test_the_schema_is_read_once(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second question, and a second object for the same file, read nothing."""
    time.sleep(SETTLED_NS / 1e9)  # a file that has just changed is read each time
    SqlDatabase(odd).schema_text("q", budget_tokens=WHOLE, style=SchemaStyle.FULL)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the schema was read again")

    monkeypatch.setattr("sql_graph.databases.sqlite.read_schema", fail)
    assert "Kinds" in SqlDatabase(odd).schema_text("another", budget_tokens=WHOLE, style=SchemaStyle.COMPACT)


def spider_files() -> Iterator[Path]:
    """The main file of each Spider database."""
    return (path for folder in sorted(DATA.glob("*")) if (path := folder / f"{folder.name}.sqlite").exists())


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason=f"no Spider databases at {DATA}; set SQL_TEST_DATA")
def test_every_spider_database_can_be_read() -> None:
    """All of them, with their undecodable bytes, missing types and keys to nowhere, in both styles."""
    count = 0
    for path in spider_files():
        with SqlDatabase(path) as database, sqlite3.connect(f"file:{path}?mode=ro", uri=True) as own:
            names = {n for (n,) in own.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            full = database.schema_text("q", budget_tokens=WHOLE, style=SchemaStyle.FULL)
            compact = database.schema_text("q", budget_tokens=WHOLE, style=SchemaStyle.COMPACT)
            read = {one.name for one in database.schema.tables}
        assert read == {n for n in names if not n.startswith("sqlite_")}, path
        assert full.count("CREATE TABLE ") == len(read)
        assert len(compact.splitlines()) == len(read)
        count += 1
    assert count >= 160
