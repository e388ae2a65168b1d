"""`lit-sql check` names what is wrong: ten faults, each planted in a folder or an environment that was fine."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from lit_sql_trainer.cli import main
from lit_sql_trainer.preflight.hub import hub_file
from spider_data import SpiderTask, read_tasks, write_tasks

Usage = namedtuple("Usage", "total used free")


def check(*arguments: object, code: int = 1) -> dict[str, Any]:
    """What `lit-sql check tiny --json` prints."""
    result = CliRunner().invoke(main, ["check", "tiny", "--json", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return json.loads(result.output)


def failed(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings that failed; each has a remedy."""
    found = [finding for finding in report["findings"] if finding["level"] == "fail"]
    assert all(finding["remedy"] for finding in found)
    return found


def only_failure(report: dict[str, Any]) -> dict[str, Any]:
    """The one finding that failed."""
    found = failed(report)
    assert len(found) == 1, found
    return found[0]


def add_tasks(folder: Path, split: str, *tasks: tuple[str, str, str]) -> None:
    """Append (db_id, question, query) to a split."""
    file = folder / f"{split}.parquet"
    more = [
        SpiderTask(task_id=f"planted-{number}", db_id=db_id, question=question, query=query)
        for number, (db_id, question, query) in enumerate(tasks)
    ]
    write_tasks(file, [*read_tasks(file), *more])


def test_a_sound_folder_passes(sound_data: Path, paper_model: Path) -> None:
    """Without a fault nothing fails, and no family is left out."""
    parts = ("versions", "ports", "model", "hardware", "disk", "data", "golds", "prompts")
    report = check("--data", sound_data, "--model", paper_model, *(f"--only={part}" for part in parts), code=0)
    assert report["ok"]
    assert {finding["family"] for finding in report["findings"]} == set(parts)


def test_a_broken_gold(sound_data: Path) -> None:
    """Fault 1: the task, the file and SQLite's reason are named."""
    add_tasks(sound_data, "train", ("shop", "What is broken?", "SELECT nope FROM item"))
    finding = only_failure(check("--data", sound_data, "--only", "golds"))
    assert (finding["what"], finding["subjects"]) == ("broken", ["planted-0"])
    assert "shop.sqlite: no such column: nope" in finding["found"]


def test_a_gold_broken_on_a_variant_only(sound_data: Path) -> None:
    """A query that fails on one file of the suite would drop its rollouts too."""
    with closing(sqlite3.connect(sound_data / "database/shop/shop.sqlite")) as connection:
        connection.execute("ALTER TABLE item ADD COLUMN extra TEXT")
        connection.commit()
    add_tasks(sound_data, "validation", ("shop", "Extras?", "SELECT extra FROM item"))
    assert (
        "shop_v1.sqlite: no such column: extra" in only_failure(check("--data", sound_data, "--only", "golds"))["found"]
    )


def test_a_gold_that_never_ends(sound_data: Path) -> None:
    """A perfect answer would time out; the task is named with the deadline."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    add_tasks(sound_data, "train", ("shop", "How long?", endless))
    from lit_sql_trainer.preflight.golds import Trouble, audit_golds
    from spider_data import DatabaseCatalog
    from sql_reward import Limits

    tasks = read_tasks(sound_data / "train.parquet")[-1:]
    limits = Limits(deadline_s=0.1, gold_deadline_s=0.2)
    (fault,) = audit_golds(tasks, DatabaseCatalog(sound_data), limits=limits).faults
    assert (fault.trouble, fault.tasks) == (Trouble.TIMES_OUT, ("planted-0",))
    assert "deadline" in fault.detail


def test_empty_and_tied_golds_are_counted(sound_data: Path) -> None:
    """Neither stops training; both are shown with their tasks."""
    add_tasks(
        sound_data,
        "train",
        ("shop", "Who is a thousand?", "SELECT name FROM item WHERE age > 1000"),
        ("shop", "Name by nothing?", "SELECT name FROM item ORDER BY age * 0 LIMIT 1"),
        ("shop", "The ids, by id?", "SELECT id FROM item ORDER BY 1 LIMIT 3"),
        ("shop", "Ages by age?", "SELECT age AS a FROM item ORDER BY a LIMIT 3"),
    )
    report = check("--data", sound_data, "--only", "golds", code=0)
    warned = {finding["what"]: finding["subjects"] for finding in report["findings"] if finding["level"] == "warn"}
    assert warned == {"empty answers": ["planted-0"], "ties": ["planted-1"]}


def test_a_missing_database(sound_data: Path) -> None:
    """Fault 2: its name and where it should be."""
    shutil.rmtree(sound_data / "database" / "school")
    finding = only_failure(check("--data", sound_data, "--only", "data"))
    assert (finding["what"], finding["subjects"]) == ("databases", ["school"])
    assert "database/<db_id>/<db_id>.sqlite" in finding["remedy"]


def test_too_old_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 3: package, version found and versions wanted, and the command that installs them."""
    metadata = tmp_path / "openai-1.99.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: openai\nVersion: 1.99.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = only_failure(check("--only", "versions"))
    assert "openai: found 1.99.0, wanted <3,>=2.8" in finding["found"]
    assert "uv sync --package lit-sql-trainer" in finding["remedy"]


