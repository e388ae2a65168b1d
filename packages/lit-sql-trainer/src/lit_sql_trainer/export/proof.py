"""Proves that an exported folder holds the trained weights; `proof.json` beside them holds the proof.

Each tensor, read back from disk, has the digest of the checkpoint's tensor. Some tensor differs from the base, so
training changed something. Greedy replies of the export equal the checkpoint's on every prompt, and differ from the
base's on some. Imports torch: import this module late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lit_sql_trainer.errors import ExportError, ModelError
from lit_sql_trainer.export.replies import LOOKED_AT, Asked, Speaker, prompts, telling_prompts
from lit_sql_trainer.models.source import Source
from lit_sql_trainer.models.weights import State, changed, digests, read_folder
from lit_sql_trainer.profile.profile import RolloutSettings

FILE = "proof.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyProof:
    """One prompt, and the greedy replies of the three models to it."""

    task_id: str
    question: str
    checkpoint: str
    exported: str
    base: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was compared, and the results."""

    checkpoint: str
    base: str | None
    """Name of the base; None when it is unknown."""
    tensors: int
    parameters: int
    changed_tensors: int | None
    """Number of tensors that differ from the base; None when there is no base to compare with."""
    replies: tuple[ReplyProof, ...]
    replies_equal_checkpoint: int
    replies_differ_from_base: int | None
    digests: dict[str, str]
    """sha256 of type, shape and bytes of each tensor: the same in the checkpoint and in the written file."""

    def to_dict(self) -> dict[str, object]:
        """The proof for `json.dumps`."""
        return asdict(self)

    def describe(self) -> str:
        """What the proof shows, in two sentences."""
        text = f"{self.tensors} tensors ({self.parameters:,} parameters) equal the checkpoint's, by sha256."
        if self.changed_tensors is None:
            text += " There is no base to compare with."
        else:
            text += f" {self.changed_tensors} of them differ from those of {self.base}."
        if self.replies:
            equal = f"{self.replies_equal_checkpoint} of {len(self.replies)}"
            text += f" Greedy replies to {equal} prompts equal the checkpoint's"
            if self.replies_differ_from_base is not None:
                text += f" and differ from the base's on {self.replies_differ_from_base}"
            text += "."
        return text


def check_trained(state: State, source: Source, *, force: bool) -> int | None:
    """How many tensors differ from the base; None when there is no base here and `force` allows that.

    Raises:
        ModelError: no tensor differs, or there is no base, without `force`.
    """
    base = Path(source.base) if source.base is not None else None
    if base is None or not base.is_dir():
        if force:
            return None
        raise ModelError(
            f"the base {source.base!r} is no folder here, so nothing can be compared with it: name its folder with "
            f"--base, or export without that proof with --force"
        )
    differ = changed(state, read_folder(base))
    if not differ and not force:
        raise ModelError(
            f"all {len(state)} tensors of {source.label} equal those of the base {source.base!r}: nothing was trained, "
            f"or this is the wrong checkpoint; --force exports it all the same"
        )
    return len(differ)


def prove(
    source: Source,
    state: State,
    folder: Path,
    *,
    changed_tensors: int | None,
    settings: RolloutSettings,
    data: Path | None,
    count: int,
) -> Proof:
    """Compare the exported `folder` with the checkpoint's tensors `state`, and their replies to `count` prompts.

    Raises:
        ExportError: a tensor or a reply of the export is not the checkpoint's.
    """
    expected = digests(state)
    written = digests(read_folder(folder))
    if written != expected:
        wrong = sorted(name for name in {*written, *expected} if written.get(name) != expected.get(name))
        raise ExportError(f"{len(wrong)} tensors were not written as they are in the checkpoint, such as {wrong[0]!r}")
    most = count if changed_tensors == 0 else max(count, LOOKED_AT)  # equal weights never reply differently
    asked = prompts(data, settings, most=most) if count else []
    replies = _replies(source, state, folder, asked, count)
    different = [reply for reply in replies if reply.exported != reply.checkpoint]
    if different:
        raise ExportError(
            f"the export and the checkpoint reply differently to {len(different)} of {len(replies)} prompts, such as "
            f"{different[0].question!r}: tokenizer, template or configuration were not carried over"
        )
    compared = [reply for reply in replies if reply.base is not None]
    return Proof(
        checkpoint=source.label,
        base=source.base_name if source.base is not None else None,
        tensors=len(state),
        parameters=sum(tensor.numel() for tensor in state.values()),
        changed_tensors=changed_tensors,
        replies=replies,
        replies_equal_checkpoint=len(replies),
        replies_differ_from_base=sum(reply.base != reply.exported for reply in compared) if compared else None,
        digests=expected,
    )


def _replies(source: Source, state: State, folder: Path, asked: Sequence[Asked], count: int) -> tuple[ReplyProof, ...]:
    if not asked:
        return ()
    checkpoint = Speaker.assembled(source.config_folder, state)
    base = Path(source.base) if source.base is not None else None
    chosen: list[tuple[Asked, str, str | None]]
    if base is not None and base.is_dir():
        chosen = [*telling_prompts(asked, count, checkpoint, Speaker.load(str(base)))]
    else:
        chosen = [(each, checkpoint(each.messages), None) for each in asked[:count]]
    del checkpoint
    exported = Speaker.load(str(folder))
    return tuple(
        ReplyProof(
            task_id=each.task_id,
            question=each.question,
            checkpoint=own,
            exported=exported(each.messages),
            base=its,
        )
        for each, own, its in chosen
    )
