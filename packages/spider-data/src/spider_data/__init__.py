"""Spider's tasks and database files: get, check, convert, find; and a benchmark that needs no download.

The import takes a few milliseconds: each name is loaded at its first use, pyarrow when a Parquet file is read or
written, pandas when a spreadsheet is read or a frame is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spider_data.catalog import DatabaseCatalog
    from spider_data.check.findings import CheckReport
    from spider_data.check.folder import check_data
    from spider_data.errors import DatabaseNotFoundError, SpiderDataError
    from spider_data.frames import tasks_frame
    from spider_data.manifest import Manifest, Origin, read_manifest
    from spider_data.mini import mini_benchmark
    from spider_data.own.importing import ImportOptions, SplitBy, import_data
    from spider_data.parquet import read_tasks, write_tasks
    from spider_data.spider.bundle import download_bundle
    from spider_data.spider.convert import convert_spider
    from spider_data.spider.layout import ConvertOptions
    from spider_data.stats import DataStats, data_stats
    from spider_data.storage import data_dir
    from spider_data.task import Hardness, SpiderTask, Split

__all__ = [  # noqa: RUF022  grouped by meaning
    # a task, and files of them
    "SpiderTask",
    "Split",
    "Hardness",
    "read_tasks",
    "write_tasks",
    "tasks_frame",
    # a data folder: where it is, what it is, its databases
    "data_dir",
    "Manifest",
    "Origin",
    "read_manifest",
    "DatabaseCatalog",
    # ways to get one
    "download_bundle",
    "convert_spider",
    "ConvertOptions",
    "import_data",
    "ImportOptions",
    "SplitBy",
    "mini_benchmark",
    # checking it
    "check_data",
    "CheckReport",
    "data_stats",
    "DataStats",
    # errors
    "SpiderDataError",
    "DatabaseNotFoundError",
]

_HOMES = {
    "spider.bundle": ("download_bundle",),
    "catalog": ("DatabaseCatalog",),
    "check.folder": ("check_data",),
    "spider.convert": ("convert_spider",),
    "errors": ("DatabaseNotFoundError", "SpiderDataError"),
    "check.findings": ("CheckReport",),
    "frames": ("tasks_frame",),
    "spider.layout": ("ConvertOptions",),
    "manifest": ("Manifest", "Origin", "read_manifest"),
    "mini": ("mini_benchmark",),
    "own.importing": ("ImportOptions", "SplitBy", "import_data"),
    "parquet": ("read_tasks", "write_tasks"),
    "stats": ("DataStats", "data_stats"),
    "storage": ("data_dir",),
    "task": ("Hardness", "SpiderTask", "Split"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'spider_data' has no attribute {name!r}")
    value = getattr(import_module(f"spider_data.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