def test_a_port_that_is_taken() -> None:
    """Fault 4: the port is named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is not usable" in only_failure(check("--only=ports", "--port", port))["found"]


def test_no_token_for_a_gated_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 5: a model that is known to be gated fails before anything is asked of the network."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    finding = only_failure(check("--only=model", "--model=meta-llama/Llama-3.2-1B-Instruct"))
    assert "HF_TOKEN" in finding["remedy"]
    assert "meta-llama/Llama-3.2-1B-Instruct" in finding["found"]


class Hub(BaseHTTPRequestHandler):
    """A hub with one gated model, which the right token opens, and nothing else."""

    def do_GET(self) -> None:
        gated, opened = self.path.startswith("/gated/model/"), self.headers.get("Authorization") == "Bearer right"
        name = self.path.rpartition("/")[2]
        if not gated:
            self._send(401, {"X-Error-Code": "RepoNotFound"}, b"")
        elif not opened:
            self._send(401 if "Authorization" not in self.headers else 403, {"X-Error-Code": "GatedRepo"}, b"")
        elif name in ("config.json", "tokenizer_config.json"):
            self._send(200, {}, json.dumps({"chat_template": "{{ messages }}"}).encode())
        else:
            self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a hub on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("model", "token", "told"),
    [
        ("gated/model", "", "is gated, and the hub refuses it without a token"),
        ("gated/model", "wrong", "is gated, and the hub refuses it with the token that is here"),
        ("gated/model", "right", ""),
        ("other/model", "", "the hub has no 'other/model', or hides it"),
    ],
)
def test_what_the_hub_says_of_a_model(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, token: str, told: str
) -> None:
    """The hub is asked with the token that is there, and its answer becomes a finding."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    template = f"{hub}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", token)
    hub_file.cache_clear()
    report = check("--only=model", "--model", model, code=1 if told else 0)
    if told:
        assert told in only_failure(report)["found"]
    else:
        assert [finding["what"] for finding in report["findings"]] == ["model", "chat template"]


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline is said clearly, with the way around it."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub_file.cache_clear()
    finding = only_failure(check("--only=model", "--model=some/model"))
    assert "not on this machine, and the hub cannot be reached (HF_HUB_OFFLINE is set)" in finding["found"]
    assert "--model" in finding["remedy"]


