"""`lit-sql eval`: measures how good a model is, how sure that is, and what went wrong."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lit_sql_trainer.commands.failures import exit_code, exit_on_error
from lit_sql_trainer.commands.progress import same_command, showing

if TYPE_CHECKING:
    from lit_sql_trainer.evaluation.plan import Sampling
    from lit_sql_trainer.evaluation.targets import Target

EXISTING = click.Path(path_type=Path)


@click.command("eval")
@click.option("--run", metavar="RUN", help="Evaluate a checkpoint of this run, under the run's own settings.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--model", help="Model folder, Hugging Face id, or name at --endpoint; by default the tiny model.")
@click.option("--endpoint", metavar="URL", help="Any OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY.")
@click.option("--profile", help="Whose prompts and limits apply; by default those of the run, tiny, or full prompts.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
@click.option("--data", type=EXISTING, help="Data folder; by default the run's own, else the embedded benchmark.")
@click.option("--split", default="test", show_default=True, help="validation, test, dev, train, or another file.")
@click.option("--limit", type=click.IntRange(min=1), help="Ask only the first N questions.")
@click.option("-k", "samples", type=click.IntRange(min=1), default=1, show_default=True, help="Samples of each.")
@click.option(
    "--votes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Samples that vote on each answer, at most; one is greedy.",
)
@click.option("--temperature", type=float, help="By default 0 for one sample (greedy) and 1 for several.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sampling.")
@click.option("--workers", type=click.IntRange(min=1), default=16, show_default=True, help="Questions at a time.")
@click.option("--no-baseline", is_flag=True, help="Leave out line 0, the same model single-turn with the same prompt.")
@click.option("--out", type=EXISTING, help="Folder to write to or to resume; by default named after the options.")
@click.option("--export-predictions", type=EXISTING, metavar="FILE", help="Also write the official file of answers.")
@click.option("--runs", type=EXISTING, default=Path("runs"), show_default=True, help="Where runs are found by name.")
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

    Line 0 is always the same model stopped after its first query: the difference to line 1 is what the loop adds.
    Ctrl-C or a kill loses no answer: the same command resumes.
    """
    with exit_on_error(stopped=lambda: f"stopped; the same command resumes:\n    {same_command()}"):
        from lit_sql_trainer.evaluation.plan import Sampling
        from lit_sql_trainer.evaluation.predictions import export_predictions as write_predictions
        from lit_sql_trainer.evaluation.run import evaluate, questions_for
        from lit_sql_trainer.evaluation.table import describe_summary
        from lit_sql_trainer.evaluation.targets import find_target
        from lit_sql_trainer.machine.interrupt import Interrupt
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
        with Interrupt(_finishing) as stop, showing("answers") as progress:
            done = evaluate(
                target,
                out=folder,
                data=data,
                split=split,
                limit=limit,
                sampling=sampling,
                workers=workers,
                should_stop=stop,
                progress=progress,
            )
        if done.summary is None:
            answered = sum(not record.failed for record in done.records)
            again = same_command(out=None if out else folder)
            click.echo(f"stopped with {answered} answers in {folder}; resume with\n    {again}")
            sys.exit(exit_code(stop.signal or signal.SIGINT))
        click.echo(describe_summary(done.summary, baseline=not no_baseline))
        click.echo(f"{folder / 'summary.json'}, {folder / 'verdicts.jsonl'}")
        if export_predictions is not None:
            tasks = questions_for(target, data=data, split=split, limit=limit).tasks
            gold = write_predictions(export_predictions, done.records, tasks)
            click.echo(f"{export_predictions}, {gold}")
    sys.exit(1 if done.summary["failed"] else 0)


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


def _finishing() -> None:
    click.echo("finishing the questions under way; press Ctrl-C again to end at once", err=True)
