"""Complete or absent: full disks, read-only places, and what is in the way."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spider_data import SpiderTask, convert_spider, import_data, write_tasks
from spider_data.errors import DiskFullError, TargetOccupiedError, TargetUnwritableError
from spider_data.spider.archive import require_space
from spider_data.storage import new_file, new_folder

TASK = SpiderTask(task_id="a-0", db_id="a", question="?", query="SELECT 1")


def refuse(number: int, on: str) -> Callable[..., None]:
    """A stand-in for Arrow's writer on a disk that takes part of a file and then refuses."""

    def write(table: object, where: str, **_: object) -> None:
        if on in where:
            Path(where).write_bytes(b"PAR1 half")
            raise OSError(number, os.strerror(number), where)
        Path(where).write_bytes(b"PAR1 whole")

    return write


def test_a_full_disk_leaves_nothing_behind(spider: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up at the fourth file: the message says so, and the target never appears."""
    monkeypatch.setattr("pyarrow.parquet.write_table", refuse(errno.ENOSPC, "test.parquet"))
    before = set(tmp_path.iterdir())
    with pytest.raises(DiskFullError, match="disk is full") as caught:
        convert_spider(spider, tmp_path / "data")
    assert repr(str(tmp_path / "data" / "test.parquet")) in str(caught.value)
    assert set(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_the_earlier_conversion_whole(
    spider: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    """Converting again over a good folder either succeeds or changes nothing."""
    convert_spider(spider, tmp_path / "data")
    before = contents(tmp_path / "data")
    (spider / "dev.json").write_text((spider / "dev.json").read_text().replace("Which", "What"))
    monkeypatch.setattr("pyarrow.parquet.write_table", refuse(errno.EDQUOT, "test.parquet"))
    with pytest.raises(DiskFullError):
        convert_spider(spider, tmp_path / "data")
    assert contents(tmp_path / "data") == before


def test_one_task_file_is_whole_or_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed write keeps the old file and no partial one."""
    path = tmp_path / "train.parquet"
    write_tasks(path, [TASK])
    old = path.read_bytes()
    monkeypatch.setattr("pyarrow.parquet.write_table", refuse(errno.ENOSPC, "train"))
    with pytest.raises(DiskFullError, match=r"train\.parquet"):
        write_tasks(path, [TASK] * 9)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_read_only_target_is_called_one(
    spider: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The operating system's own words, the path, and what to do; nothing remains."""
    monkeypatch.setattr("pyarrow.parquet.write_table", refuse(number, "dev.parquet"))
    with pytest.raises(TargetUnwritableError) as caught:
        convert_spider(spider, tmp_path / "data")
    assert os.strerror(number) in str(caught.value)
    assert "choose a target" in str(caught.value)
    assert not isinstance(caught.value, DiskFullError)
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux's /proc, where nobody may make folders")
def test_a_place_where_nobody_may_write(spider: Path) -> None:
    """A real refusal, not a simulated one."""
    with pytest.raises(TargetUnwritableError, match="/proc/spider"):
        convert_spider(spider, Path("/proc/spider"))


def test_a_file_in_the_way_is_named(spider: Path, tmp_path: Path, database: Callable[..., Path]) -> None:
    """A target that is a file, or lies under one, is refused, and the file stays."""
    (tmp_path / "data").write_text("mine")
    for target in (tmp_path / "data", tmp_path / "data" / "deeper"):
        with pytest.raises(TargetUnwritableError, match="data"):
            convert_spider(spider, target)
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "How many?", "query": "SELECT count(*) FROM item"}\n')
    with pytest.raises(TargetUnwritableError, match="in the way"):
        import_data(database(tmp_path / "shop.db"), questions, tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"


def test_a_folder_with_other_things_is_left_alone(spider: Path, tmp_path: Path) -> None:
    """Nothing is added to a folder that this command did not make."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("mine")
    with pytest.raises(TargetOccupiedError, match="not empty"):
        convert_spider(spider, tmp_path / "data")
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_a_fine_target(spider: Path, tmp_path: Path) -> None:
    """`mkdir data` first is harmless."""
    (tmp_path / "data").mkdir()
    convert_spider(spider, tmp_path / "data")
    assert (tmp_path / "data" / "manifest.json").is_file()


def test_space_is_asked_for_before_the_work(tmp_path: Path) -> None:
    """Both figures are in the message; a folder that does not exist yet is measured at its parent."""
    with pytest.raises(DiskFullError, match=r"1,000,000,000 MB are needed, [\d,]+ MB are free"):
        require_space(tmp_path / "not" / "yet", 10**15)
    require_space(tmp_path / "not" / "yet", 1)


@pytest.mark.parametrize("make", [new_file, new_folder])
def test_an_interruption_leaves_nothing(tmp_path: Path, make: Callable[..., object]) -> None:
    """Ctrl-C in the middle is like any failure."""
    with pytest.raises(KeyboardInterrupt), make(tmp_path / "thing") as part:  # pyright: ignore[reportGeneralTypeIssues]
        assert part.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
