"""Suites: variants that keep a database's rules, show wrong queries, and are written with care."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from spider_data import DatabaseNotFoundError, SpiderDataError
from spider_data.cli.main import main
from spider_data.errors import DatabaseUnreadableError, DiskFullError, SourceNotFoundError, TargetOccupiedError
from spider_data.readonly import quoted as ident
from spider_data.suite import GoldFailsError, GoldsInvalidError, SchemaFailsError, make_suite, make_suites
from spider_data.suite.power import choose
from spider_data.suite.recipe import make_recipe
from spider_data.suite.schema import read_schema
from spider_data.suite.ties import is_tied, tie_probe
from spider_data.suite.variant import make_variant

DATA = Path(os.environ.get("SQL_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))

AWKWARD = (Path(__file__).parent / "awkward.sql").read_text("utf-8")

ROWS = {
    '"order"': [("a", "x", 3), ("b'c", None, 9), ("é", "x", 1)],
    "region": [("NO", "1", "North"), ("NO", "2", "South"), ("CH", "1", "west"), ("CH", "9", None)],
    "shop(id,country,code,tag,size)": [(i, "NO", "1", "a", i * 2.5) for i in range(1, 13)],
    "staff": [(i, i // 2 or None, 1 + i % 5, f"Name {i}", bytes([i, 255])) for i in range(1, 15)],
    "hen": [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1)],
    "egg": [(1, 1), (2, None), (3, 2), (4, 5), (5, 5)],
    "lost": [(7, "NO"), (8, "CH"), (8, None), ("nine", "NO"), (9, "NO")],
    "bare": [(1,), ("one",), (None,), (2.5,), (b"\xff",)],
}

GOLDS = [
    'SELECT "group" FROM "order" WHERE "from" = "x"',
    "SELECT name FROM staff WHERE id > 5 AND shop_id = 2",
    "SELECT T1.name FROM staff AS T1 JOIN shop AS T2 ON T1.shop_id = T2.id WHERE T2.size > 12.5 ORDER BY T1.id",
    "SELECT label FROM region WHERE country = 'NO' EXCEPT SELECT label FROM region WHERE code = '1'",
    "SELECT COUNT(*) FROM egg WHERE hen_id IN (SELECT id FROM hen)",
    "SELECT anything FROM bare",
    "SELECT id FROM big",
]


def make_awkward(path: Path) -> Path:
    """Everything that makes real schemas hard, in one file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(AWKWARD)
        for table, rows in ROWS.items():
            connection.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)
        connection.execute("INSERT INTO bare VALUES (CAST(x'E9' AS TEXT))")  # bytes that are no UTF-8
        connection.execute("DELETE FROM log")  # so that a row there means that a trigger fired on a variant
        connection.commit()
    return path


@pytest.fixture(scope="session")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `make_awkward`; made once, never written to."""
    return make_awkward(tmp_path_factory.mktemp("awkward") / "awkward.sqlite")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A plain database of two tables in a folder of its own."""
    path = tmp_path / "shop" / "shop.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, kind TEXT);"
            "CREATE TABLE sale (id INTEGER PRIMARY KEY, item_id INTEGER REFERENCES item(id), day TEXT);"
        )
        items = [(i, f"item {i}", 10 * i, "ab"[i % 2]) for i in range(1, 11)]
        connection.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", items)
        sales = [(i, 1 + i % 4, f"2024-01-{i:02d}") for i in range(1, 13)]
        connection.executemany("INSERT INTO sale VALUES (?, ?, ?)", sales)
        connection.commit()
    return path


SHOP_GOLDS = [
    "SELECT name FROM item WHERE price > 42",
    "SELECT T1.name FROM item AS T1 JOIN sale AS T2 ON T1.id = T2.item_id WHERE T2.day = '2024-01-05'",
    "SELECT kind, COUNT(*) FROM item GROUP BY kind",
    "SELECT name FROM item ORDER BY price DESC LIMIT 1",
]


