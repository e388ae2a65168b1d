"""What a run leaves behind, in one folder, readable while it is written and after it was killed.

    runs/<profile>-<time>-<commit>/
        config.json        every setting, as resolved
        environment.json   versions, machine, GPU, commit, command line
        metrics.jsonl      one line a step, a validation, an alarm, an end; see docs/report.md
        rollouts.jsonl     one line a rollout, written by the runner processes; no gold
        checkpoints/       best on validation and last
        report.html        what a person reads, with curves and examples
        library.log        warnings and tracebacks of the library and its parts

Whole files are replaced in one move; lines are appended in one write, so a reader never sees half of either.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lit_sql_trainer.errors import RunError

Record = Mapping[str, Any]

_PACKAGES = (
    "lit-sql-trainer", "spider-data", "sql-graph", "sql-reward", "agentlightning", "agentops", "litellm", "openai",
    "opentelemetry-sdk", "langgraph", "langchain-core", "langchain-openai", "torch", "transformers", "verl", "vllm",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The paths of one run, and the only code that writes them."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def rollouts_file(self) -> Path:
        return self.path / "rollouts.jsonl"

    @property
    def environment_file(self) -> Path:
        return self.path / "environment.json"

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def library_log(self) -> Path:
        return self.path / "library.log"

    def config(self) -> dict[str, Any]:
        """The resolved settings that this run was started with.

        Raises:
            RunError: the file is missing or damaged.
        """
        try:
            return cast("dict[str, Any]", json.loads(self.config_file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.config_file} cannot be read ({error}): is {self.name!r} a run folder?") from error

    def metrics(self) -> list[dict[str, Any]]:
        """All metric lines so far; a last line that is still being written is left out."""
        return list(read_lines(self.metrics_file))

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps after `step`: a resumed run does them again, and a line per step stays true."""

        def done(record: Record) -> bool:
            return int(record.get("step", 0)) <= step

        for file in (self.metrics_file, self.rollouts_file):
            keep_lines(file, done)


def create_run(root: Path, *, profile: str, config: Record, name: str | None = None) -> RunFolder:
    """Make a new run folder with its configuration and environment written.

    The name is `<profile>-<UTC time>-<commit>` unless given; a number is added when that name is taken.

    Raises:
        RunError: the folder cannot be made, or a given `name` is taken.
    """
    commit = git_commit()
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    wanted = name or "-".join(part for part in (profile, stamp, commit) if part)
    try:
        path = _new_folder(root, wanted, exact=name is not None)
    except OSError as error:
        raise RunError(
            f"cannot make run folder {root / wanted}: {error.strerror}; choose another with --runs"
        ) from error
    run = RunFolder(path=path)
    run.checkpoints.mkdir()
    write_json(run.config_file, config)
    write_json(run.environment_file, environment(commit))
    return run


def open_run(run: Path | str, *, root: Path) -> RunFolder:
    """An existing run folder, given by its path or by its name under `root`.

    Raises:
        RunError: there is none, with the names of those that exist.
    """
    for path in (Path(run), root / run):
        if (path / "config.json").is_file():
            return RunFolder(path=path)
    known = sorted(file.parent.name for file in root.glob("*/config.json"))
    seen = f"runs there: {', '.join(known[-5:])}" if known else "there are no runs there"
    raise RunError(f"no run {str(run)!r} (looked for a config.json in it, and under {root}); {seen}")


def environment(commit: str = "") -> dict[str, Any]:
    """Versions, machine, GPU and command line: what one needs to read a result of this machine."""
    versions: dict[str, str] = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader").splitlines(),
        "versions": versions,
    }


def git_commit() -> str:
    """Short commit of the source that is running, with `-dirty` when tracked files differ; empty outside git.

    `uv.lock` does not count: uv completes it on every machine.
    """
    here = str(Path(__file__).parent)
    commit = _output("git", "-C", here, "rev-parse", "--short", "HEAD").strip()
    if not commit:
        return ""
    return (
        f"{commit}-dirty"
        if _output("git", "-C", here, "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)uv.lock").strip()
        else commit
    )


def append_line(path: Path, record: Record) -> None:
    """Append one JSON line so that several processes may do it at once.

    One `write` to a file opened for appending is placed at the end as a whole by the kernel, on local file systems.
    """
    line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str).encode() + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        written = os.write(handle, line)
    finally:
        os.close(handle)
    if written != len(line):
        raise RunError(f"only {written} of {len(line)} bytes fitted into {path}: is the disk full?")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSON-lines file; an unfinished last line is left out, a missing file is empty."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def keep_lines(path: Path, keep: Callable[[Record], bool]) -> None:
    """Rewrite a JSON-lines file with only the records that `keep` accepts, in one move."""
    if path.exists():
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in read_lines(path) if keep(record))
        replace_text(path, text)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in one move: a reader sees the old text or the new, never half."""
    replace_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file in one move: a reader sees the old text or the new, never half."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _new_folder(root: Path, name: str, *, exact: bool) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            if exact:
                raise
        else:
            return path
    raise FileExistsError(17, "a thousand runs of that name exist")


def _output(*command: str) -> str:
    """What a command prints; empty when it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
