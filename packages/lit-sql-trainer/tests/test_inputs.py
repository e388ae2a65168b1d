"""What cannot be trained on is said in one line, before anything expensive begins."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lit_sql_trainer.data import cache_folder, load_data
from lit_sql_trainer.errors import DataError, ModelError
from lit_sql_trainer.models import check_model_folder, model_source


def test_a_whole_folder_is_read(toy_data: Path) -> None:
    """Both splits are read; a number takes the first so many."""
    data = load_data(toy_data)
    assert (len(data.train), len(data.validation)) == (24, 12)
    part = load_data(toy_data, train_tasks=3, validation_tasks=2)
    assert part.train == data.train[:3]
    assert part.validation == data.validation[:2]


def test_what_a_data_folder_lacks_is_named(own_data: Path) -> None:
    """No folder, no Parquet, no Parquet file in truth, no databases: each has its own line."""

    def fault() -> str:
        with pytest.raises(DataError) as caught:
            load_data(own_data)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    shutil.rmtree(own_data / "database" / "school")
    assert "1 of 2 databases are missing" in fault()
    assert "school" in fault()
    (own_data / "validation.parquet").write_text("no parquet")
    assert "cannot be read as Parquet" in fault()
    (own_data / "validation.parquet").unlink()
    assert "has no validation.parquet" in fault()
    (own_data / "train.parquet").unlink()
    assert "has no train.parquet" in fault()
    shutil.rmtree(own_data)
    assert "no data folder" in fault()


def test_a_split_without_tasks_is_refused(own_data: Path) -> None:
    """Nothing to validate on would only be noticed at the end of the first step."""
    from spider_data import write_tasks

    write_tasks(own_data / "validation.parquet", [])
    with pytest.raises(DataError, match=r"validation\.parquet' holds no tasks"):
        load_data(own_data)


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("config.json", "lacks config.json"),
        ("model.safetensors", "lacks weights"),
        ("tokenizer.json", "lacks a tokenizer"),
        ("chat_template.jinja", "lacks a chat template"),
    ],
)
def test_what_a_model_folder_lacks_is_named(random_model: Path, tmp_path: Path, missing: str, told: str) -> None:
    """Each part that training needs is looked for before torch is imported."""
    folder = tmp_path / "model"
    shutil.copytree(random_model, folder)
    check_model_folder(folder)
    (folder / missing).unlink()
    with pytest.raises(ModelError) as caught:
        check_model_folder(folder)
    assert told in str(caught.value)


def test_a_path_that_leads_nowhere_is_no_hub_name(tmp_path: Path) -> None:
    """`org/name` is left to the hub; what is clearly a path must exist."""
    assert model_source("org/name") == "org/name"
    for path in (str(tmp_path / "none"), "./none", "a/b/c"):
        with pytest.raises(ModelError, match="no model folder"):
            model_source(path)


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LIT_SQL_CACHE wins over XDG_CACHE_HOME."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "lit-sql"
    monkeypatch.setenv("LIT_SQL_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_the_embedded_benchmark_is_made_once(tmp_path: Path) -> None:
    """The second call finds what the first one made, whole, in the folder that was named."""
    from lit_sql_trainer.data import embedded_data

    folder = embedded_data(tmp_path)
    written = (folder / "train.parquet").stat().st_mtime_ns
    assert folder.parent == tmp_path
    assert embedded_data(tmp_path) == folder
    assert (folder / "train.parquet").stat().st_mtime_ns == written
    data = load_data(folder)
    assert len(data.train) > len(data.validation) > 100


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The message says how to choose another place."""
    from lit_sql_trainer.data import embedded_data

    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="LIT_SQL_CACHE"):
        embedded_data(tmp_path / "file")
