"""`lit-sql eval`: measures how good a model is, how certain the figure is, and what went wrong."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH
from lit_sql_trainer.commands.progress import answered, same_command

if TYPE_CHECKING:
    from lit_sql_trainer.evaluation.plan import Sampling
    from lit_sql_trainer.evaluation.records import Summary
    from lit_sql_trainer.evaluation.targets import Target


@click.command("eval")
@click.option("--run", metavar="RUN", help="Evaluate a checkpoint of this run, under the run's own settings.")
@click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Checkpoint of the run.",
)
@click.option("--model", help="Model folder, Hugging Face id, or name at --endpoint; by default the tiny model.")
@click.option("--endpoint", metavar="URL", help="Any OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY.")
@click.option("--profile", help="Profile whose prompts and limits apply; by default the run's, tiny, or full prompts.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
@click.option("--data", type=PATH, help="Data folder; by default the run's own, else the embedded benchmark.")
@click.option(
    "--split", default="test", show_default=True, help="Split: validation, test, dev, train, or another file."
)
@click.option("--limit", type=click.IntRange(min=1), help="Ask only the first N questions.")
@click.option(
    "-k", "samples", type=click.IntRange(min=1), default=1, show_default=True, help="Samples of each question."
)
@click.option(
    "--votes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Samples that vote on each answer, at most; one is greedy.",
)
@click.option("--temperature", type=float, help="Temperature; by default 0 for one sample (greedy) and 1 for several.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sampling.")
@click.option("--workers", type=click.IntRange(min=1), default=16, show_default=True, help="Questions asked at a time.")
@click.option("--no-baseline", is_flag=True, help="Leave out line 0, the same model stopped after its first query.")
@click.option("--out", type=PATH, help="Folder to write to or to resume; by default named after the options.")
@click.option(
    "--export-predictions", type=PATH, metavar="FILE", help="Also write the answers as Spider's evaluators read them."
)
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are found by name.")
def eval_command(
    run: str | None,
    checkpoint: str,
    model: str | None,
    endpoint: str | None,
    profile: str | None,
    settings: Sequence[str],
    data: Path | None,
    split: str,
    limit: int | None,
    samples: int,
    votes: int,
    temperature: float | None,
    seed: int,
    workers: int,
    no_baseline: bool,
    out: Path | None,
    export_predictions: Path | None,
    runs: Path,
) -> None:
    """Evaluate a run, a model folder or an endpoint on a split of a data folder.

    Example: lit-sql eval --run runs/tiny-20260101-120000 --split test

    Line 0 of the table is the same model stopped after its first query; the difference to line 1 is what the loop adds.
    After Ctrl-C or a kill no answer is lost, and the same command resumes.
    """
    with exit_on_error(stopped=lambda: f"stopped; the same command resumes:\n    {same_command()}"):
        from lit_sql_trainer.evaluation.plan import Sampling
        from lit_sql_trainer.evaluation.predictions import export_predictions as write_predictions
        from lit_sql_trainer.evaluation.run import evaluate, questions_for
        from lit_sql_trainer.evaluation.table import describe_summary
        from lit_sql_trainer.evaluation.targets import find_target
        from lit_sql_trainer.models.checkpoints import Checkpoint

        sampling = Sampling(samples=samples, temperature=temperature, seed=seed, votes=votes)
        target = find_target(
            run=run,
            runs=runs,
            checkpoint=Checkpoint(checkpoint),
            model=model,
            endpoint=endpoint,
            profile=profile,
            assignments=settings,
        )
        folder = out or default_folder(target, checkpoint, split=split, limit=limit, sampling=sampling)
        click.echo(f"{target.label}: {split} into {folder}", err=True)
        ask = partial(
            evaluate, target, out=folder, data=data, split=split, limit=limit, sampling=sampling, workers=workers
        )
        done = answered(ask, what="questions", out=None if out else folder)
        summary = cast("Summary", done.summary)
        click.echo(describe_summary(summary, baseline=not no_baseline))
        click.echo(f"{folder / 'summary.json'}, {folder / 'verdicts.jsonl'}")
        if export_predictions is not None:
            tasks = questions_for(target, data=data, split=split, limit=limit).tasks
            gold = write_predictions(export_predictions, done.records, tasks)
            click.echo(f"{export_predictions}, {gold}")
    sys.exit(1 if summary["failed"] else 0)


def default_folder(target: Target, checkpoint: str, *, split: str, limit: int | None, sampling: Sampling) -> Path:
    """The folder of an evaluation when the user names none: in its run, or under `evaluations/`.

    The name says what is asked and how often, so that the same command finds the same folder.
    """
    parts = [split]
    if limit is not None:
        parts.append(f"first{limit}")
    if sampling.votes > 1:
        parts.append(f"votes{sampling.votes}")
    if sampling.samples > 1 or sampling.heat:
        parts.append(f"k{sampling.samples}-t{sampling.heat:g}-seed{sampling.seed}")
    if target.run is not None:
        return target.run / "evaluations" / "-".join([checkpoint, *parts])
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(target.model).name if target.weights else target.model)
    return Path("evaluations") / "-".join([name.strip("-"), *parts])
