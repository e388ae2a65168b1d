"""Tasks and their Parquet files."""

from __future__ import annotations

import pickle
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spider_data import Hardness, SpiderDataError, SpiderTask, Split, read_tasks, write_tasks
from spider_data.errors import SchemaMismatchError, SourceNotFoundError, TaskInvalidError

TASK = SpiderTask(
    task_id="dev-00003",
    db_id="museum",
    question="Wie heißt O'Hara?",
    query="SELECT 'a''b'",
    split=Split.DEV,
    hardness=Hardness.HARD,
)
text = st.text(alphabet=st.characters(codec="utf-8"), max_size=30)


@given(
    st.builds(
        SpiderTask,
        task_id=text.filter(bool),
        db_id=text.filter(bool),
        question=text,
        query=text.filter(bool),
        split=st.sampled_from(Split),
        hardness=st.sampled_from(Hardness),
    )
)
def test_a_row_is_flat_and_comes_back_equal(task: SpiderTask) -> None:
    """`to_row` holds plain strings only (no enum would survive HF datasets), and `from_row` undoes it."""
    row = task.to_row()
    assert {type(value) for value in row.values()} == {str}
    assert SpiderTask.from_row(row) == task


def test_tasks_come_back_from_parquet(tmp_path: Path) -> None:
    """What is written is read, in order, and a limit cuts from the front."""
    tasks = [
        SpiderTask.from_row({**TASK.to_row(), "task_id": f"t-{n}", "question": "" if n == 1 else "?"}) for n in range(5)
    ]
    write_tasks(tmp_path / "new" / "dev.parquet", tasks)
    assert read_tasks(tmp_path / "new" / "dev.parquet") == tasks
    assert read_tasks(tmp_path / "new" / "dev.parquet", limit=2) == tasks[:2]
    assert read_tasks(tmp_path / "new" / "dev.parquet", limit=0) == []


def test_pandas_reads_our_files_as_the_tutorial_does(tmp_path: Path) -> None:
    """`pd.read_parquet(...).to_dict("records")` gives the rows, with the tutorial's column names among the keys."""
    write_tasks(tmp_path / "dev.parquet", [TASK])
    records = pd.read_parquet(tmp_path / "dev.parquet").to_dict("records")
    assert records == [TASK.to_row()]
    assert {"question", "query", "db_id"} <= set(records[0])


def test_equal_tasks_give_equal_bytes(tmp_path: Path) -> None:
    """Nothing but the tasks is in the file: no time, no machine."""
    for name in ("a.parquet", "b.parquet"):
        write_tasks(tmp_path / name, [TASK] * 3)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("index", [False, True])
def test_the_tutorials_files_load_as_they_are(tmp_path: Path, index: bool) -> None:
    """Three columns, in any order, with or without pandas' index: id from name and row, split from name."""
    frame = pd.DataFrame(
        {"db_id": ["a", "b"], "question": ["q1", "q2"], "query": ["SELECT 1", "SELECT 2"]}, index=[7, 3]
    )
    frame.to_parquet(tmp_path / "train_spider.parquet", index=index)
    tasks = read_tasks(tmp_path / "train_spider.parquet")
    assert [task.task_id for task in tasks] == ["train_spider-00000", "train_spider-00001"]
    assert [task.db_id for task in tasks] == ["a", "b"]
    assert {task.split for task in tasks} == {Split.TRAIN}
    assert {task.hardness for task in tasks} == {Hardness.UNKNOWN}


@pytest.mark.parametrize(
    ("stem", "split"),
    [("test_dev_500", "test"), ("validation", "validation"), ("dev", "dev"), ("tests", ""), ("mine", "")],
)
def test_the_name_of_a_file_promises_its_split(tmp_path: Path, stem: str, split: str) -> None:
    """Without a split column the name decides, and an unknown name claims nothing."""
    table = pa.table({"question": ["q"], "query": ["SELECT 1"], "db_id": ["a"]})
    pq.write_table(table, tmp_path / f"{stem}.parquet")
    assert read_tasks(tmp_path / f"{stem}.parquet")[0].split == split


def columns(**changes: object) -> dict[str, object]:
    return {"question": ["q", "q"], "query": ["SELECT 1", "SELECT 2"], "db_id": ["a", "a"]} | changes


