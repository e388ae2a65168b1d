"""`lit-sql tiny-model`: builds the shipped model again."""

from __future__ import annotations

from pathlib import Path

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH


@click.command()
@click.argument("folder", type=PATH)
@click.option("--data", type=PATH, help="Data folder to warm-start on; by default the embedded benchmark.")
@click.option("--steps", type=click.IntRange(min=1), help="Supervised steps; by default those of the shipped model.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the weights, the noise and the order.")
def tiny_model_command(folder: Path, data: Path | None, steps: int | None, seed: int) -> None:
    """Build the tiny model again: random weights, then a supervised warm start on noisy demonstrations.

    Example: lit-sql tiny-model my-tiny-model
    """
    from dataclasses import replace

    from rich.progress import Progress

    from lit_sql_trainer.data import embedded_data
    from lit_sql_trainer.local.tiny_model import TinyModelSettings, build_tiny_model

    settings = TinyModelSettings(seed=seed)
    settings = replace(settings, warm_start=replace(settings.warm_start, seed=seed))
    if steps is not None:
        settings = replace(settings, warm_start=replace(settings.warm_start, steps=steps))
    with exit_on_error(), Progress() as progress:
        bar = progress.add_task("warm start", total=settings.warm_start.steps)
        build_tiny_model(
            folder,
            data or embedded_data(),
            settings,
            lambda step, loss, _seconds: progress.update(bar, completed=step, description=f"loss {loss:.3f}"),
        )
    click.echo(folder)
