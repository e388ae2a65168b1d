"""The embedded benchmark: ten small databases, 2,600 questions, no download.

Written for this package and built by code: the same bytes at every build on one SQLite version.
"""

from __future__ import annotations

from pathlib import Path

from spider_data.mini.annotation_noise import HABITS, noisy_demonstration
from spider_data.mini.build import assemble, open_pool
from spider_data.mini.schema import UNSEEN, load_databases
from spider_data.mini.templates import load_patterns
from spider_data.parquet import write_tasks
from spider_data.storage import new_folder

__all__ = ["HABITS", "UNSEEN", "mini_benchmark", "noisy_demonstration", "pattern_of"]


def mini_benchmark(folder: Path | str) -> Path:
    """Build the benchmark in `folder`, in Spider's layout, and return that path.

    Gives `train.parquet`, `validation.parquet`, `test.parquet` and `database/<db_id>/<db_id>.sqlite`.

    Raises:
        TargetOccupied: `folder` exists and is not empty.
        DiskFull, TargetUnwritable: the place cannot take the files.
    """
    target = Path(folder)
    patterns = load_patterns()
    databases = load_databases()
    pools = [open_pool(database, patterns) for database in databases]
    try:
        splits = assemble(pools, patterns)
    finally:
        for pool in pools:
            pool.connection.close()
    with new_folder(target) as part:
        for split, tasks in splits.items():
            write_tasks(part / f"{split}.parquet", tasks)
        for database in databases:
            home = part / "database" / database.db_id
            home.mkdir(parents=True)
            database.write(home / f"{database.db_id}.sqlite")
    return target


def pattern_of(task_id: str) -> str:
    """The pattern family of a mini task: `mini-train-0001-count_all` gives `count_all`.

    Raises:
        ValueError: the id is not one of the mini benchmark's.
    """
    parts = task_id.split("-", 3)
    if len(parts) != 4 or parts[0] != "mini":
        raise ValueError(f"task id {task_id!r} is not of the mini benchmark; expected mini-<split>-<row>-<pattern>")
    return parts[3]