def digest(path: Path) -> str:
    """What a file holds."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@given(seed=st.integers(0, 10**6), number=st.integers(0, 400))
def test_every_rule_of_the_schema_holds(awkward: Path, seed: int, number: int) -> None:
    """Any seed: keys point at rows, UNIQUE, CHECK and NOT NULL hold, NULL stays where NULL was, types stay too."""
    recipe = make_recipe(read_schema(awkward), GOLDS)
    with closing(make_variant(recipe, seed=str(seed), number=number)) as variant:
        assert variant.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        queries = [
            "SELECT COUNT(*) FROM shop s WHERE country IS NOT NULL AND code IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM region r WHERE r.country = s.country AND r.code = s.code)",
            'SELECT COUNT(*) FROM shop WHERE tag NOT IN (SELECT "group" FROM "order")',
            "SELECT COUNT(*) FROM staff WHERE boss NOT IN (SELECT id FROM staff)",
            "SELECT COUNT(*) FROM staff WHERE shop_id NOT IN (SELECT id FROM shop)",
            "SELECT COUNT(*) FROM hen WHERE egg_id NOT IN (SELECT id FROM egg)",
            "SELECT COUNT(*) FROM egg WHERE hen_id NOT IN (SELECT id FROM hen)",
            "SELECT COUNT(*) FROM lost WHERE city NOT IN (SELECT country FROM shop)",
            "SELECT COUNT(*) FROM staff WHERE name IS NULL",
            "SELECT COUNT(*) FROM shop WHERE size IS NULL OR typeof(size) <> 'real'",
            "SELECT COUNT(*) FROM staff WHERE typeof(note) NOT IN ('blob', 'null')",
            "SELECT COUNT(*) FROM log WHERE line = 'bare'",
        ]
        assert [(query, variant.execute(query).fetchone()[0]) for query in queries] == [(query, 0) for query in queries]


def test_the_schema_is_the_same(awkward: Path, tmp_path: Path) -> None:
    """Tables, indexes, views and triggers have the very text of the source."""
    report = make_suite(awkward, GOLDS, variants=2, candidates=4, yardstick=0, into=tmp_path)

    def texts(path: Path) -> set[str]:
        with closing(sqlite3.connect(path)) as connection:
            return {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}

    for file in report.variants:
        assert texts(file) - {"CREATE TABLE sqlite_sequence(name,seq)"} == texts(awkward) - {
            "CREATE TABLE sqlite_sequence(name,seq)"
        }


def test_golds_run_and_the_source_is_untouched(awkward: Path, tmp_path: Path) -> None:
    """Every gold runs on every variant; the main file keeps bytes and time, and nothing appears beside it."""
    before = digest(awkward), awkward.stat().st_mtime_ns, sorted(awkward.parent.iterdir())
    report = make_suite(awkward, GOLDS, variants=5, yardstick=5, into=tmp_path)
    assert (digest(awkward), awkward.stat().st_mtime_ns, sorted(awkward.parent.iterdir())) == before
    assert [path.name for path in report.variants] == [f"awkward_v{i}.sqlite" for i in range(1, 6)]
    for file in report.variants:
        with closing(sqlite3.connect(file)) as connection:
            connection.text_factory = bytes
            for gold in GOLDS:
                connection.execute(gold).fetchall()


def test_equal_seeds_give_equal_files(shop: Path, tmp_path: Path) -> None:
    """The same bytes for the same seed, other content for another."""
    first = make_suite(shop, SHOP_GOLDS, variants=3, seed=1, into=tmp_path / "a").variants
    again = make_suite(shop, SHOP_GOLDS, variants=3, seed=1, into=tmp_path / "b").variants
    other = make_suite(shop, SHOP_GOLDS, variants=3, seed=2, into=tmp_path / "c").variants
    assert list(map(digest, first)) == list(map(digest, again))
    assert not set(map(digest, first)) & set(map(digest, other))


def test_values_come_from_the_column_the_golds_and_elsewhere(shop: Path) -> None:
    """Across variants a column shows its own values, the golds' constants, their neighbours, and new ones."""
    recipe = make_recipe(read_schema(shop), SHOP_GOLDS)
    prices: set[int] = set()
    days: set[str] = set()
    sizes: set[int] = set()
    empty = 0
    for number in range(20):
        with closing(make_variant(recipe, seed="0", number=number)) as variant:
            rows = variant.execute("SELECT price FROM item").fetchall()
            prices |= {price for (price,) in rows}
            days |= {day for (day,) in variant.execute("SELECT day FROM sale")}
            sizes.add(len(rows))
            empty += variant.execute("SELECT COUNT(*) FROM sale").fetchone()[0] == 0
    assert {42, 41, 43} <= prices
    assert len({10 * i for i in range(1, 11)} & prices) >= 5
    assert prices - {41, 42, 43} - {10 * i for i in range(1, 11)}
    assert {"2024-01-05", "2024-01-04", "2024-01-06"} <= days
    assert len(sizes) > 5
    assert min(sizes) < 10 < max(sizes)
    assert 1 <= empty <= 6


