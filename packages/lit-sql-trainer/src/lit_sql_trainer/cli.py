"""`train PROFILE` and the `lit-sql` group. Commands parse, call the library and print; all imports are late.

Exit codes: 0 done, 1 the run failed, 2 what was asked for makes no sense or cannot run here, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lit_sql_trainer.errors import ConfigError, DataError, ModelError, RunError, SetupError, TrainerError
from lit_sql_trainer.lazy import LazyCommand, LazyGroup

USAGE_ERRORS = (ConfigError, DataError, ModelError, RunError, SetupError)
STOPPED = 130

_EXISTING = click.Path(path_type=Path)


class _RefusalError(click.ClickException):
    """What was asked for makes no sense or cannot run here."""

    exit_code = 2


def _told(error: TrainerError) -> click.ClickException:
    """An error of ours as one line with its exit code."""
    return (_RefusalError if isinstance(error, USAGE_ERRORS) else click.ClickException)(str(error))


@click.command("train", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("profile")
@click.option("--model", help="Folder or Hugging Face id of an instruct model; by default the profile's own.")
@click.option("--data", type=_EXISTING, help="Data folder; by default the embedded benchmark.")
@click.option("--dev", is_flag=True, help="Dry run: a few tasks through the whole machinery, no training.")
@click.option("--active-agent", metavar="REGEX", help="Graph nodes to train; by default those that write SQL.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
@click.option("--resume", metavar="RUN", help="Go on with a run, given by its folder or name.")
@click.option("--n-runners", type=int, help="Processes that run rollouts.")
@click.option("--runs", type=_EXISTING, default=Path("runs"), show_default=True, help="Where run folders are made.")
@click.option("--name", help="Name of the run folder; by default profile, time and commit.")
@click.option("--port", type=int, help="Port of the rollout store; by default a free one.")
def train_main(
    profile: str,
    model: str | None,
    data: Path | None,
    dev: bool,
    active_agent: str | None,
    settings: Sequence[str],
    resume: str | None,
    n_runners: int | None,
    runs: Path,
    name: str | None,
    port: int | None,
) -> None:
    """Train a model to write SQL as an agent.

    Example: train tiny

    `lit-sql settings PROFILE` lists what --set can change. Ctrl-C finishes the step and writes a checkpoint.
    """
    from lit_sql_trainer import training
    from lit_sql_trainer.profiles import profile_named

    try:
        chosen = training.configure(
            profile_named(profile),
            settings,
            model=model,
            data=data,
            active_agent=active_agent,
            runners=n_runners,
        )
        if dev:
            from lit_sql_trainer.dryrun import dry_run

            sys.exit(0 if dry_run(chosen, port=port).passed else 1)
        if resume is not None and any((settings, model, data, active_agent, n_runners, name)):
            raise ConfigError(
                "--resume goes on under the run's own settings: leave out --set, --model, --data and the like"
            )
        result = training.train(chosen, runs=runs, name=name, port=port, resume=resume)
    except TrainerError as error:
        raise _told(error) from error
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    sys.exit(STOPPED if result.interrupted else 0)


@click.command()
@click.argument("profile")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
def settings_command(profile: str, settings: Sequence[str]) -> None:
    """Print every setting of a profile as KEY=VALUE, ready for --set.

    Example: lit-sql settings tiny
    """
    from lit_sql_trainer.profiles import profile_named
    from lit_sql_trainer.settings import apply_assignments, assignments

    try:
        for line in assignments(apply_assignments(profile_named(profile), settings)):
            click.echo(line)
    except TrainerError as error:
        raise _told(error) from error


@click.command()
def profiles_command() -> None:
    """List the profiles that `train` accepts.

    Example: lit-sql profiles
    """
    from lit_sql_trainer.profiles import PROFILES

    for profile in PROFILES.values():
        click.echo(f"{profile.name:10} {profile.summary}")


@click.command()
@click.argument("run", type=_EXISTING)
def curves_command(run: Path) -> None:
    """Draw the curves of a run, running or ended, into its folder.

    Example: lit-sql curves runs/tiny-20260101-120000
    """
    from lit_sql_trainer.curves import draw_curves
    from lit_sql_trainer.runs import open_run

    try:
        click.echo(draw_curves(open_run(run, root=Path("runs"))))
    except TrainerError as error:
        raise _told(error) from error


@click.command()
@click.argument("folder", type=_EXISTING)
@click.option("--data", type=_EXISTING, help="Data folder to warm-start on; by default the embedded benchmark.")
@click.option("--steps", type=click.IntRange(min=1), help="Supervised steps; by default those of the shipped model.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides weights, noise and order.")
def tiny_model_command(folder: Path, data: Path | None, steps: int | None, seed: int) -> None:
    """Build the tiny model again: random weights, then a supervised warm start on noisy demonstrations.

    Example: lit-sql tiny-model my-tiny-model
    """
    from dataclasses import replace

    from rich.progress import Progress

    from lit_sql_trainer import inputs
    from lit_sql_trainer.local.tiny_model import TinyModelSettings, build_tiny_model

    settings = TinyModelSettings(seed=seed)
    settings = replace(settings, warm_start=replace(settings.warm_start, seed=seed))
    if steps is not None:
        settings = replace(settings, warm_start=replace(settings.warm_start, steps=steps))
    try:
        with Progress() as progress:
            bar = progress.add_task("warm start", total=settings.warm_start.steps)
            build_tiny_model(
                folder,
                data or inputs.embedded_data(),
                settings,
                lambda step, loss, _seconds: progress.update(bar, completed=step, description=f"loss {loss:.3f}"),
            )
    except TrainerError as error:
        raise _told(error) from error
    click.echo(folder)


_HERE = "lit_sql_trainer.cli"
COMMANDS = {
    "train": LazyCommand(target=f"{_HERE}:train_main", help="Train a model to write SQL as an agent."),
    "profiles": LazyCommand(target=f"{_HERE}:profiles_command", help="List the profiles that `train` accepts."),
    "settings": LazyCommand(target=f"{_HERE}:settings_command", help="Print every setting of a profile."),
    "curves": LazyCommand(target=f"{_HERE}:curves_command", help="Draw the curves of a run."),
    "tiny-model": LazyCommand(target=f"{_HERE}:tiny_model_command", help="Build the tiny model again."),
}

main = LazyGroup(
    lazy=COMMANDS,
    name="lit-sql",
    help="Train, look at and use models that write SQL as an agent.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
