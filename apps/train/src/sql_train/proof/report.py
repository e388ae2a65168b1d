"""What a proof run showed: every check with its numbers, times and memory, and one JSON line at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lit_sql_trainer.errors import FailureLimitError, RunError
from lit_sql_trainer.models.checkpoints import last_checkpoint
from lit_sql_trainer.runs.folder import RunFolder, read_lines, write_json
from lit_sql_trainer.verl.plan import update_plan
from sql_train.proof.checks import (
    Check,
    Evidence,
    as_json,
    check_drops,
    check_nodes,
    check_numbers,
    check_validations,
    first_replies,
)
from sql_train.proof.run import (
    GROUPS,
    ROLLOUTS,
    STEPS,
    TASKS,
    Fault,
    ProofSettings,
    open_proof,
    proof_config,
    proof_profile,
    run_proof,
    start_model,
)


def prove(settings: ProofSettings, *, say: Callable[[str], None] = print) -> bool:
    """Do a proof run, check it, tell what was found; whether everything held. The last line is JSON.

    Raises:
        SetupError: the environment of the proof is not installed here.
        TrainerError: the run itself stopped.
    """
    run = open_proof(settings)
    try:
        run_proof(settings, run)
        checks = check_run(run, settings)
    except FailureLimitError as error:
        if settings.fault is not Fault.SERVER:
            raise
        checks = check_stopped(run, settings, error)
    for check in checks:
        say(f"{'holds' if check.holds else 'FAILS'}  {check.name}: {check.detail}")
    report = summary(run, settings, checks)
    write_json(run.path / "proof" / "report.json", report)
    say(f"times: {', '.join(f'{phase} {seconds:g} s' for phase, seconds in report['seconds'].items())}")
    say(json.dumps(report))
    return bool(report["ok"])


def prove_from_command(*, runs: Path, name: str | None, say: Callable[[str], None]) -> bool:
    """`prove`, as `train fast --cpu-proof` calls it through this package's entry point.

    Args:
        runs, name: where the run folder is made, and its name.
        say: takes each line of the report.
    """
    return prove(ProofSettings(runs=runs, name=name), say=say)


def check_run(run: RunFolder, settings: ProofSettings) -> list[Check]:
    """Everything that must hold of a finished proof run.

    Raises:
        RunError: it left no checkpoint.
    """
    evidence = Evidence.of(run)
    plan = update_plan(proof_config(settings), max_calls=proof_profile().rollout.max_turns, refill_factor=2.0)
    if settings.validate_only is not None:
        number = int(settings.validate_only.name.rpartition("_")[2])
        return [check_validations(evidence, steps=(number,), tasks=TASKS[1]), check_ended()]
    lost = dict.fromkeys(range(1, settings.steps + 1), 0)
    lost[1] = {Fault.RUNNER: 2, Fault.GOLD: 1 + ROLLOUTS}.get(settings.fault, 1)
    validated = (0, settings.steps) if settings.resume is None else (0, STEPS, settings.steps)
    checks = [
        *check_numbers(evidence, groups=GROUPS, rollouts=ROLLOUTS, parts=plan.parts, factor=plan.loss_factor),
        check_nodes(evidence),
        check_drops(evidence, expected=lost),
        check_validations(evidence, steps=validated, tasks=TASKS[1]),
    ]
    last = last_checkpoint(run.checkpoints)
    if last is None:
        raise RunError(f"run {run.path} left no whole checkpoint: see {run.library_log} and the logs under /tmp/ray")
    step = last.step
    checks.append(
        Check(name="checkpoint", holds=step == settings.steps, detail=f"global_step_{step} of {settings.steps}")
    )
    checks += _weights(run, evidence, step)
    if not settings.adapter_rank:  # whose gradient is the adapter's alone
        checks.append(_gradient(run, evidence))
    checks.append(check_ended())
    return checks


def check_stopped(run: RunFolder, settings: ProofSettings, error: FailureLimitError) -> list[Check]:
    """What must hold after the server was killed in the second step."""
    evidence = Evidence.of(run)
    failed = [record for record in evidence.rollouts if record["failed"]]
    last = last_checkpoint(run.checkpoints)
    step = None if last is None else last.step
    return [
        Check(name="the run stops and says why", holds="not the policy's" in str(error), detail=str(error)),
        check_drops(evidence, expected={1: 1}),
        Check(
            name="no reward was invented",
            holds=len(failed) > 1 and all(record["reward"] is None for record in failed),
            detail=f"{len(failed)} rollouts failed, none has a reward; steps done: {len(evidence.steps())}",
        ),
        Check(name="the finished step is saved", holds=step == 1, detail=f"last whole checkpoint: {step}"),
    ]


def summary(run: RunFolder, settings: ProofSettings, checks: list[Check]) -> dict[str, Any]:
    """The report as plain values."""
    folder = run.path / "proof"
    evidence = Evidence.of(run)
    times: dict[str, float] = {}
    for line in read_lines(folder / "times.jsonl"):
        times[line["phase"]] = times.get(line["phase"], 0.0) + line["seconds"]
    memory = [line["used_gb"] for line in read_lines(folder / "memory.jsonl")]
    wall = sum(line["seconds"] for line in read_lines(folder / "wall.jsonl"))
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
        "memory_gb": max(memory, default=None),
        "run": str(run.path),
        "checks": as_json(checks),
    }


def check_ended() -> Check:
    """Whether no process that this one started is left, of Ray or of anything else."""
    import psutil

    left = [process for process in psutil.Process().children(recursive=True) if process.is_running()]
    _, alive = psutil.wait_procs(left, timeout=20)
    names = sorted({" ".join(process.cmdline()[:2]) for process in alive if process.is_running()})
    names = [name for name in names if "resource_tracker" not in name]  # Python's own, ends with this process
    return Check(name="everything ended", holds=not names, detail=", ".join(names) or "no process is left")


def _gradient(run: RunFolder, evidence: Evidence) -> Check:
    from sql_train.proof.weights import check_gradient

    rows = [row for row in evidence.rows if (row["step"], row["part"]) == (1, 0)]
    return check_gradient(start_model(run), rows, measured=evidence.gradients[0]["grad_norm"])


def _weights(run: RunFolder, evidence: Evidence, step: int) -> list[Check]:
    from sql_train.proof.weights import check_weights

    start = start_model(run)
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
