"""`lit-sql curate`: drops the tasks that teach nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH
from lit_sql_trainer.commands.progress import answered, same_command


@click.command("curate")
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
@click.option("--split", default="train", show_default=True, help="The split to curate; the others stay as they are.")
@click.option("--run", metavar="RUN", help="Have the best checkpoint of this run solve the tasks.")
@click.option("--model", help="Have this model solve the tasks: a folder, an id, or a name at --endpoint.")
@click.option("--endpoint", metavar="URL", help="An OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY.")
@click.option("--tiny", is_flag=True, help="Have the tiny model of this package solve the tasks.")
@click.option("--profile", help="Profile whose prompts and limits apply; by default the run's, tiny, or full prompts.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
@click.option("-k", "samples", type=click.IntRange(min=2), default=8, show_default=True, help="Samples of each task.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Temperature of the samples.")
@click.option(
    "--keep-share",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of the never or always solved tasks to keep.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the samples and of the choice of kept tasks."
)
@click.option("--workers", type=click.IntRange(min=1), default=16, show_default=True, help="Tasks asked at a time.")
@click.option("--copy", is_flag=True, help="Copy the databases instead of linking to them.")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are found by name.")
def curate_command(
    data: Path,
    out: Path,
    split: str,
    run: str | None,
    model: str | None,
    endpoint: str | None,
    tiny: bool,
    profile: str | None,
    settings: Sequence[str],
    samples: int,
    temperature: float,
    keep_share: float,
    seed: int,
    workers: int,
    copy: bool,
    runs: Path,
) -> None:
    """Copy a data folder without the tasks that teach nothing.

    Example: lit-sql curate my-data my-curated-data --tiny -k 4

    The command drops tasks whose gold query fails, times out, finds nothing, or leaves its answer open. When you name a
    model, it also drops tasks that the model solves in none or in all of k samples, except for a share of them. The new
    folder's manifest.json counts them by reason and dropped.jsonl names them. After Ctrl-C or a kill there is no
    incomplete folder, the model's answers stay beside it, and the same command resumes.
    """
    answers = out.with_name(f"{out.name}-answers")
    with exit_on_error(
        stopped=lambda: f"stopped; nothing was written to {out}; the same command resumes:\n    {same_command()}"
    ):
        from lit_sql_trainer import curation
        from lit_sql_trainer.evaluation.plan import Sampling
        from lit_sql_trainer.evaluation.questions import read_questions
        from lit_sql_trainer.evaluation.run import evaluate
        from lit_sql_trainer.evaluation.targets import find_target

        asked = tiny or run is not None or model is not None or endpoint is not None
        target = None
        if asked:
            target = find_target(
                run=run, runs=runs, model=model, endpoint=endpoint, profile=profile, assignments=settings
            )
        curation.check_target(out)
        curation.check_share(keep_share)
        questions = read_questions(data, split)
        reasons = curation.bad_golds(questions)
        facts: dict[str, object] = {"split": split}
        if target is not None:
            left = dataclasses.replace(
                questions, tasks=tuple(task for task in questions.tasks if task.task_id not in reasons)
            )
            sampling = Sampling(samples=samples, temperature=temperature, seed=seed)
            ask = partial(evaluate, target, questions=left, out=answers, sampling=sampling, workers=workers)
            reasons |= curation.extremes(answered(ask, what="tasks").records)
            facts |= {
                "model": target.label,
                "weights": target.weights,
                "samples": samples,
                "temperature": temperature,
                "keep_share": keep_share,
                "seed": seed,
            }
        decided = curation.decide(questions, reasons, keep_share=keep_share, seed=seed)
        manifest = curation.write_curated(out, decided, settings=facts, copy=copy)
    click.echo(f"{len(decided.kept)} of {len(questions.tasks)} tasks of {split!r} stay")
    for reason, counts in decided.counts().items():
        if counts["found"]:
            click.echo(
                f"   {reason:36} {counts['found']:6} found, {counts['dropped']:6} dropped, {counts['kept']:6} kept"
            )
    click.echo(manifest)
