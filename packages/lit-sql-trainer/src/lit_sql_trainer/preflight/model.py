"""The model: a whole folder, or an id that can be fetched with the token that is here; and its chat template.

A Hugging Face id is looked for in the cache first. Only when it is not there is the hub asked, for its small files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lit_sql_trainer.errors import ModelError
from lit_sql_trainer.machine import admission
from lit_sql_trainer.models.folder import CHAT_TEMPLATE, missing_model_parts, model_source
from lit_sql_trainer.preflight.findings import Family, Finding, failed, passed
from lit_sql_trainer.preflight.hub import Access, hub_file, hub_token
from lit_sql_trainer.preflight.subject import Subject

TEMPLATE_REMEDY = (
    "Name an instruct model, or add `chat_template` to tokenizer_config.json: without it no message becomes a prompt"
)


def check_model(subject: Subject) -> Iterator[Finding]:
    """Check whether the model can be loaded, without loading it."""
    if subject.model_folder is not None:
        yield from _folder(subject.model_folder)
        return
    try:
        model_source(subject.model)
        admission.check_token(subject.model)
    except ModelError as error:
        yield failed(Family.MODEL, "model", error.problem, error.remedy)
        return
    yield from _hub(subject.model)


def _folder(folder: Path) -> Iterator[Finding]:
    missing = missing_model_parts(folder)
    parts = [part for part in missing if part != CHAT_TEMPLATE]
    if parts:
        remedy = "Save model and tokenizer into it with `save_pretrained`, or name another folder"
        yield failed(Family.MODEL, "model", f"{folder} lacks {', '.join(parts)}", remedy)
    else:
        yield passed(Family.MODEL, "model", f"{folder} has configuration, weights and tokenizer")
    if CHAT_TEMPLATE in missing:
        yield failed(Family.MODEL, "chat template", f"{folder} has no chat template", TEMPLATE_REMEDY)
    elif not parts:
        yield passed(Family.MODEL, "chat template", "present")


def _hub(model: str) -> Iterator[Finding]:
    held = "with the token that is here" if hub_token() else "without a token"
    config = hub_file(model, "config.json")
    match config.access:
        case Access.GATED:
            yield failed(
                Family.MODEL,
                "model",
                f"{model!r} is gated, and the hub refuses it {held} ({config.detail})",
                "Accept the model's licence on its page, then `export HF_TOKEN=…` with a token of that account",
            )
        case Access.UNKNOWN:
            remedy = "Correct the id; a private model needs `export HF_TOKEN=…`"
            yield failed(Family.MODEL, "model", f"the hub has no {model!r}, or hides it {held}", remedy)
        case Access.NO_FILE:
            yield failed(Family.MODEL, "model", f"{model!r} has no config.json", "Name a transformers model")
        case Access.UNREACHABLE:
            yield failed(
                Family.MODEL,
                "model",
                f"{model!r} is not on this machine, and the hub cannot be reached ({config.detail})",
                "Fetch the model where there is a network, copy its folder here, and name the folder with --model",
            )
        case Access.CACHED | Access.FETCHED:
            yield passed(Family.MODEL, "model", f"{model!r} {config.access}, {held}")
            yield _template(model)


def _template(model: str) -> Finding:
    if hub_file(model, "tokenizer_config.json").content.get("chat_template"):
        return passed(Family.MODEL, "chat template", "present")
    if hub_file(model, "chat_template.jinja").access in (Access.CACHED, Access.FETCHED):
        return passed(Family.MODEL, "chat template", "present")
    return failed(Family.MODEL, "chat template", f"{model!r} has none", TEMPLATE_REMEDY)
