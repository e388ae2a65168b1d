"""The page about one's own database holds: its commands, read from the page, run one after the other."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "your-own-database.md"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent
SHORTER = {
    "train": ["--set=grpo.steps=3", "--set=tasks_per_step=8", "--set=rollouts_per_task=4"],
    "tiny-model": ["--steps=300"],
}
"""All that the test changes of the commands: how long they train. A later option counts."""


def commands() -> tuple[str, list[list[str]]]:
    """The page's Python, and its command lines in order."""
    if not PAGE.is_file():
        pytest.skip("the documentation is not beside this package: run the tests in the repository")
    blocks = BLOCK.findall(PAGE.read_text())
    (python,) = [text for kind, text in blocks if kind == "python"]
    return python, [shlex.split(line) for kind, text in blocks if kind == "sh" for line in text.splitlines()]


def run(words: list[str], folder: Path, *, code: int = 0) -> str:
    """What one command prints; it must end with `code`."""
    words = [*words, *(each for name in words[:2] for each in SHORTER.get(name, []))]
    done = subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == code, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    """Ours without anybody's endpoint, one thread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_page_from_its_first_block_to_its_last(tmp_path: Path) -> None:
    """Import, suite, a start, check, train, eval, export, serve, ask: each command does what the page says it does."""
    pytest.importorskip("torch", reason="needs the `cpu` dependency group")
    python, lines = commands()
    assert [tuple(words[:2]) for words in lines] == [
        ("spider-data", "import"),
        ("spider-data", "suite"),
        ("lit-sql", "tiny-model"),
        ("lit-sql", "check"),
        ("train", "tiny"),
        ("lit-sql", "eval"),
        ("lit-sql", "export"),
        ("lit-sql", "serve"),
        ("sql-graph", "ask"),
    ]
    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, check=True, timeout=60)
    imported, suite, start, check, train, evaluate, export, serve, ask = lines
    assert "vineyard is ready" in run(imported, tmp_path)
    run(suite, tmp_path)
    assert len(list((tmp_path / "vineyard/database/vineyard").glob("*.sqlite"))) == 5
    run(start, tmp_path)
    told = run(check, tmp_path)
    assert "fail " not in told
    assert "next: train tiny" in told
    run(train, tmp_path)
    folder = tmp_path / "runs" / "vineyard-run"
    assert (folder / "checkpoints" / "best" / "model.safetensors").is_file()
    assert json.loads((folder / "config.json").read_text())["data"] == str(tmp_path / "vineyard")
    run(evaluate, tmp_path)
    run(export if differs(folder) else [*export, "--checkpoint=last"], tmp_path)
    proof = json.loads((tmp_path / "vineyard-model" / "proof.json").read_text())
    assert proof["changed_tensors"] > 0
    assert "% (" in (tmp_path / "vineyard-model" / "README.md").read_text()
    answer_by(serve, ask, tmp_path)


def differs(run_folder: Path) -> bool:
    """Whether the best checkpoint is a trained one: after two steps it may be the first."""
    return json.loads((run_folder / "checkpoints/best/state.json").read_text())["step"] > 0


def answer_by(serve: list[str], ask: list[str], folder: Path) -> None:
    """Serve, give the line that is printed with the page's question, and end it."""
    server = subprocess.Popen(
        [str(BIN / serve[0]), *serve[1:], "--port=0"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        server.stdout.readline()
        printed = shlex.split(server.stdout.readline())
        for option in ("--style", "--check", "--model"):
            assert printed[printed.index(option) + 1] == ask[ask.index(option) + 1]
        printed[printed.index("--db") + 1] = ask[ask.index("--db") + 1]
        done = subprocess.run(
            [str(BIN / printed[0]), *printed[1:-1], ask[-1], "--json"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode in (0, 5), done.stderr  # 5: the tiny model's query does not run
        assert json.loads(done.stdout)["turns"] >= 1
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 130
    finally:
        server.kill()
        server.wait()
