"""`lit-sql export`: writes a checkpoint as a folder that anybody can load."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH


@click.command()
@click.argument("checkpoint_or_run", metavar="CHECKPOINT|RUN")
@click.argument("out", type=PATH)
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True, help="Checkpoint of a run."
)
@click.option("--base", help="Folder of the model that training began with, when the run does not name it.")
@click.option("--evaluation", type=PATH, help="Folder of `lit-sql eval`, for the model card.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Round the weights to this type; by default they keep theirs.",
)
@click.option(
    "--prompts", type=click.IntRange(min=0), default=8, show_default=True, help="Number of replies to compare."
)
@click.option("--force", is_flag=True, help="Export although nothing differs from the base, or without a base.")
@click.option("--json", "as_json", is_flag=True, help="Print the proof as one JSON object.")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are found by name.")
def export_command(
    checkpoint_or_run: str,
    out: Path,
    checkpoint: str,
    base: str | None,
    evaluation: Path | None,
    dtype: str | None,
    prompts: int,
    force: bool,
    as_json: bool,
    runs: Path,
) -> None:
    """Export a checkpoint to the Hugging Face folder OUT, with a model card and the proof that it is the trained one.

    Example: lit-sql export runs/tiny-20260101-120000 exported

    CHECKPOINT is a folder of the local algorithm, VERL's shards, or a LoRA. OUT appears only when the proof holds;
    after Ctrl-C run the command again.
    """
    from lit_sql_trainer.export import export_model
    from lit_sql_trainer.machine.environment import guard_environment
    from lit_sql_trainer.models.checkpoints import Checkpoint

    with exit_on_error(stopped=lambda: f"stopped; nothing was left at {out}: give the same command to begin again"):
        guard_environment(local_model=True)
        exported = export_model(
            checkpoint_or_run,
            out,
            runs=runs,
            checkpoint=Checkpoint(checkpoint),
            base=base,
            evaluation=evaluation,
            dtype=dtype,
            prompts=prompts,
            force=force,
            progress=lambda doing: click.echo(f"{doing} …", err=True),
        )
    if as_json:
        click.echo(json.dumps(exported.proof.to_dict(), ensure_ascii=False))
    else:
        click.echo(exported.proof.describe())
        click.echo(f"{out} is ready; next: lit-sql serve {out}")
