"""Train a model folder on this machine in bounded time, and measure it before and after on the same questions.

Three commands of the package in a row: `lit-sql eval`, `train tiny --model`, `lit-sql eval` of the last checkpoint;
then the paired comparison. The time limit holds for all of it: SIGTERM stops training after its step, with a
checkpoint, when the second evaluation would no longer fit. Every stage and every step of training is written to a file
of JSON lines as soon as it is known, so a run that is cut off still leaves what it measured. The last line printed is
JSON.

    python experiments/train_model.py MODEL --data DATA --work FOLDER --out LINES.jsonl --seconds 600 \
        [--device cuda] [--split dev] [--questions 400] [--set KEY=VALUE …] [--eval-set KEY=VALUE …]

The checkpoints stay in FOLDER (12 bytes a parameter and model folder). Choose databases for `--split` that the training
split does not have. Where `nvidia-smi` is found, it tells how much of the GPU's memory was in use.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMANDS = "import sys; from lit_sql_trainer.commands import entry; entry.{}()"
MARGIN_S = 15.0
"""Kept free at the end, for what the estimates miss."""
CHECKPOINT_S = 25.0
"""Allowed for the step under way and the checkpoint when training is stopped."""
LATER = 1.2
"""The second evaluation may take so many times as long as the first."""


@dataclass(slots=True, kw_only=True)
class Lines:
    """The file of results; every line is on disk when it was written."""

    path: Path
    started: float = field(default_factory=time.monotonic)

    def write(self, event: str, **facts: Any) -> None:
        """Append one line and show it."""
        line = json.dumps({"event": event, "at": round(time.monotonic() - self.started, 1), **facts})
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """One of the package's commands, by the name of its entry point, in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", COMMANDS.format(name), *arguments], stdout=sys.stderr)


def finish(process: subprocess.Popen[bytes], until: float, *, grace_s: float) -> int:
    """Wait; at `until` ask the process to stop, and end it `grace_s` later. Its exit code."""
    try:
        return process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()  # SIGTERM: SIGINT is ignored where this program was started in the background
    try:
        return process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def settings(assignments: Sequence[str]) -> list[str]:
    """The `--set` options of these assignments."""
    return [part for each in assignments for part in ("--set", each)]


def measure(target: Sequence[str], out: Path, options: argparse.Namespace, until: float) -> dict[str, Any] | None:
    """The summary of one evaluation with the seconds that it took; None when it did not end in time."""
    began = time.monotonic()
    asked = ["--data", str(options.data), "--split", options.split, "--limit", str(options.questions)]
    changes = settings([*options.set, *options.eval_set, f"grpo.device={options.device}"])
    workers = ["--workers", str(options.workers), "--out", str(out)]
    finish(start("lit_sql", "eval", *target, *asked, *workers, *changes), until, grace_s=5.0)
    if not (out / "summary.json").is_file():
        return None
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return {"seconds": round(time.monotonic() - began, 1), **summary}


def train(options: argparse.Namespace, lines: Lines, until: float) -> Path:
    """Train until the last step or until the time is up; each step becomes a line at once. The run's folder."""
    run = options.work / "run"
    bounds = [f"grpo.steps={options.steps}", "grpo.validate_every=0", f"grpo.checkpoint_every={options.steps}"]
    changes = settings([*bounds, "validation_tasks=1", *options.set, f"grpo.device={options.device}"])
    named = ["--model", str(options.model), "--data", str(options.data), "--runs", str(options.work), "--name", "run"]
    process = start("train", "tiny", *named, "--n-runners", str(options.runners), *changes)
    read = 0
    while process.poll() is None and time.monotonic() < until:
        read = pass_on(run / "metrics.jsonl", read, lines)
        time.sleep(0.5)
    code = finish(process, until, grace_s=2 * CHECKPOINT_S)
    pass_on(run / "metrics.jsonl", read, lines)
    lines.write("trained", exit_code=code)
    return run


def pass_on(metrics: Path, read: int, lines: Lines) -> int:
    """Copy the whole lines of a run's metrics beyond position `read`; the new position."""
    if not metrics.is_file():
        return read
    with metrics.open("rb") as file:
        file.seek(read)
        new = file.read()
    whole = new[: new.rfind(b"\n") + 1]
    for line in whole.splitlines():
        lines.write("metrics", line=json.loads(line))
    return read + len(whole)


