"""The embedded benchmark's levels are Spider's own: `spider_data` writes them down, `sql_reward` counts them."""

from __future__ import annotations

from pathlib import Path

from spider_data import DatabaseCatalog, SpiderTask, read_tasks
from sql_reward import SqlRewardError, hardness
from sql_reward.exact import read_schema


def test_levels_are_the_official_ones(mini: Path) -> None:
    """Every gold that the official grammar can read has the level it counts; the rest hold a doubled quote."""
    catalog = DatabaseCatalog(mini)
    schemas = {db_id: read_schema(catalog.path(db_id)) for db_id in catalog.ids}
    wrong: list[tuple[str, str]] = []
    unread: list[SpiderTask] = []
    for split in ("train", "validation", "test"):
        for task in read_tasks(mini / f"{split}.parquet"):
            try:
                level = hardness(task.query, schemas[task.db_id])
            except SqlRewardError:
                unread.append(task)
                continue
            if str(level) != str(task.hardness):
                wrong.append((task.query, str(level)))
    assert wrong == []
    assert len(unread) < 50
    assert all("''" in task.query for task in unread)
