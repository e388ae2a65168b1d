"""Figures of a data folder, and their picture."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from spider_data import convert_spider, data_stats, read_tasks, write_tasks
from spider_data.cli.main import main
from spider_data.errors import MissingExtraError, OptionInvalidError, SourceNotFoundError
from spider_data.plot import plot_stats


@pytest.fixture
def data(spider: Path, tmp_path: Path) -> Path:
    """A converted folder."""
    convert_spider(spider, tmp_path / "data")
    return tmp_path / "data"


def test_figures_are_counted(data: Path) -> None:
    """Tasks, levels, databases, tables, and words at four points."""
    dev = read_tasks(data / "dev.parquet")
    texts = ["one", "one two", "one two three four", ""]
    changed = [
        type(task).from_row(task.to_row() | {"question": text, "hardness": level})
        for task, text, level in zip(dev, texts, ("easy", "easy", "extra", ""), strict=True)
    ]
    write_tasks(data / "dev.parquet", changed)
    stats = data_stats(data)
    assert list(stats.splits)[:4] == ["train", "validation", "dev", "test"]
    split = stats.splits["dev"]
    assert split.tasks == 4
    assert split.hardness == {"easy": 2, "extra": 1, "unknown": 1}
    assert split.databases == {"museum": 4}
    assert split.table_counts == {1: 4}
    words = split.question_words
    assert words is not None
    assert (words.shortest, words.median, words.p90, words.longest) == (1, 2, 4, 4)
    assert split.query_words is not None
    assert split.query_words.longest == 8  # SELECT name FROM item WHERE id = 1


def test_absent_databases_and_empty_files_are_no_obstacle(data: Path) -> None:
    """Table counts leave them out; an empty file has no lengths."""
    for folder in ("database", "test_database"):
        (data / folder / "museum" / "museum.sqlite").unlink()
    write_tasks(data / "test.parquet", [])
    stats = data_stats(data)
    assert stats.splits["dev"].table_counts == {}
    assert stats.splits["test"].question_words is None


def test_a_folder_without_tasks_is_told(spider: Path) -> None:
    """Databases alone have no figures."""
    with pytest.raises(SourceNotFoundError, match="no task file"):
        data_stats(spider)


def test_the_picture_is_a_png_and_always_the_same(data: Path, tmp_path: Path) -> None:
    """Equal data, equal bytes; files of any name can be drawn."""
    stats = data_stats(data)
    for name in ("a.png", "b.png"):
        plot_stats(stats, tmp_path / name)
    picture = (tmp_path / "a.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert (tmp_path / "b.png").read_bytes() == picture
    with pytest.raises(OptionInvalidError, match=r"does not end in \.png"):
        plot_stats(stats, tmp_path / "a.jpg")


def test_without_matplotlib_the_extra_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install, and that the table needs nothing."""
    find = importlib.util.find_spec
    monkeypatch.setattr("spider_data.plot.find_spec", lambda name: None if name == "matplotlib" else find(name))
    with pytest.raises(MissingExtraError, match=r"spider-data\[plot\]"):
        plot_stats(data_stats(data), tmp_path / "a.png")
    result = CliRunner().invoke(main, ["stats", str(data), "--plot", str(tmp_path / "a.png")])
    assert result.exit_code == 2
    assert "spider-data[plot]" in result.stderr


def test_the_command_speaks_to_people_and_machines(data: Path) -> None:
    """A table with every file, or the same figures as JSON."""
    people = CliRunner().invoke(main, ["stats", str(data)], env={"COLUMNS": "200"})
    assert people.exit_code == 0
    for word in ("train_spider", "validation", "words in", "nine of ten"):
        assert word in people.stdout
    machines = CliRunner().invoke(main, ["stats", str(data), "--json"])
    assert json.loads(machines.stdout)["splits"]["dev"]["tasks"] == 4
