"""Spider's tasks and database files: get, check, convert, find; and a benchmark that needs no download.

Importing this costs a few milliseconds: each name is loaded when it is first used, and pyarrow only when
a Parquet file is read or written.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spider_data.catalog import DatabaseCatalog
    from spider_data.check import check_data
    from spider_data.convert import ConvertOptions, convert_spider
    from spider_data.errors import SpiderDataError
    from spider_data.findings import CheckReport
    from spider_data.parquet import read_tasks, write_tasks
    from spider_data.storage import data_dir
    from spider_data.task import Hardness, SpiderTask, Split

_HOME = {
    "SpiderTask": "task",
    "Split": "task",
    "Hardness": "task",
    "read_tasks": "parquet",
    "write_tasks": "parquet",
    "ConvertOptions": "convert",
    "DatabaseCatalog": "catalog",
    "CheckReport": "findings",
    "check_data": "check",
    "convert_spider": "convert",
    "data_dir": "storage",
    "mini_benchmark": "mini",
    "SpiderDataError": "errors",
}

__all__ = [
    "CheckReport",
    "ConvertOptions",
    "DatabaseCatalog",
    "Hardness",
    "SpiderDataError",
    "SpiderTask",
    "Split",
    "check_data",
    "convert_spider",
    "data_dir",
    "read_tasks",
    "write_tasks",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'spider_data' has no attribute {name!r}")
    value = getattr(import_module(f"spider_data.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