def test_a_suite_is_worth_more_than_its_main_file(shop: Path) -> None:
    """The variants refute mutants that the main file accepts, and the counts add up by kind."""
    power = make_suite(shop, SHOP_GOLDS, variants=4).power
    assert power.refuted_by_main < power.refuted <= power.non_equivalent <= power.mutants
    assert power.share > 0.95
    assert sum(refuted for refuted, _ in power.by_kind.values()) == power.refuted
    assert sum(total for _, total in power.by_kind.values()) == power.non_equivalent


def test_one_chosen_variant_has_an_empty_table(shop: Path) -> None:
    """Queries that fail on nothing are caught too."""
    report = make_suite(shop, SHOP_GOLDS, variants=3)
    counts = []
    for file in report.variants:
        with closing(sqlite3.connect(file)) as connection:
            counts += [connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in ("item", "sale")]
    assert 0 in counts


def test_a_second_run_replaces_the_first(shop: Path) -> None:
    """Fewer variants leave no old ones behind, and no temporary file stays."""
    make_suite(shop, SHOP_GOLDS, variants=6, yardstick=0)
    make_suite(shop, SHOP_GOLDS, variants=2, yardstick=0)
    assert sorted(path.name for path in shop.parent.iterdir()) == ["shop.sqlite", "shop_v1.sqlite", "shop_v2.sqlite"]


