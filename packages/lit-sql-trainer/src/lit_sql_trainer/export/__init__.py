"""Exports a checkpoint as a Hugging Face folder: anybody can load it, and a proof says it is the trained model."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lit_sql_trainer.errors import ExportError, RunError
from lit_sql_trainer.models.checkpoints import Checkpoint
from lit_sql_trainer.models.source import SETTINGS_FILE, find_source
from lit_sql_trainer.profile.profile import RolloutSettings
from lit_sql_trainer.runs.folder import write_json

if TYPE_CHECKING:
    from lit_sql_trainer.export.proof import Proof

PROMPTS = 8

__all__ = ["Exported", "export_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The result of an export."""

    path: Path
    proof: Proof


def export_model(
    what: Path | str,
    out: Path,
    *,
    runs: Path = Path("runs"),
    checkpoint: Checkpoint = Checkpoint.BEST,
    base: str | None = None,
    evaluation: Path | None = None,
    dtype: str | None = None,
    prompts: int = PROMPTS,
    force: bool = False,
    progress: Callable[[str], None] = lambda doing: None,
) -> Exported:
    """Export a run's checkpoint, or a checkpoint folder, to the new folder `out`.

    The folder is written beside its place and moves there only when the proof holds.

    Args:
        what: a run (folder or name), or a folder with a checkpoint of a kind that `models.source` knows.
        out: must not exist.
        runs: where runs are found by name.
        checkpoint: which checkpoint of a run.
        base: the model that training began with, when the run does not say or the model has moved.
        evaluation: a folder of `lit-sql eval`, for the model card.
        dtype: `float32`, `bfloat16` or `float16` rounds the weights; None keeps them as they are.
        prompts: how many replies to compare; 0 compares none.
        force: export although nothing differs from the base, or although there is no base to compare with.
        progress: receives the name of each stage.

    Raises:
        RunError, ModelError: `what` cannot be exported.
        ExportError: the written folder does not equal the checkpoint; nothing is left at `out`.
    """
    if out.exists():
        raise RunError(f"{str(out)!r} exists: name a new folder, or remove it first")
    source = find_source(what, runs=runs, checkpoint=checkpoint, base=base)
    progress(f"reading {source.kind}")
    from lit_sql_trainer.export.proof import FILE, check_trained, prove
    from lit_sql_trainer.export.writing import rounded, write_model
    from lit_sql_trainer.models.weights import read_weights

    state = rounded(read_weights(source), source, dtype)
    progress("comparing with the base")
    differ = check_trained(state, source, force=force)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with _report_full_disk(out):
            part.mkdir(parents=True)
            progress("writing")
            write_model(source, state, part)
            progress("comparing replies")
            proof = prove(
                source,
                state,
                part,
                changed_tensors=differ,
                settings=source.profile.rollout if source.profile else RolloutSettings(),
                data=source.profile.data if source.profile else None,
                count=prompts,
            )
            write_json(part / FILE, proof.to_dict())
            from lit_sql_trainer.export.card import model_card, settings_of
            from lit_sql_trainer.serving.serve import ask_line

            write_json(part / SETTINGS_FILE, settings_of(source))
            ask = f"lit-sql serve {out.name}\n{ask_line(source.profile, model=out.name)}"
            card = model_card(source, proof, evaluation=evaluation, ask=ask)
            (part / "README.md").write_text(card, encoding="utf-8")
            part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(path=out, proof=proof)


@contextlib.contextmanager
def _report_full_disk(out: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"cannot write {str(out)!r}: {error}; nothing was left there") from error
