"""Writes the model card: what the model is, its training data, scores, settings and licences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lit_sql_trainer.errors import ModelError, TrainerError
from lit_sql_trainer.export.proof import Proof
from lit_sql_trainer.models.source import Source, read_json
from lit_sql_trainer.profile.overrides import assignments, to_plain
from spider_data import SpiderDataError, read_manifest, read_tasks
from sql_reward.stats import wilson_interval

if TYPE_CHECKING:
    from lit_sql_trainer.evaluation.records import Score

VERSIONS = ("lit-sql-trainer", "agentlightning", "torch", "transformers", "verl", "vllm")
"""Packages whose versions the card names."""
LICENCES = {
    "spider": "Spider is CC BY-SA 4.0 (Yu et al., EMNLP 2018).",
    "mini": "The embedded benchmark is part of spider-data (MIT).",
    "own": "The training data are a user's own; their terms are unknown.",
}
"""Licences of the training data, by the origin in the folder's manifest."""


def model_card(source: Source, proof: Proof, *, evaluation: Path | None, ask: str) -> str:
    """The text of an exported folder's README.md.

    Args:
        source: where the weights come from.
        proof: the proof that the exported weights are the trained ones.
        evaluation: a folder that `lit-sql eval` wrote; None takes the run's own validations.
        ask: the command line that asks the served model.
    """
    base = source.base_name
    sections = [
        _head(base),
        f"# {source.run.name if source.run else source.path.name}\n\nA model that writes SQL as an agent: it writes a "
        f"query, looks at what the database says, and rewrites. It began as {base}. {_made(source)}",
        f"## Use\n\n```sh\n{ask}\n```\n\n{_prompts(source)}",
        f"## Training data\n\n{_data(source)}",
        f"## Evaluation\n\n{_evaluation(source, evaluation)}",
        f"## Settings\n\n{_settings(source)}",
        f"## Proof\n\n{proof.describe()} `proof.json` holds the digests and the replies.",
        f"## Licences\n\n{_licences(source, base)}",
    ]
    return "\n\n".join(sections) + "\n"


def _prompts(source: Source) -> str:
    if source.profile is None:
        return "The prompts of its training are unknown; `--style` and `--check` may have to be others."
    return "It was trained on the prompts that this command makes, and on no others."


def _made(source: Source) -> str:
    """When the model was trained and with which versions, as far as the run says."""
    after = f" after step {source.step}" if source.step is not None else ""
    text = f"The weights are those{after} of {source.label}."
    if source.run is None:
        return text
    try:
        found = read_json(source.run.path / "environment.json")
    except ModelError:
        return text
    versions = cast("Mapping[str, str]", found.get("versions", {}))
    shown = ", ".join(f"{name} {versions[name]}" for name in VERSIONS if name in versions)
    return f"{text} Trained on {str(found.get('started', ''))[:10]} with {shown}."


def _head(base: str) -> str:
    """The front matter that model hubs read."""
    fields = {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["text-to-sql", "agent"]}
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items()]
    if base.count("/") == 1 and " " not in base:
        lines.append(f"base_model: {base}")
    return "\n".join(["---", *lines, "---"])


def _data(source: Source) -> str:
    folder = source.profile.data if source.profile is not None else None
    if source.profile is None:
        return "Not known."
    if folder is None:
        return "The embedded benchmark of spider-data: 2,000 questions on ten small databases, made by 50 patterns."
    try:
        manifest = read_manifest(folder)
        counts = {split: len(read_tasks(folder / f"{split}.parquet")) for split in ("train", "validation")}
    except (SpiderDataError, OSError) as error:
        return f"The folder {folder.name!r}, which could not be read at export ({type(error).__name__})."
    origin = f"of origin {str(manifest.origin)!r}, made by {manifest.tool}" if manifest else "without a manifest"
    tasks = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    return f"The folder {folder.name!r}, {origin}: {tasks} questions."


def _evaluation(source: Source, evaluation: Path | None) -> str:
    if evaluation is not None:
        return _evaluated(evaluation)
    if source.run is None:
        return "Not measured."
    rows: list[str] = []
    for line in source.run.metrics():
        total = int(line.get("rollouts") or 0)
        if line.get("event") != "validation" or not total:
            continue
        outcomes: Mapping[str, int] = line.get("outcomes") or {}
        matched = int(outcomes.get("match", 0))
        interval = wilson_interval(matched, total)
        shown = f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
        rows.append(f"| {line['step']} | {100 * matched / total:.1f} % | {shown} | {matched} of {total} |")
    if not rows:
        return "Not measured."
    head = "| step | right | 95 % interval | questions |\n|---|---|---|---|"
    note = (
        "Greedy, on the validation questions of the training data, judged on every file of their test suites. The "
        "checkpoint was chosen by this number, so it is a little too high; `lit-sql eval` measures the test split."
    )
    return f"{note}\n\n{head}\n" + "\n".join(rows)


def _evaluated(folder: Path) -> str:
    from lit_sql_trainer.evaluation.run import load_evaluation

    try:
        summary = load_evaluation(folder).summary
    except TrainerError as error:
        raise type(error)(f"--evaluation {str(folder)!r}: {error}") from error
    if summary is None:
        return f"The evaluation in {folder.name!r} did not end."
    rows = [
        f"| {line['name'].replace('_', ' ')} | {_score(line['suite'])} | {_score(line['single'])} |"
        for line in summary["lines"]
    ]
    decoding = "greedy" if not summary["temperature"] else f"temperature {summary['temperature']:g}"
    return (
        f"{summary['questions']:,} questions of the {summary['split']} split, {decoding}, of which {summary['failed']} "
        f"failed for reasons that are not the model's.\n\n| | test suite | one database |\n|---|---|---|\n"
        + "\n".join(rows)
    )


def _score(found: Score) -> str:
    if found["rate"] is None:
        return "–"
    return f"{100 * found['rate']:.1f} % ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def _settings(source: Source) -> str:
    if source.profile is None:
        return "Not known."
    from lit_sql_trainer.profile.named import PROFILES

    known = PROFILES.get(source.profile.name)
    usual = set(assignments(known)) if known is not None else set[str]()
    changes = [line for line in assignments(source.profile) if line not in usual and not line.startswith("data=")]
    text = f"Profile `{source.profile.name}`; `lit_sql.json` holds every setting."
    return f"{text} Changed: {', '.join(f'`{line}`' for line in changes)}." if changes else text


def settings_of(source: Source) -> dict[str, object]:
    """The content of `lit_sql.json`: the run's settings, from which `lit-sql serve` knows the model's prompts."""
    plain = to_plain(source.profile) if source.profile is not None else None
    if plain is not None and plain.get("data") is not None:
        plain["data"] = None  # a path of the machine that trained
    return {"checkpoint": source.label, "profile": plain}


def _licences(source: Source, base: str) -> str:
    origin = "mini"
    if source.profile is None:
        origin = ""
    elif source.profile.data is not None:
        try:
            manifest = read_manifest(source.profile.data)
        except (SpiderDataError, OSError):
            manifest = None
        origin = str(manifest.origin) if manifest else "own"
    data = LICENCES.get(origin, "The terms of the training data are unknown.")
    return f"The weights are derived from {base}, whose licence applies to them. {data} lit-sql-trainer is MIT."