def test_a_full_disk_leaves_the_old_suite(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the third file does not fit, the error says so, and the earlier variants are all still there."""
    make_suite(shop, SHOP_GOLDS, variants=3, yardstick=0)
    before = {path.name: digest(path) for path in shop.parent.iterdir()}
    written: list[Path] = []

    def full(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        with path.open("wb") as file:
            return file.write(content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFullError, match="disk is full"):
        make_suite(shop, SHOP_GOLDS, variants=4, seed=1, yardstick=0)
    assert {path.name: digest(path) for path in shop.parent.iterdir()} == before


def test_variants_of_others_are_kept(shop: Path) -> None:
    """An official variant is never overwritten without `force`."""
    official = shop.with_name("shop_v1.sqlite")
    official.write_bytes(shop.read_bytes())
    with pytest.raises(TargetOccupiedError, match="shop_v1"):
        make_suite(shop, SHOP_GOLDS, variants=2, yardstick=0)
    assert digest(official) == digest(shop)
    make_suite(shop, SHOP_GOLDS, variants=2, yardstick=0, force=True)
    assert digest(official) != digest(shop)


def test_a_broken_gold_is_named_not_hidden(shop: Path) -> None:
    """A gold that fails on the main file takes no part and is reported."""
    report = make_suite(shop, [*SHOP_GOLDS, "SELECT nothing FROM nowhere"], variants=2, yardstick=0)
    assert report.broken_golds == ("SELECT nothing FROM nowhere",)


def test_a_gold_that_fails_on_every_variant_is_our_fault(shop: Path) -> None:
    """It runs on the rows of the main file and on no others; the error names the query and the file."""
    links = ",".join(f"{i}-{1 + i % 4}" for i in range(1, 13))
    gold = f"SELECT CASE WHEN group_concat(id || '-' || item_id) = '{links}' THEN 1 ELSE json('broken') END FROM sale"
    with pytest.raises(GoldFailsError, match="json") as caught:
        make_suite(shop, [gold], variants=2, candidates=2, yardstick=0)
    assert (caught.value.path, caught.value.query) == (shop, gold)
    assert [path.name for path in shop.parent.iterdir()] == ["shop.sqlite"]


def test_a_schema_that_does_not_run_is_named(tmp_path: Path) -> None:
    """A collation that only its maker has."""
    path = tmp_path / "odd.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.create_collation("mine", lambda a, b: (a > b) - (a < b))
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.execute("CREATE INDEX i ON t(x COLLATE mine)")
        connection.commit()
    with pytest.raises(SchemaFailsError, match="COLLATE mine"):
        make_suite(path, [], variants=1, yardstick=0)


def test_a_database_without_rows_or_golds_gets_variants(tmp_path: Path) -> None:
    """Seven official databases are empty; their variants hold rows that fit the declared types."""
    path = tmp_path / "empty.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, r REAL, d DATE, s TEXT)")
    report = make_suite(path, [], variants=2, yardstick=0)
    with closing(sqlite3.connect(report.variants[0])) as connection:
        rows = connection.execute("SELECT typeof(n), typeof(r), d, typeof(s) FROM t").fetchall()
    assert rows
    assert {(n, r, s) for n, r, _, s in rows} == {("integer", "real", "text")}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for _, _, day, _ in rows)


def test_choosing_covers_first_then_deepens() -> None:
    """The cover of all comes before the biggest remainder, ties cost, and a wanted kind is always taken."""
    refuted = [0b001111, 0b001110, 0b110000]
    assert choose(refuted, 2, must=[False] * 3, ties=[0] * 3, tie_cost=1) == [0, 2]
    assert choose(refuted, 2, must=[False, True, False], ties=[0] * 3, tie_cost=1) == [0, 1]
    assert choose(refuted, 1, must=[False] * 3, ties=[3, 0, 0], tie_cost=1) == [1]
    assert choose(refuted, 9, must=[False] * 3, ties=[0] * 3, tie_cost=1) == [0, 2, 1]


@pytest.mark.parametrize(
    ("query", "tied"),
    [
        ("SELECT name FROM p ORDER BY age LIMIT 1", True),
        ("SELECT name FROM p ORDER BY age DESC LIMIT 1", False),
        ("SELECT name FROM p ORDER BY age DESC LIMIT 2", True),
        ("SELECT name FROM p ORDER BY age LIMIT 2", True),
        ("SELECT name FROM p ORDER BY name LIMIT 2", False),
        ("SELECT age FROM p ORDER BY age LIMIT 1", False),
        ("SELECT name FROM p ORDER BY age", True),
        ("SELECT city FROM p GROUP BY city ORDER BY COUNT(*) DESC LIMIT 1", False),
        ("SELECT name FROM p", False),
    ],
)
def test_ties(query: str, tied: bool, tmp_path: Path) -> None:
    """Open is what equal keys leave open: at the cut, or among rows that look different."""
    path = tmp_path / "p.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE p (name TEXT, age INTEGER, city TEXT)")
        rows = [("a", 1, "x"), ("b", 1, "x"), ("c", 2, "y"), ("d", 2, "x"), ("e", 3, "z")]
        connection.executemany("INSERT INTO p VALUES (?, ?, ?)", rows)
        connection.commit()
        recipe = make_recipe(read_schema(path), [])
        assert is_tied(connection, tie_probe(recipe.resolver.tree(query))) is tied


def test_bad_files_are_named(tmp_path: Path) -> None:
    """A missing file, a file that is no database, a broken line of golds, an unknown database."""
    with pytest.raises(SourceNotFoundError, match=r"gone\.sqlite"):
        make_suite(tmp_path / "gone.sqlite", [])
    noise = tmp_path / "noise.sqlite"
    noise.write_bytes(b"no database" * 100)
    with pytest.raises(DatabaseUnreadableError, match=r"noise\.sqlite"):
        make_suite(noise, [])
    golds = tmp_path / "golds.sql"
    golds.write_text("SELECT 1\tshop\nSELECT 2\n")
    with pytest.raises(GoldsInvalidError, match="line 2"):
        make_suites(tmp_path, golds=[golds])
    golds.write_text("SELECT 1\tshop\n")
    with pytest.raises(DatabaseNotFoundError, match="shop"):
        make_suites(tmp_path, golds=[golds])
    with pytest.raises(SourceNotFoundError, match="gold queries"):
        make_suites(tmp_path)


def test_command(shop: Path, tmp_path: Path) -> None:
    """`spider-data suite` reads golds, writes beside links, and its JSON has the figures."""
    golds = tmp_path / "golds.sql"
    golds.write_text("".join(f"{gold}\tshop\n" for gold in SHOP_GOLDS))
    before = digest(shop)
    command = ["suite", str(tmp_path), "--golds", str(golds), "--variants", "2", "--into", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*command, "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["total"]["refuted"] <= report["total"]["non_equivalent"]
    assert [Path(path).name for path in report["databases"][0]["variants"]] == ["shop_v1.sqlite", "shop_v2.sqlite"]
    assert (tmp_path / "out" / "shop" / "shop.sqlite").is_symlink()
    assert digest(shop) == before
    table = CliRunner().invoke(main, command)
    assert table.exit_code == 0
    assert "refutable" in table.output


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the Spider test data is absent; name it with SQL_TEST_DATA")
@pytest.mark.parametrize("db_id", ["flight_2", "voter_1", "car_1", "cre_Doc_Template_Mgt", "orchestra"])
def test_real_databases(db_id: str, tmp_path: Path) -> None:
    """On real schemas with dirty data, every gold runs on every variant and nearly all mutants are refuted."""
    lines = (DATA / "spider" / "dev_gold.sql").read_text("utf-8").splitlines()
    golds = [query for query, _, name in (line.rpartition("\t") for line in lines) if name == db_id]
    report = make_suite(DATA / "spider" / "database" / db_id / f"{db_id}.sqlite", golds, variants=5, into=tmp_path)
    assert len(golds) > 10
    assert not report.broken_golds
    assert report.power.share > 0.9


def dangling(main_file: Path, variant: Path) -> list[str]:
    """The foreign keys of the main file, as far as its tables exist, that some row of the variant breaks."""
    found: list[str] = []
    with closing(sqlite3.connect(variant)) as connection:
        for table in read_schema(main_file).tables:
            for key in table.foreign_keys:
                pairs = list(zip(key.columns, key.parent_columns, strict=True))
                known = " AND ".join(f"c.{ident(mine)} IS NOT NULL" for mine, _ in pairs)
                same = " AND ".join(f"p.{ident(theirs)} = c.{ident(mine)}" for mine, theirs in pairs)
                parent = f"SELECT 1 FROM {ident(key.parent)} AS p WHERE {same}"
                sql = f"SELECT COUNT(*) FROM {ident(table.name)} AS c WHERE {known} AND NOT EXISTS ({parent})"
                if connection.execute(sql).fetchone()[0]:
                    found.append(f"{variant.name}: {table.name} {key}")
    return found


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DATA.is_dir(), reason="the Spider test data is absent; name it with SQL_TEST_DATA")
def test_every_real_database(tmp_path: Path) -> None:
    """Every Spider database at hand gets variants without an error of ours and without a dangling key."""
    records = json.loads((DATA / "spider" / "train_spider_reconstructed.json").read_text("utf-8"))
    faults: list[str] = []
    files = sorted((DATA / "spider" / "database").glob("*/*.sqlite"))
    for file in files:
        golds = [record["query"] for record in records if record["db_id"] == file.stem][:20]
        try:
            report = make_suite(file, golds, variants=2, candidates=4, yardstick=0, into=tmp_path / file.stem)
        except SpiderDataError as error:
            faults.append(str(error))
        else:
            faults += [fault for variant in report.variants for fault in dangling(file, variant)]
    assert len(files) > 150
    assert faults == []
