"""Against records of the official evaluator, and against published figures. Needs the Spider test data."""

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from sql_reward.cli import main
from sql_reward.exact import Schema, UnparsableSqlError, exact_match, hardness, read_schema, read_schemas

pytestmark = pytest.mark.data

PUBLISHED_LEVELS = {"easy": 248, "medium": 446, "hard": 174, "extra": 166}


@pytest.fixture(scope="module")
def schemas(spider_data: Path) -> dict[str, Schema]:
    """Tables and columns of the database files, foreign keys of tables.json."""
    listed = read_schemas(spider_data / "spider" / "tables.json")
    root = spider_data / "spider" / "database"
    files = {name: root / name / f"{name}.sqlite" for name in listed}
    return {name: read_schema(file).with_keys_of(listed[name]) for name, file in files.items() if file.is_file()}


def test_hardness_of_dev_golds(spider_data: Path, schemas: dict[str, Schema]) -> None:
    """The dev split has the published numbers of easy, medium, hard and extra hard queries, from either schema."""
    listed = read_schemas(spider_data / "spider" / "tables.json")
    golds = [line.rsplit("\t", 1) for line in (spider_data / "spider" / "dev_gold.sql").read_text().splitlines()]
    assert Counter(str(hardness(sql, schemas[db_id])) for sql, db_id in golds) == PUBLISHED_LEVELS
    assert Counter(str(hardness(sql, listed[db_id])) for sql, db_id in golds) == PUBLISHED_LEVELS


def test_exact_match_is_the_official_one(spider_data: Path, schemas: dict[str, Schema]) -> None:
    """Exact match, hardness and readability agree on every recorded pair.

    The official script first replaces `value` by `1` in every prediction. With that replacement the agreement is
    complete; without it, which is what this package does, it is above 99.9 %.
    """
    disagreements: list[str] = []
    plain = total = 0
    for line in (spider_data / "parity_public.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["official_exact_match"] is None:
            continue
        schema = schemas[row["db_id"]]
        found = exact_match(row["pred"].replace("value", "1"), row["gold"], schema)
        official = (row["official_exact_match"], row["pred_parsable"], row["hardness"])
        if (found.matched, found.parsed, hardness(row["gold"], schema)) != official:
            disagreements.append(row["id"])
        total += 1
        plain += exact_match(row["pred"], row["gold"], schema).matched == row["official_exact_match"]
    assert disagreements == []
    assert total > 9_000
    assert plain / total > 0.999


def test_golds_match_themselves(spider_data: Path, schemas: dict[str, Schema]) -> None:
    """Each gold of the dev and train splits that the grammar reads is an exact match of itself."""
    read = 0
    for name in ("dev_gold.sql", "train_gold.sql"):
        for line in (spider_data / "spider" / name).read_text().splitlines():
            sql, db_id = line.rsplit("\t", 1)
            if schemas.get(db_id) is None or not schemas[db_id].tables:
                continue
            try:
                assert exact_match(f" {sql} ;", sql, schemas[db_id]).matched, sql
            except UnparsableSqlError:
                continue
            read += 1
    assert read > 6_000


@pytest.mark.parametrize(
    ("file", "execution", "exact"),
    [
        ("dail_gpt4_self_consistency.sql", 83.6, None),
        ("c3_chatgpt.sql", 81.7, 46.9),
        ("graphix_damo.sql", 80.9, 77.1),
    ],
)
def test_published_figures(spider_data: Path, tmp_path: Path, file: str, execution: float, exact: float | None) -> None:
    """Prediction files of published systems get the figures that were published for them."""
    spider = spider_data / "spider"
    options = {
        "--gold": spider / "dev_gold.sql",
        "--pred": spider_data / "predictions_spider_dev" / file,
        "--db": spider / "database",
        "--table": spider / "tables.json",
        "--etype": "all",
        "--deadline": 30,
        "--out": tmp_path / "verdicts.jsonl",
    }
    result = CliRunner().invoke(main, ["score", "--json", *(str(part) for pair in options.items() for part in pair)])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["counts"] == {**PUBLISHED_LEVELS, "all": 1034}
    assert round(100 * summary["execution_accuracy"], 1) == execution
    if exact is not None:
        assert round(100 * summary["exact_match_accuracy"], 1) == exact
    assert len((tmp_path / "verdicts.jsonl").read_text().splitlines()) == 1034
