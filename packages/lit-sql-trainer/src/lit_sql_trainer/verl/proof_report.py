"""What a proof run showed: every check with its numbers, times and memory, and one JSON line at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lit_sql_trainer import inputs
from lit_sql_trainer.errors import RunError
from lit_sql_trainer.runs import RunFolder, read_lines, write_json
from lit_sql_trainer.verl.plan import update_plan
from lit_sql_trainer.verl.proof import (
    GROUPS,
    ROLLOUTS,
    TASKS,
    Fault,
    ProofSettings,
    proof_config,
    proof_profile,
    run_proof,
)
from lit_sql_trainer.verl.proof_checks import (
    Check,
    Evidence,
    as_json,
    check_drops,
    check_nodes,
    check_numbers,
    check_validations,
    first_replies,
)
from lit_sql_trainer.verl.state import latest_step


def prove(settings: ProofSettings, *, say: Callable[[str], None] = print) -> bool:
    """Do a proof run, check it, tell what was found; whether everything held. The last line is JSON.

    Raises:
        SetupError: the environment of the proof is not installed here.
        TrainerError: the run itself stopped.
    """
    run = run_proof(settings)
    checks = check_run(run, settings)
    for check in checks:
        say(f"{'holds' if check.holds else 'FAILS'}  {check.name}: {check.detail}")
    report = summary(run, settings, checks)
    write_json(run.path / "proof" / "report.json", report)
    say(f"times: {', '.join(f'{phase} {seconds:g} s' for phase, seconds in report['seconds'].items())}")
    say(json.dumps(report))
    return bool(report["ok"])


def check_run(run: RunFolder, settings: ProofSettings) -> list[Check]:
    """Everything that must hold of a finished proof run.

    Raises:
        RunError: it left no checkpoint.
    """
    evidence = Evidence.of(run)
    plan = update_plan(proof_config(settings), max_calls=proof_profile(settings).rollout.max_turns, refill_factor=2.0)
    lost = dict.fromkeys(range(1, settings.steps + 1), 0)
    lost[1] = {Fault.RUNNER: 2, Fault.GOLD: 1 + ROLLOUTS}.get(settings.fault, 1)
    checks = [
        *check_numbers(evidence, groups=GROUPS, rollouts=ROLLOUTS, parts=plan.parts, factor=plan.loss_factor),
        check_nodes(evidence),
        check_drops(evidence, expected=lost),
        check_validations(evidence, steps=(0, settings.steps), tasks=TASKS[1]),
    ]
    step = latest_step(run.checkpoints)
    if step is None:
        raise RunError(f"run {run.path} left no whole checkpoint: see {run.library_log} and the logs under /tmp/ray")
    checks.append(
        Check(name="checkpoint", holds=step == settings.steps, detail=f"global_step_{step} of {settings.steps}")
    )
    checks += _weights(run, evidence, step)
    return checks


def summary(run: RunFolder, settings: ProofSettings, checks: list[Check]) -> dict[str, Any]:
    """The report as plain values."""
    folder = run.path / "proof"
    evidence = Evidence.of(run)
    times: dict[str, float] = {}
    for line in read_lines(folder / "times.jsonl"):
        times[line["phase"]] = times.get(line["phase"], 0.0) + line["seconds"]
    memory = [line["used_gb"] for line in read_lines(folder / "memory.jsonl")]
    wall = json.loads((folder / "wall.json").read_text(encoding="utf-8"))["seconds"]
    return {
        "proof": "verl-cpu",
        "ok": all(check.holds for check in checks),
        "seed": settings.seed,
        "fault": settings.fault.value,
        "validation": [line["reward"] for line in evidence.validations()],
        "rollouts": [line["rollouts"] for line in evidence.steps()],
        "dropped": [line["dropped"] for line in evidence.steps()],
        "rows": [line["rows"] for line in evidence.steps()],
        "seconds_wall": wall,
        "seconds": times,
        "memory_used_gb": max(memory, default=None),
        "memory_start_gb": memory[0] if memory else None,
        "run": str(run.path),
        "checks": as_json(checks),
    }


def _weights(run: RunFolder, evidence: Evidence, step: int) -> list[Check]:
    from lit_sql_trainer.verl.proof_weights import check_weights

    start = Path(inputs.model_source(None))
    eos = json.loads((start / "config.json").read_text(encoding="utf-8"))["eos_token_id"]
    return list(
        check_weights(
            start,
            run.checkpoints / f"global_step_{step}",
            before=first_replies(evidence, step=0),
            after=first_replies(evidence, step=step),
            eos=eos,
        )
    )