@pytest.mark.parametrize(
    ("table", "column", "found", "words"),
    [
        (columns(db_id=[1, 2]), "db_id", "int64", ["int64", "expected string"]),
        (columns(question=[["a"], ["b"]]), "question", "list", ["expected string"]),
        (columns(query=["SELECT 1", None]), "query", "null", ["row 1", "'query'", "null"]),
        (columns(query=["SELECT 1", ""]), "query", "''", ["row 1", "empty"]),
        (columns(hardness=["easy", "insane"]), "hardness", "'insane'", ["row 1", "'insane'", "'extra'"]),
        (columns(split=["train", "eval"]), "split", "'eval'", ["row 1", "'eval'", "'validation'"]),
        ({"question": ["q"], "query": ["SELECT 1"]}, "db_id", "", ["no column 'db_id'", "question, query"]),
    ],
    ids=["type", "nested type", "null", "empty", "hardness", "split", "missing column"],
)
def test_a_wrong_column_is_named(
    tmp_path: Path, table: dict[str, object], column: str, found: str, words: list[str]
) -> None:
    """The error says which file, row and column, and what was found there; also as fields."""
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(table), path)
    with pytest.raises(SchemaMismatchError) as caught:
        read_tasks(path)
    for word in (str(path), *words):
        assert word in str(caught.value)
    assert (caught.value.path, caught.value.column) == (path, column)
    assert found in caught.value.found


def test_dictionary_columns_are_strings_too(tmp_path: Path) -> None:
    """pandas' categories and large strings are text as well."""
    table = pa.table(
        {
            "question": pa.array(["q"], pa.large_string()),
            "query": ["SELECT 1"],
            "db_id": pa.array(["a"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "train.parquet")
    assert read_tasks(tmp_path / "train.parquet")[0].db_id == "a"


@pytest.mark.parametrize("kind", [pa.string(), pa.null()])
def test_unknown_levels_may_be_null(tmp_path: Path, kind: pa.DataType) -> None:
    """Other tools write null where nothing is known; in `split` and `hardness` that is no fault."""
    table = pa.table({"question": ["q"], "query": ["SELECT 1"], "db_id": ["a"]})
    for name in ("split", "hardness"):
        table = table.append_column(name, pa.array([None], kind))
    pq.write_table(table, tmp_path / "train.parquet")
    (task,) = read_tasks(tmp_path / "train.parquet")
    assert (task.split, task.hardness) == (Split.UNKNOWN, Hardness.UNKNOWN)


def test_a_path_with_equals_signs_adds_no_column(tmp_path: Path) -> None:
    """A folder called `split=eval` is a folder; Arrow would make a column of it."""
    write_tasks(tmp_path / "split=eval" / "dev.parquet", [TASK])
    assert read_tasks(tmp_path / "split=eval" / "dev.parquet") == [TASK]


def test_what_is_no_parquet_is_said_to_be_none(tmp_path: Path) -> None:
    """A JSON file under a Parquet name, a missing file and a folder each get a plain answer."""
    (tmp_path / "dev.parquet").write_text("[]")
    with pytest.raises(SchemaMismatchError, match="cannot be read as Parquet"):
        read_tasks(tmp_path / "dev.parquet")
    for absent, words in ((tmp_path / "none.parquet", "no task file"), (tmp_path, "is a folder, not a task file")):
        with pytest.raises(SourceNotFoundError, match=words):
            read_tasks(absent)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"query": None}, "query"), ({"question": 7}, "question"), ({"db_id": ""}, "db_id"), ({"split": "eval"}, "split")],
)
def test_a_row_without_its_parts_is_refused(change: dict[str, object], field: str) -> None:
    """From Python the same rules hold, and the field is named."""
    with pytest.raises(TaskInvalidError) as caught:
        SpiderTask.from_row(TASK.to_row() | change)
    assert caught.value.field == field
    assert ("is empty" if change == {"db_id": ""} else repr(next(iter(change.values())))) in str(caught.value)


def test_tasks_survive_pickling_and_never_change() -> None:
    """A task goes to a worker process as it is."""
    assert pickle.loads(pickle.dumps(TASK)) == TASK
    with pytest.raises(AttributeError):
        TASK.query = "SELECT 2"  # pyright: ignore[reportAttributeAccessIssue]


def test_errors_survive_pickling() -> None:
    """A worker process hands on the message and the fields."""
    error = SchemaMismatchError(path=Path("a"), column="c", found="f", reason="message")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, SpiderDataError)
    assert (str(again), again.path, again.column, again.found) == ("'a': message", Path("a"), "c", "f")
