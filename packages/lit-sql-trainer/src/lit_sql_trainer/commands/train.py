"""`train PROFILE`: trains a model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import click

from lit_sql_trainer.commands.failures import exit_code, exit_on_error
from lit_sql_trainer.commands.options import PATH
from lit_sql_trainer.errors import ConfigError, SetupError

PROOF_INSTALL = "uv sync --exact --package lit-sql-trainer --no-group app --group proof"
"""Installs sql-train, which holds the proof. sql-train declares it as an entry point, so nothing here imports it."""


@click.command("train", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("profile")
@click.option("--model", help="Folder or Hugging Face id of an instruct model; by default the profile's own.")
@click.option("--data", type=PATH, help="Data folder; by default the profile's own.")
@click.option("--dev", is_flag=True, help="Dry run: a few tasks through the whole pipeline, without training.")
@click.option("--cpu-proof", is_flag=True, help="With `fast`: run VERL's whole loop without a GPU and check it.")
@click.option("--active-agent", metavar="REGEX", help="Graph nodes to train; by default those that write SQL.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
@click.option("--stop-on-alarm", is_flag=True, help="End the run, with its checkpoint, at a monitor's first alarm.")
@click.option("--resume", metavar="RUN", help="Resume a run, given by its folder or name.")
@click.option("--n-runners", type=int, help="Number of processes that run rollouts.")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Folder of the run folders.")
@click.option("--name", help="Name of the run folder; by default profile, time and commit.")
@click.option("--port", type=int, help="Port of the rollout store; by default a free one.")
@click.option("--no-check", is_flag=True, help="Train even when memory or disk look too small.")
def train_main(
    profile: str,
    model: str | None,
    data: Path | None,
    dev: bool,
    cpu_proof: bool,
    active_agent: str | None,
    settings: Sequence[str],
    stop_on_alarm: bool,
    resume: str | None,
    n_runners: int | None,
    runs: Path,
    name: str | None,
    port: int | None,
    no_check: bool,
) -> None:
    """Train a model to write SQL as an agent.

    Example: train tiny

    `lit-sql settings PROFILE` lists what --set can change. Ctrl-C finishes the step and writes a checkpoint.
    """
    from lit_sql_trainer.profile.named import profile_named
    from lit_sql_trainer.training import train
    from lit_sql_trainer.verl.back_end import validating

    with exit_on_error():
        if cpu_proof:
            others = (model, data, dev, active_agent, settings, resume, n_runners, port)
            sys.exit(0 if _prove(profile, runs=runs, name=name, alone=not any(others)) else 1)
        chosen = train.configure(
            profile_named(profile),
            [*settings, *(["monitors.stop_on_alarm=true"] if stop_on_alarm else [])],
            model=model,
            data=data,
            active_agent=active_agent,
            runners=n_runners,
        )
        if dev:
            from lit_sql_trainer.dryrun.run import dry_run
            from lit_sql_trainer.runs.wrapped import echo

            sys.exit(0 if dry_run(chosen, port=port, echo=echo).passed else 1)
        val_only = resume is not None and chosen.verl is not None and chosen == validating(profile_named(profile))
        if resume is not None and not val_only and (name or chosen != profile_named(profile)):
            raise ConfigError(
                "--resume uses the run's own settings: leave out --set, --model, --data and the like "
                "(only val_only=true, with VERL, may be set)"
            )
        result = train.train(
            chosen, runs=runs, name=name, port=port, resume=resume, val_only=val_only, check=not no_check
        )
    if result.signal_number is not None:
        sys.exit(exit_code(result.signal_number))
    sys.exit(1 if result.alarm else 0)


def _prove(profile: str, *, runs: Path, name: str | None, alone: bool) -> bool:
    if profile != "fast" or not alone:
        raise ConfigError(
            "the proof brings its own model, data and settings: `train fast --cpu-proof` takes only --runs and --name"
        )
    found = entry_points(group="lit_sql_trainer", name="cpu_proof")
    if not found:
        raise SetupError(f"the proof is part of sql-train, not installed here: `{PROOF_INSTALL}` (8.8 GB, Python 3.11)")
    prove = next(iter(found)).load()
    return prove(runs=runs, name=name, say=click.echo)
