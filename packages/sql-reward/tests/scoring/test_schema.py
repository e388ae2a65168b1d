"""Schemas from tables.json and from SQLite files."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest

from sql_reward.exact import Schema, SchemaError, read_schema, read_schemas

ENTRY = {
    "db_id": "Shop",
    "table_names_original": ["Item", "Sale"],
    "column_names_original": [[-1, "*"], [0, "Item_ID"], [0, "Name"], [1, "Sale_ID"], [1, "Item_ID"]],
    "foreign_keys": [[4, 1]],
}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_tables_json(tmp_path: Path) -> None:
    """Names come in lower case; the earlier column of a foreign key stands for both."""
    schema = read_schemas(write(tmp_path / "tables.json", [ENTRY]))["Shop"]
    assert dict(schema.tables) == {"item": ("item_id", "name"), "sale": ("sale_id", "item_id")}
    assert schema.key_groups == {"sale.item_id": "item.item_id", "item.item_id": "item.item_id"}


@pytest.mark.parametrize("content", [{}, [{}], [{"db_id": "x"}], 3, [{**ENTRY, "foreign_keys": [[1, 99]]}]])
def test_another_form_of_json_is_an_error(tmp_path: Path, content: object) -> None:
    """A file that is no tables.json is named, not read as a schema without tables."""
    path = write(tmp_path / "tables.json", content)
    if content == {}:
        assert read_schemas(path) == {}
        return
    with pytest.raises(SchemaError, match=r"tables\.json") as caught:
        read_schemas(path)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_sqlite_file(db_root: Path, schema: Schema) -> None:
    """Tables, columns and declared foreign keys are read; a key without a column means the primary key."""
    file = db_root / "singers" / "singers.sqlite"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    found = read_schema(file)
    assert found.tables == schema.tables
    assert found.key_groups == schema.key_groups
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_no_sqlite_file_is_an_error(tmp_path: Path) -> None:
    """Neither an absent file nor another kind of file is a schema."""
    with pytest.raises(SchemaError, match=r"absent\.sqlite"):
        read_schema(tmp_path / "absent.sqlite")
    (tmp_path / "prose.sqlite").write_text(
        "no database at all, but long enough to hold a header of one hundred bytes" * 9
    )
    with pytest.raises(SchemaError, match="not a database"):
        read_schema(tmp_path / "prose.sqlite")


def test_keys_that_meet_later_do_not_merge_groups() -> None:
    """Two groups of columns stay two when a third key links them, as in the official mapping; the later group wins."""
    tables = {"a": ["x"], "b": ["x"], "c": ["x"], "d": ["x"]}
    schema = Schema.of(tables, [("a.x", "b.x"), ("c.x", "d.x"), ("b.x", "c.x")])
    assert schema.key_groups == {"a.x": "a.x", "b.x": "a.x", "c.x": "c.x", "d.x": "c.x"}


def test_keys_of_another_source(schema: Schema) -> None:
    """Tables of one source can be had with the keys of another."""
    keyless = Schema.of(schema.tables)
    assert keyless.key_groups == {}
    assert keyless.with_keys_of(schema) == schema
