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
import fcntl
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.machine.devices import output_of
from lit_sql_trainer.machine.lock import locked
from lit_sql_trainer.rollouts.metrics import MetricLine

Record = Mapping[str, Any]
"""A JSON object as a file holds it."""
LIBRARY_LOG = "library.log"
PLANNED_STEPS = "planned_steps"
"""Key of `environment.json`."""

_PACKAGES = (
    "lit-sql-trainer", "spider-data", "sql-graph", "sql-reward", "agentlightning", "agentops", "litellm", "openai",
    "opentelemetry-sdk", "langgraph", "langchain-core", "langchain-openai", "torch", "transformers", "verl", "vllm",
)  # fmt: skip


class Folder(Protocol):
    """Whatever stands for a folder."""

    @property
    def path(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class FileIn:
    """The path of a file, or of a folder, in the folder whose attribute this is."""

    name: str

    def __get__(self, folder: Folder, kind: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The paths of one run, and the only code that writes them."""

    path: Path
    config_file = FileIn("config.json")
    metrics_file = FileIn("metrics.jsonl")
    rollouts_file = FileIn("rollouts.jsonl")
    environment_file = FileIn("environment.json")
    report_file = FileIn("report.html")
    library_log = FileIn(LIBRARY_LOG)
    checkpoints = FileIn("checkpoints")

    @property
    def name(self) -> str:
        return self.path.name

    def config(self) -> dict[str, Any]:
        """The resolved settings that this run was started with.

        Raises:
            RunError: the file is missing or damaged.
        """
        try:
            return cast("dict[str, object]", json.loads(self.config_file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.config_file} cannot be read ({error}): is {self.name!r} a run folder?") from error

    def metrics(self, *, strict: bool = False) -> list[MetricLine]:
        """All metric lines so far; a last line that is still being written is left out.

        Raises:
            ValueError: `strict`, and a line before the last is damaged.
        """
        return cast("list[MetricLine]", list(read_lines(self.metrics_file, strict=strict)))

    def plan_steps(self, steps: int) -> None:
        """Keep how many steps the run will have, where its settings alone do not say so."""
        known: dict[str, object] = {}
        with contextlib.suppress(OSError, ValueError):  # a run that was made elsewhere may have none
            known = json.loads(self.environment_file.read_text(encoding="utf-8"))
        write_json(self.environment_file, {**known, PLANNED_STEPS: steps})

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Nobody else trains in this folder for as long as the block lasts.

        Raises:
            RunError: somebody else does.
        """
        with locked(self.path, doing="training in", advice="wait until it has ended, or start a run of its own"):
            yield

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps after `step`: a resumed run does them again, and a line per step stays true."""

        def done(record: Record) -> bool:
            return int(cast("int", record.get("step", 0))) <= step

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


def environment(commit: str = "") -> dict[str, object]:
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
        "gpus": output_of("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader").splitlines(),
        "versions": versions,
    }


def git_commit() -> str:
    """Short commit of the source that is running, with `-dirty` when tracked files differ; empty outside git.

    `uv.lock` does not count: uv completes it on every machine.
    """
    here = str(Path(__file__).parent)
    commit = output_of("git", "-C", here, "rev-parse", "--short", "HEAD").strip()
    if not commit:
        return ""
    return (
        f"{commit}-dirty"
        if output_of("git", "-C", here, "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)uv.lock").strip()
        else commit
    )


def append_line(path: Path, record: Record) -> None:
    """Append one JSON line so that several processes may do it at once: the file holds whole lines only.

    Half a line that a kill left at the end is cut off first; what does not fit on the disk is taken back.

    Raises:
        OSError: it cannot be written; names the file.
    """
    line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str).encode(errors="replace") + b"\n"
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            end = _mend(handle)
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(handle, rest) :]
            except OSError:
                os.ftruncate(handle, end)
                raise
        finally:
            os.close(handle)  # and with it the lock ends
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _mend(handle: int) -> int:
    """Cut off what stands behind the last whole line; where the file ends then."""
    end = size = os.fstat(handle).st_size
    while end and os.pread(handle, 1, end - 1) != b"\n":
        start = max(0, end - 4096)
        end = start + os.pread(handle, end - start, start).rfind(b"\n") + 1
    if end != size:
        os.ftruncate(handle, end)
    return end


def read_lines(path: Path, *, strict: bool = False) -> Iterator[dict[str, Any]]:
    """The records of a JSON-lines file; a torn line is left out, a missing file is empty.

    Raises:
        ValueError: `strict`, and a line before the last is damaged.
    """
    if not path.exists():
        return
    damaged = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if damaged and strict:
                raise ValueError(f"line {damaged} of {path.name} is no JSON object")
            record = parse_line(line) if line.endswith(b"\n") else None
            if record is None:
                damaged = damaged or number
            else:
                yield record


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where a kill, a full disk or a crash of the machine left half a one."""
    try:
        record: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", record) if isinstance(record, dict) else None


def keep_lines(path: Path, keep: Callable[[Record], bool]) -> None:
    """Rewrite a JSON-lines file with only the records that `keep` accepts, in one move."""
    if path.exists():
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in read_lines(path) if keep(record))
        replace_text(path, text)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in one move: a reader sees the old text or the new, never half."""
    replace_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file in one move: a reader sees the old text or the new, never half.

    Raises:
        OSError: it cannot be written; names the file.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


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
