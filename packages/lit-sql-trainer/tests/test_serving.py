"""The line that `lit-sql serve` prints works when it is pasted, and Ctrl-C ends everything that was started."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from lit_sql_trainer import PROFILES
from lit_sql_trainer.cli import main
from lit_sql_trainer.models import Model, find_model, model_source
from lit_sql_trainer.profile import to_plain
from lit_sql_trainer.runs import create_run
from lit_sql_trainer.serving.serve import Endpoint, Engine, ask_line, serve
from spider_data import DatabaseCatalog, read_tasks

BIN = Path(sys.executable).parent
SERVE = [BIN / "lit-sql", "serve"]


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`lit-sql serve` as a process, once it has printed its two lines."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*SERVE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip() for _ in range(2)]
        yield process, lines
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_the_printed_line_works_and_ctrl_c_ends_it(toy_data: Path, tmp_path: Path) -> None:
    """A run is served, its line pasted into a shell gets an answer on the run's own data, and Ctrl-C leaves 130."""
    pytest.importorskip("torch", reason="needs the `cpu` dependency group")
    profile = dataclasses.replace(PROFILES["tiny"], data=toy_data)
    run = create_run(tmp_path, profile="tiny", config=to_plain(profile), name="r1")
    (run.checkpoints / "best").symlink_to(model_source(None))
    with served(str(run.path), "--port=0") as (process, (told, line)):
        assert told.startswith("r1 at http://127.0.0.1:"), told
        words = shlex.split(line)
        assert words[:2] == ["sql-graph", "ask"]
        assert str(toy_data) in line
        asked = subprocess.run(
            [str(BIN / words[0]), *words[1:], "--json"], capture_output=True, text=True, timeout=120, check=False
        )
        assert asked.returncode in (0, 5), asked.stderr  # 5: an answer that does not run is the model's affair
        assert json.loads(asked.stdout)["turns"] >= 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        port = int(words[words.index("--base-url") + 1].split(":")[2].split("/")[0])
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            pass


FAKE_VLLM = """#!{python}
import json, pathlib, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
words = sys.argv[1:]
pathlib.Path({seen!r}).write_text(json.dumps(words))
class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *words): pass
HTTPServer(("127.0.0.1", int(words[words.index("--port") + 1])), Healthy).serve_forever()
"""


@pytest.fixture
def gpu_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with one GPU and vLLM, as far as their programs can tell; the file that holds what vLLM was told."""
    programs, seen = tmp_path / "bin", tmp_path / "seen.json"
    programs.mkdir()
    (programs / "nvidia-smi").write_text("#!/bin/sh\necho 'Some GPU, 81559'\n")
    (programs / "vllm").write_text(FAKE_VLLM.format(python=sys.executable, seen=str(seen)))
    for program in programs.iterdir():
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return seen


def test_vllm_serves_where_it_can(gpu_machine: Path, tmp_path: Path) -> None:
    """With a GPU and vLLM here, vLLM is started with folder, name and port, waited for, and ended with the command."""
    model = Model(folder=tmp_path / "model", name="mine", profile=PROFILES["tiny"])
    ready: list[Endpoint] = []

    def stop(endpoint: Endpoint) -> None:
        ready.append(endpoint)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(model, port=0, on_ready=stop)
    assert ready[0].engine is Engine.VLLM
    words = json.loads(gpu_machine.read_text())
    assert words[:2] == ["serve", str(tmp_path / "model")]
    assert words[words.index("--served-model-name") + 1] == "mine"
    port = int(words[words.index("--port") + 1])
    assert f"--model mine --base-url http://127.0.0.1:{port}/v1" in ready[0].ask
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
    pytest.fail("vLLM still listens")


def test_vllm_that_does_not_start(gpu_machine: Path, tmp_path: Path) -> None:
    """Its exit code is told at once instead of waiting for it."""
    program = tmp_path / "bin" / "vllm"
    program.write_text("#!/bin/sh\nexit 3\n")
    model = Model(folder=tmp_path, name="mine", profile=None)
    with pytest.raises(Exception, match="vLLM did not start"):
        serve(model, port=0, engine=Engine.VLLM, on_ready=lambda endpoint: None)


def test_the_line_carries_the_settings_of_training(toy_data: Path) -> None:
    """Style, check, turns and budgets; words are quoted for a shell."""
    line = ask_line(PROFILES["tiny"], model="m", database="my db.sqlite", question="What's up?")
    words = shlex.split(line)
    options = dict(zip(words[2:-1:2], words[3:-1:2], strict=True))
    settings = PROFILES["tiny"].rollout
    assert options["--db"] == "my db.sqlite"
    assert words[-1] == "What's up?"
    assert (options["--style"], options["--check"]) == (str(settings.style), str(settings.check))
    assert int(options["--prompt-budget"]) == settings.prompt_budget_tokens


def test_the_example_is_a_question_of_the_test_split(toy_data: Path) -> None:
    """On the very database that it is about."""
    from lit_sql_trainer.serving.serve import example

    database, question = example(dataclasses.replace(PROFILES["tiny"], data=toy_data))
    task = read_tasks(toy_data / "test.parquet", 1)[0]
    assert (database, question) == (str(DatabaseCatalog(toy_data).path(task.db_id)), task.question)
    assert example(dataclasses.replace(PROFILES["tiny"], data=toy_data / "gone"))[0] == "my.sqlite"


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    """A taken port, a folder without a model, and shards, which must be exported first."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["serve", model_source(None), "--port", str(port)])
        assert result.exit_code == 2
        assert f"port {port}" in result.output
    result = CliRunner().invoke(main, ["serve", str(tmp_path)])
    assert (result.exit_code, "holds no checkpoint" in result.output) == (2, True)
    (tmp_path / "model_world_size_1_rank_0.pt").write_bytes(b"")
    result = CliRunner().invoke(main, ["serve", str(tmp_path)])
    assert (result.exit_code, "lit-sql export" in result.output) == (2, True)


def test_an_exported_folder_remembers_its_settings(tmp_path: Path) -> None:
    """`lit_sql.json` holds the profile; a folder without it is asked in the plain way."""
    for file in Path(model_source(None)).iterdir():
        (tmp_path / file.name).symlink_to(file)
    assert find_model(tmp_path).profile is None
    plain = {"checkpoint": "x", "profile": to_plain(PROFILES["tiny"])}
    (tmp_path / "lit_sql.json").write_text(json.dumps(plain))
    assert find_model(tmp_path).profile == PROFILES["tiny"]
