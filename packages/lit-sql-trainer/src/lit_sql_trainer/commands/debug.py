"""`lit-sql debug`: shows what the agent does on a few questions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH


@click.command("debug")
@click.option("-n", "count", type=click.IntRange(min=1), default=10, show_default=True, help="Questions to show.")
@click.option("--data", type=PATH, help="Data folder; by default the run's own, else the embedded benchmark.")
@click.option("--split", help="Split to ask; by default dev if the data has it, else validation.")
@click.option("--run", metavar="RUN", help="Use the best checkpoint of this run, under the run's own settings.")
@click.option("--model", help="Model folder, Hugging Face id, or name at the endpoint; by default the tiny model.")
@click.option(
    "--endpoint",
    metavar="URL",
    help="OpenAI-compatible endpoint; by default OPENAI_API_BASE, unless a run or a model is named.",
)
@click.option("--profile", help="Profile whose prompts and limits apply; by default the run's, tiny, or full prompts.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
@click.option("--show-gold", is_flag=True, help="Show the gold query, and where rows differ from its rows.")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are found by name.")
def debug_command(
    count: int,
    data: Path | None,
    split: str | None,
    run: str | None,
    model: str | None,
    endpoint: str | None,
    profile: str | None,
    settings: Sequence[str],
    show_gold: bool,
    runs: Path,
) -> None:
    """Show prompts, replies, SQL, results and rewards of a few development questions. Train and write nothing.

    Example: lit-sql debug -n 3

    When OPENAI_API_BASE is set, the model at that endpoint answers, with the key in OPENAI_API_KEY.
    """
    with exit_on_error(stopped=lambda: "stopped; nothing was written"):
        from lit_sql_trainer.evaluation.debugging import SPLITS, debug
        from lit_sql_trainer.evaluation.run import data_folder, questions_for
        from lit_sql_trainer.evaluation.targets import find_target
        from lit_sql_trainer.machine.endpoints import endpoint_of_environment

        if endpoint is None and run is None and not (model and Path(model).is_dir()):
            endpoint = endpoint_of_environment()
        target = find_target(run=run, runs=runs, model=model, endpoint=endpoint, profile=profile, assignments=settings)
        folder = data_folder(target, data)
        split = split or next((name for name in SPLITS if (folder / f"{name}.parquet").is_file()), SPLITS[-1])
        questions = questions_for(target, data=folder, split=split, limit=count)
        failed = debug(target, questions, show_gold=show_gold, echo=click.echo)
    sys.exit(1 if failed else 0)
