"""Tasks as a data frame. pandas is imported at the first call."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from spider_data.task import COLUMNS, SpiderTask

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]  pandas ships no stubs


def tasks_frame(tasks: Iterable[SpiderTask]) -> pd.DataFrame:
    """One row for each task, with the columns of the Parquet files in their order, all as text.

    `[SpiderTask.from_row(row) for row in frame.to_dict("records")]` gives the tasks back.
    """
    rows = [task.to_row() for task in tasks]
    return import_module("pandas").DataFrame(rows, columns=list(COLUMNS), dtype="string")