def test_too_little_disk(monkeypatch: pytest.MonkeyPatch, sound_data: Path, paper_model: Path, tmp_path: Path) -> None:
    """Fault 6: what is free, what is needed, and where."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 10**6, 10**6))
    finding = only_failure(check("--data", sound_data, "--model", paper_model, "--only=disk", f"--runs={tmp_path}/x"))
    assert f"0.0 GiB free at {tmp_path}, about 0.8 GiB needed" in finding["found"]
    assert "--runs" in finding["remedy"]


def test_a_model_without_chat_template(paper_model: Path, tmp_path: Path) -> None:
    """Fault 7: the folder is named, and what to add."""
    folder = tmp_path / "model"
    shutil.copytree(paper_model, folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": None}))
    finding = only_failure(check("--only=model", "--model", folder))
    assert (finding["what"], finding["found"]) == ("chat template", f"{folder} has no chat template")


def test_a_schema_that_is_too_long(sound_data: Path) -> None:
    """Fault 8: how many questions lose tables, how many gold tables are out of sight, and in which tasks."""
    with closing(sqlite3.connect(sound_data / "database/shop/shop.sqlite")) as connection:
        for number in range(150):
            connection.execute(f"CREATE TABLE warehouse_{number} (name TEXT, place TEXT, opened DATE, size REAL)")
        connection.commit()
    words = ["red", "blue", "green", "pink", "white", "black", "grey", "brown", "gold", "lilac"]
    questions = [
        ("shop", f"How {word} is it?", f"SELECT size FROM warehouse_{140 + n}") for n, word in enumerate(words)
    ]
    add_tasks(sound_data, "train", *questions)
    finding = only_failure(check("--data", sound_data, "--only", "prompts"))
    assert finding["what"] == "schema"
    assert set(finding["subjects"]) <= {f"planted-{number}" for number in range(10)}
    assert len(finding["subjects"]) > 5
    assert "truncated for" in finding["found"]
    assert "prompt_budget_tokens" in finding["remedy"]
    enough = check("--data", sound_data, "--only=prompts", "--set=prompt_budget_tokens=20000", code=0)
    assert enough["ok"], enough


def test_a_budget_in_which_no_schema_fits(sound_data: Path) -> None:
    """The prompt cannot be made at all."""
    finding = only_failure(check("--data", sound_data, "--only=prompts", "--set=prompt_budget_tokens=60"))
    assert finding["what"] == "budget"


def test_an_empty_split(sound_data: Path) -> None:
    """Fault 9: the file is named."""
    write_tasks(sound_data / "validation.parquet", [])
    finding = only_failure(check("--data", sound_data, "--only", "data"))
    assert (finding["what"], finding["found"]) == ("validation.parquet", "holds no tasks")


def test_a_wrong_checksum(sound_data: Path) -> None:
    """Fault 10: in a folder that says it is the official benchmark, a file with other bytes is named."""
    (sound_data / "manifest.json").write_text(json.dumps({"origin": "spider"}))
    shutil.copytree(sound_data / "database" / "shop", sound_data / "database" / "concert_singer")
    (sound_data / "database/concert_singer/shop.sqlite").rename(
        sound_data / "database/concert_singer/concert_singer.sqlite"
    )
    found = {finding["what"]: finding for finding in failed(check("--data", sound_data, "--only", "data"))}
    assert "database/concert_singer/concert_singer.sqlite: not the official file" in found["checksums"]["found"]


def test_a_damaged_file(sound_data: Path) -> None:
    """What SQLite finds in it is told."""
    file = sound_data / "database/shop/shop.sqlite"
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(data)
    assert "shop.sqlite" in failed(check("--data", sound_data, "--only", "data"))[0]["found"]


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """Exit code 2 for a profile or a part that there is not; a missing folder is a finding."""
    for arguments in (["nosuch"], ["tiny", "--only=weather"], ["tiny", "--set=lerning_rate=1"]):
        assert CliRunner().invoke(main, ["check", *arguments]).exit_code == 2
    assert "no data folder" in only_failure(check("--only=data", "--data", tmp_path / "none"))["found"]


def test_a_table_for_a_person(sound_data: Path, paper_model: Path) -> None:
    """Each finding is a line with its level, each remedy stands below, and the next command ends it."""
    (sound_data / "test.parquet").unlink()
    result = CliRunner().invoke(
        main, ["check", "tiny", "--quick", "--data", str(sound_data), "--model", str(paper_model)]
    )
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert any(line.startswith("pass versions") for line in lines)
    warning = next(number for number, line in enumerate(lines) if line.startswith("warn data"))
    assert lines[warning + 1].strip().startswith("→ Make it with")
    assert lines[-1].startswith("next: train tiny")
