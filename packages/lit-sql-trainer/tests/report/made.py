"""Run folders made by a formula: as long as a test likes, with a course as training has it and hostile texts."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from lit_sql_trainer.runs import RunFolder
from lit_sql_trainer.runs.tally import tally

HOSTILE = "<script>alert('x')</script> & \"quotes\" </td>"
QUERY = "SELECT name FROM singer WHERE age > {n} AND country = 'A & <b>' ORDER BY age"


def make_run(
    folder: Path,
    *,
    steps: int = 60,
    every: int = 10,
    tasks: int = 60,
    group: int = 64,
    seed: int = 0,
    gain: float = 0.25,
    drops: bool = True,
) -> RunFolder:
    """A run whose reward rises by about `gain`, with validations `every` so many steps and no end recorded."""
    run = RunFolder(path=folder)
    run.checkpoints.mkdir(parents=True)
    config = {"name": "tiny", "model": None, "data": f"/data/{HOSTILE}", "grpo": {"steps": steps, "seed": seed}}
    run.config_file.write_text(json.dumps(config))
    surroundings = {"started": "2026-01-01T12:00:00+00:00", "python": "3.11", "versions": {"torch": "2.8.0"}}
    run.environment_file.write_text(json.dumps(surroundings))
    rng = random.Random(seed)
    hardness = [rng.random() for _ in range(tasks)]  # the same tasks every time: most of a validation's noise is shared
    with run.metrics_file.open("w") as metrics, run.rollouts_file.open("w") as rollouts:
        for step in range(steps + 1):
            at = step / steps
            skill = 0.5 + gain * (1 - math.exp(-3 * at)) / 0.95
            if step:
                records = [_record(rng, skill, "train", step, n) for n in range(group)]
                rollouts.writelines(json.dumps(record) + "\n" for record in records)
                line = _step(rng, at, step, records, dropped=drops and step % 7 == 0)
                metrics.write(json.dumps({"event": "step", **line, **tally(records)}) + "\n")
            if step % every == 0:
                solved = [skill + rng.gauss(0, 0.05) > hard for hard in hardness]
                records = [_record(rng, float(right), "val", step, n) for n, right in enumerate(solved)]
                rollouts.writelines(json.dumps(record) + "\n" for record in records)
                reward = sum(record["reward"] for record in records) / tasks
                line = {
                    "step": step, "reward": reward, "standard_error": math.sqrt(reward * (1 - reward) / tasks),
                    "rollouts": tasks, "dropped": 0, "best": False, "seconds": 6.0,
                }  # fmt: skip
                metrics.write(json.dumps({"event": "validation", **line, **tally(records)}) + "\n")
    return run


def _step(rng: random.Random, at: float, step: int, records: list[dict[str, Any]], *, dropped: bool) -> dict[str, Any]:
    rewards = [record["reward"] for record in records]
    mean = sum(rewards) / len(rewards)
    return {
        "step": step, "reward": mean, "reward_std": math.sqrt(mean * (1 - mean)), "rollouts": len(records),
        "dropped": int(dropped), "drop_reasons": {f"endpoint answered 500 {HOSTILE}": 1} if dropped else {},
        "groups": len(records) // 8, "refilled_groups": 0,
        "zero_variance_share": 0.4 + 0.3 * at + rng.uniform(-0.1, 0.1),
        "turns": 1.2, "response_tokens": 25 + 5 * at + rng.gauss(0, 1), "response_tokens_max": 60 + rng.randrange(20),
        "loss": rng.gauss(0, 0.02), "grad_norm": 0.2 + rng.uniform(0, 0.1), "clip_fraction": 0.0, "kl_start": 0.0,
        "entropy": 0.35 - 0.2 * at + rng.gauss(0, 0.02), "trained_tokens": 2000, "tokens_per_s": 800 + rng.gauss(0, 40),
        "seconds_rollout": 5.5 + rng.random(), "seconds_adapt": 0.3, "seconds_update": 3 + rng.random(),
        "seconds": 10 + rng.random(),
    }  # fmt: skip


def _record(rng: random.Random, skill: float, mode: str, step: int, number: int) -> dict[str, Any]:
    right = rng.random() < skill
    outcome = "match" if right else rng.choice(["mismatch"] * 5 + ["sql_error"] * 2 + ["no_sql", "timeout"])
    rewritten = rng.random() < 0.25
    written: list[str | None] = [QUERY.format(n=number)] * (1 + rewritten)
    path: list[dict[str, Any]] = [{"node": "write_query", "status": "rows", "rows": 3, "seconds": 0.01}]
    if rewritten:
        path[0] |= {"status": "error", "error": f"no such column: {HOSTILE}", "feedback": "It failed."}
        path.append({"node": "rewrite_query", "status": "empty", "rows": 0, "seconds": 0.02})
    if outcome == "no_sql":
        written, path = [None], [{"node": "write_query", "status": "", "rows": 0, "seconds": 0.0}]
    return {
        "task_id": f"{mode}-{number:04d}", "db_id": "concert_singer", "mode": mode, "step": step, "sample": 0,
        "rollout_id": f"ro-{rng.getrandbits(48):012x}", "question": f"Which singer is number {number}? {HOSTILE}",
        "turns": 0 if outcome == "no_sql" else len(written), "sql": written, "path": path,
        "stop": "no_sql" if outcome == "no_sql" else "approved", "outcome": outcome,
        "detail": "near \"FROM\": syntax error" if outcome == "sql_error" else "", "databases_passed": 3 * right,
        "databases_total": 3, "empty_match": right and number % 17 == 0, "reward": float(right), "seconds": 0.4,
        "failed": "",
    }  # fmt: skip