@contextlib.contextmanager
def watching_gpu(log: Path) -> Iterator[None]:
    """Have `nvidia-smi`, where there is one, note memory in use (MiB) and load (%) every second."""
    program = shutil.which("nvidia-smi")
    if program is None:
        yield
        return
    query = ["--query-gpu=memory.used,utilization.gpu", "--format=csv,noheader,nounits", "--loop=1"]
    with log.open("wb") as file:
        process = subprocess.Popen([program, *query], stdout=file, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def gpu_figures(log: Path) -> dict[str, float] | None:
    """Peak memory and mean load from `watching_gpu`; None without a GPU."""
    if not log.is_file():
        return None
    rows = [line.split(",") for line in log.read_text(encoding="ascii").splitlines() if line.count(",") == 1]
    if not rows:
        return None
    memory, load = zip(*((float(used), float(busy)) for used, busy in rows), strict=True)
    return {"peak_memory_mib": max(memory), "mean_load_percent": round(statistics.fmean(load), 1)}


def step_figures(metrics: Path) -> dict[str, Any]:
    """Medians over the steps of a run, and the curve of the reward in tenths of the run."""
    if not metrics.is_file():
        return {"steps": 0}
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    steps = [row for row in rows if row.get("event") == "step"]
    if not steps:
        return {"steps": 0}
    names = ("seconds", "seconds_rollout", "server_busy_s", "seconds_adapt", "seconds_update", "tokens_per_s")
    names += ("batches", "response_tokens", "zero_variance_share", "logprob_gap", "entropy", "grad_norm")
    found: dict[str, Any] = {"steps": len(steps), "rollouts": sum(row["rollouts"] for row in steps)}
    for name in names:
        values = [row[name] for row in steps if row.get(name) is not None]
        found[name] = round(statistics.median(values), 4) if values else None
    size = -(-len(steps) // 10)
    parts = [steps[at : at + size] for at in range(0, len(steps), size)]
    found["reward_curve"] = [round(statistics.fmean(row["reward"] or 0.0 for row in part), 3) for part in parts]
    found["dropped"] = steps[-1]["dropped_total"]
    return found


def compared(before: Path, after: Path) -> dict[str, Any]:
    """The paired difference of two evaluations, by `lit-sql compare`."""
    call = [sys.executable, "-c", COMMANDS.format("lit_sql"), "compare", str(before), str(after), "--json"]
    found = json.loads(subprocess.run(call, check=True, capture_output=True).stdout.splitlines()[-1])
    return {key: found[key] for key in ("suite", "single", "left_out", "differs")}


def headline(summary: dict[str, Any]) -> dict[str, Any]:
    """What one looks at first in a summary."""
    lines = {line["name"]: line["suite"] for line in summary["lines"]}
    return {"seconds": summary["seconds"], "failed": summary["failed"], "outcomes": summary["outcomes"], **lines}


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--workers", type=int, default=128)
    parser.add_argument("--runners", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--eval-set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> int:
    """Measure, train, measure, compare."""
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    lines = Lines(path=options.out)
    end = lines.started + options.seconds - MARGIN_S
    figures: dict[str, Any] = {"experiment": "train_model", "model": options.model.name, "device": options.device}
    log = options.work / "gpu.csv"
    with watching_gpu(log):
        model = ["--model", str(options.model), "--profile", "tiny"]
        before = measure(model, options.work / "before", options, end)
        if before is None:
            lines.write("result", **figures, trouble="no time to measure the model")
            return 1
        figures["before"] = headline(before)
        lines.write("before", **figures["before"])
        run = train(options, lines, end - LATER * before["seconds"] - CHECKPOINT_S)
        figures["training"] = step_figures(run / "metrics.jsonl")
        lines.write("training", **figures["training"])
        target = ["--run", str(run), "--checkpoint", "last"]
        after = measure(target, options.work / "after", options, end)
    figures["gpu"] = gpu_figures(log)
    if after is not None:
        figures["after"] = headline(after)
        figures["difference"] = compared(options.work / "before", options.work / "after")
    lines.write("result", **figures)
    return 0 if after is not None else 1


if __name__ == "__main__":
    sys.exit(main())
