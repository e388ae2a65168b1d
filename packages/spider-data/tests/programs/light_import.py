"""Import spider_data and write and read the Parquet file of the argument; print `light` if nothing heavy was loaded."""

import sys

import spider_data

HEAVY = {"pandas", "pyarrow", "numpy", "openpyxl", "rich", "sqlglot", "gdown", "matplotlib", "click", "sqlite3"}


def loaded() -> set[str]:
    """The heavy modules that are here by now."""
    return HEAVY & set(sys.modules)


assert not loaded(), loaded()
task = spider_data.SpiderTask(task_id="a-0", db_id="a", question="é", query="SELECT 1")
assert spider_data.DatabaseCatalog and spider_data.read_tasks and spider_data.tasks_frame
assert not loaded(), loaded()

from spider_data.cli.main import main  # noqa: E402  after the look at what the package itself loads

assert main.commands and loaded() == {"click"}, loaded()
spider_data.write_tasks(sys.argv[1], [task])
assert spider_data.read_tasks(sys.argv[1]) == [task]
assert "pandas" not in sys.modules
print("light")
