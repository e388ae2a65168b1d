"""What the workspace's tests share: the embedded benchmark, built once, and where the Spider files are."""

import os
from pathlib import Path

import pytest

from spider_data import mini_benchmark

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded benchmark in a folder of its own. Read-only by agreement."""
    return mini_benchmark(tmp_path_factory.mktemp("benchmark") / "mini")


@pytest.fixture(scope="session")
def spider_files() -> Path:
    """The folder of real Spider files, for tests that carry the mark `data`."""
    folder = Path(os.environ.get("SQL_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "spider" / "dev.json").is_file():
        pytest.skip(f"no Spider files in {folder}: set SQL_TEST_DATA to a folder that holds spider/dev.json")
    return folder
