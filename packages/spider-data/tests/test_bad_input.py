"""What people get wrong, and the one message each mistake gets."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest

from spider_data import ConvertOptions, convert_spider
from spider_data.errors import (
    ArchiveDamagedError,
    DiskFullError,
    OptionInvalidError,
    RecordInvalidError,
    SchemaMismatchError,
    SourceNotFoundError,
    SourceUnreadableError,
    UnsafeMemberError,
)


def test_no_such_folder(tmp_path: Path) -> None:
    """Says what was looked for and how to get it."""
    with pytest.raises(SourceNotFoundError, match=r"no folder or zip .*nowhere.*spider-data download"):
        convert_spider(tmp_path / "nowhere", tmp_path / "data")


def test_a_folder_without_questions(tmp_path: Path) -> None:
    """The usual slip: naming the folder of databases."""
    (tmp_path / "database").mkdir()
    with pytest.raises(SourceNotFoundError, match=r"no training questions in .*train_spider\.json"):
        convert_spider(tmp_path / "database", tmp_path / "data")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_zip(zipped: Path, tmp_path: Path, share: float) -> None:
    """Wherever the download broke off, it is damage, and nothing remains."""
    data = zipped.read_bytes()
    zipped.write_bytes(data[: int(share * len(data))])
    before = set(tmp_path.iterdir())
    with pytest.raises(ArchiveDamagedError, match=r"spider_data\.zip' is damaged or truncated .* download it again"):
        convert_spider(zipped, tmp_path / "data")
    assert set(tmp_path.iterdir()) == before


def test_a_zip_with_a_flipped_byte(zipped: Path, tmp_path: Path) -> None:
    """The directory at the end is whole, but a member fails its own checksum."""
    data = bytearray(zipped.read_bytes())
    with zipfile.ZipFile(zipped) as packed:
        info = packed.getinfo("spider_data/train_spider.json")
    data[info.header_offset + 30 + len(info.filename) + 40] ^= 0xFF
    zipped.write_bytes(data)
    with pytest.raises(ArchiveDamagedError, match="damaged"):
        convert_spider(zipped, tmp_path / "data")


def test_a_zip_with_a_password(zipped: Path, tmp_path: Path) -> None:
    """Not guessed at; told like other damage."""
    data = bytearray(zipped.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 4)
    zipped.write_bytes(data)
    with pytest.raises(ArchiveDamagedError, match="encrypted"):
        convert_spider(zipped, tmp_path / "data")


def test_a_file_that_is_no_zip(spider: Path, tmp_path: Path) -> None:
    """Naming one JSON file is a slip; the advice must not be to delete it."""
    with pytest.raises(ArchiveDamagedError, match="is no zip file") as caught:
        convert_spider(spider / "dev.json", tmp_path / "data")
    assert "delete" not in str(caught.value)


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    """A sound zip without Spider in it."""
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as packed:
        packed.writestr("holiday.jpg", b"")
    with pytest.raises(SourceNotFoundError, match=r"no training questions in .*other\.zip"):
        convert_spider(tmp_path / "other.zip", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_file_that_may_not_be_read(spider: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is the source's, and the message does not blame the target."""

    def refuse(path: Path, *_: object, **__: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SourceUnreadableError, match=r"cannot read .*train_spider\.json' \(Permission denied\)"):
        convert_spider(spider, tmp_path / "data")


@pytest.mark.parametrize(
    "member",
    ["../outside.json", "/etc/outside.json", "spider_data/../../outside.json", "..\\outside.json", "C:\\outside.json"],
)
def test_a_zip_that_climbs_out(zipped: Path, tmp_path: Path, member: str) -> None:
    """A single hostile member condemns the archive before anything is written."""
    with zipfile.ZipFile(zipped, "a") as packed:
        packed.writestr(zipfile.ZipInfo(member), "boo")
    with pytest.raises(UnsafeMemberError) as caught:
        convert_spider(zipped, tmp_path / "data")
    assert caught.value.member == member
    assert not list(tmp_path.rglob("outside*"))
    assert not (tmp_path / "data").exists()


def test_a_zip_with_a_link(zipped: Path, tmp_path: Path) -> None:
    """A link could redirect a later member."""
    info = zipfile.ZipInfo("spider_data/database/ferry")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zipped, "a") as packed:
        packed.writestr(info, "/etc")
    with pytest.raises(UnsafeMemberError, match="is a link"):
        convert_spider(zipped, tmp_path / "data")


def test_a_zip_larger_than_the_disk(zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known from the directory, so nothing is unpacked first."""
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("usage", (), {"free": 1000}))
    with pytest.raises(DiskFullError, match="not enough room"):
        convert_spider(zipped, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def broken(change: dict[str, object], drop: str = "") -> object:
    rows = [{"db_id": "ferry", "question": "q", "query": "SELECT 1"} for _ in range(3)]
    rows[2] |= change  # pyright: ignore[reportOperatorIssue, reportArgumentType]  on purpose
    rows[2].pop(drop, None)
    return rows


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(broken({}, drop="query")), ["record 2", "'query' is missing", "db_id, question"]),
        (json.dumps(broken({"db_id": 5})), ["record 2", "'db_id' must be text, found 5"]),
        (json.dumps(broken({"query": None})), ["record 2", "'query' must be text, found None"]),
        (json.dumps(broken({"hardness": "hardest"})), ["record 2", "found 'hardest'"]),
        (json.dumps(broken({"question": "\ud83d"})), ["record 2", "'question' holds half a character"]),
        (json.dumps(["text"]), ["record 0", "one object a line, found 'text'"]),
        (json.dumps({"data": []}), ["record 0", "'db_id' is missing; found data"]),
        (json.dumps({"data": []}, indent=1), ["record 0", "expected a list of objects", "found one object with data"]),
        (json.dumps(broken({}))[:-30], ["record 2", "not JSON"]),
        ('[{"db_id": "a", "question": "q", "query": "SELECT 1"} {}]', ["record 1", "the list ends early"]),
        ("", ["record 0", "the file has no record"]),
        ("[", ["record 0", "not JSON"]),
        ("[]", ["record 0", "the file has no record"]),
        ("[] [", ["record 0", "'[' follows the end of the list"]),
        (json.dumps(broken({})) + "x", ["record 3", "'x' follows the end of the list"]),
        (json.dumps(broken({}))[:-1] + ', {"db_id": "a", "db_id": "b"}]', ["record 3", "the key 'db_id' occurs twice"]),
        (json.dumps(broken({"SQL": "SELECT 2"})), ["record 2", "'query' and 'SQL' both give the query and differ"]),
        (json.dumps(broken({"question": ["q"]})), ["record 2", "'question' must be text"]),
        ("[" * 100_000, ["record 0", "nested too deeply"]),
        ('{"db_id": "a"}\n{"db_id"', ["record 0", "'question' is missing"]),
    ],
    ids=[
        "missing key",
        "type",
        "null",
        "level",
        "half a character",
        "no object",
        "no list",
        "no list, over lines",
        "truncated",
        "no comma",
        "empty",
        "half",
        "empty list",
        "two lists",
        "rubbish after the list",
        "a key twice",
        "two queries",
        "a list for a text",
        "deep",
        "lines",
    ],
)
def test_json_faults(spider: Path, tmp_path: Path, text: str, words: list[str]) -> None:
    """Each names the file, the record, the key, and what was found there."""
    (spider / "dev.json").write_text(text)
    with pytest.raises(RecordInvalidError) as caught:
        convert_spider(spider, tmp_path / "data")
    for word in (str(spider / "dev.json"), *words):
        assert word in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_json_in_another_encoding(spider: Path, tmp_path: Path) -> None:
    """Latin-1 is not guessed at; a byte order mark is fine."""
    (spider / "dev.json").write_bytes(json.dumps(broken({"question": "é"}), ensure_ascii=False).encode("latin-1"))
    with pytest.raises(RecordInvalidError, match="not UTF-8"):
        convert_spider(spider, tmp_path / "data")
    (spider / "dev.json").write_text(json.dumps(broken({})), encoding="utf-8-sig")
    assert convert_spider(spider, tmp_path / "data").rows["dev.parquet"] == 3


def test_parquet_of_the_wrong_type_as_a_source(spider: Path, tmp_path: Path) -> None:
    """A source in Parquet is held to the same schema."""
    import pandas as pd

    (spider / "dev.json").unlink()
    pd.DataFrame({"db_id": [1], "question": ["q"], "query": ["SELECT 1"]}).to_parquet(spider / "dev.parquet")
    with pytest.raises(SchemaMismatchError, match="'db_id' is int64"):
        convert_spider(spider, tmp_path / "data")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ConvertOptions(names={"test": "none.json"}), r"no file for test .*none\.json.*check --test"),
        (ConvertOptions(databases=Path("none")), "no database folder 'none'"),
    ],
)
def test_options_that_lead_nowhere(spider: Path, tmp_path: Path, options: ConvertOptions, words: str) -> None:
    """A name given by hand must exist; it is never silently skipped."""
    with pytest.raises(SourceNotFoundError, match=words):
        convert_spider(spider, tmp_path / "data", options=options)


@pytest.mark.parametrize("share", [1.0, 1.5, -0.1])
def test_a_share_that_leaves_nothing(spider: Path, tmp_path: Path, share: float) -> None:
    """Shares are parts of one."""
    with pytest.raises(OptionInvalidError, match=f"{share}"):
        convert_spider(spider, tmp_path / "data", options=ConvertOptions(validation_share=share))
