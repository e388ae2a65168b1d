"""The model: a whole folder, or an id that can be fetched with the token that is here; and its chat template.

A Hugging Face id is looked for in the cache first. Only when it is not there is the hub asked, for one small file, and
never more than once for a quarter of a minute.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lit_sql_trainer import inputs
from lit_sql_trainer.errors import ModelError
from lit_sql_trainer.preflight.findings import Family, Finding, failed, passed, warned
from lit_sql_trainer.preflight.subject import Subject

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
WAIT_S = 15
TEMPLATE_REMEDY = (
    "Name an instruct model, or add `chat_template` to tokenizer_config.json: without it no message becomes a prompt"
)


def check_model(subject: Subject) -> Iterator[Finding]:
    """Whether the model can be loaded, as far as can be told without loading it."""
    if subject.model_folder is not None:
        yield from _folder(subject.model_folder)
        return
    try:
        inputs.model_source(subject.model)
    except ModelError as error:
        yield failed(Family.MODEL, "model", str(error), "Correct --model")
        return
    yield from _hub(subject.model)


def _folder(folder: Path) -> Iterator[Finding]:
    missing = inputs.missing_model_parts(folder)
    parts = [part for part in missing if part != inputs.CHAT_TEMPLATE]
    if parts:
        remedy = "Save model and tokenizer into it with `save_pretrained`, or name another folder"
        yield failed(Family.MODEL, "model", f"{folder} lacks {', '.join(parts)}", remedy)
    else:
        yield passed(Family.MODEL, "model", f"{folder} has configuration, weights and tokenizer")
    if inputs.CHAT_TEMPLATE in missing:
        yield failed(Family.MODEL, "chat template", f"{folder} has no chat template", TEMPLATE_REMEDY)
    elif not parts:
        yield passed(Family.MODEL, "chat template", "present")


def _hub(model: str) -> Iterator[Finding]:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    fetch: Any = importlib.import_module("huggingface_hub").hf_hub_download  # its own annotations are partial
    token = any(os.environ.get(name) for name in TOKEN_VARIABLES)
    held = "with the token in HF_TOKEN" if token else "without a token"
    try:
        file = str(fetch(model, "tokenizer_config.json", etag_timeout=WAIT_S))
    except GatedRepoError:
        yield failed(
            Family.MODEL,
            "model",
            f"{model!r} is gated, and the hub refuses it {held}",
            "Accept the model's licence on its page, then `export HF_TOKEN=…` with a token of that account",
        )
    except RepositoryNotFoundError:
        remedy = "Correct the id; a private model needs `export HF_TOKEN=…`"
        yield failed(Family.MODEL, "model", f"the hub has no {model!r}, or hides it {held}", remedy)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        yield failed(
            Family.MODEL,
            "model",
            f"{model!r} is not on this machine, and the hub cannot be reached"
            + (" (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""),
            "Fetch the model where there is a network, copy its folder here, and name the folder with --model",
        )
    except EntryNotFoundError:
        remedy = "See that it is a model with a tokenizer"
        yield failed(Family.MODEL, "model", f"{model!r} has no tokenizer_config.json", remedy)
    except (HFValidationError, HfHubHTTPError, OSError, ValueError) as error:
        yield failed(
            Family.MODEL, "model", f"{model!r}: {type(error).__name__}: {error}", "Try again, or name a folder"
        )
    else:
        yield passed(Family.MODEL, "model", f"{model!r} can be fetched, {held}")
        yield _template(Path(file), model)


def _template(tokenizer_config: Path, model: str) -> Finding:
    try:
        template = json.loads(tokenizer_config.read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError):
        template = None
    if template or (tokenizer_config.parent / "chat_template.jinja").is_file():
        return passed(Family.MODEL, "chat template", "present")
    remedy = "Newer models keep it in chat_template.jinja: look at the model's files; otherwise name an instruct model"
    return warned(Family.MODEL, "chat template", f"not in the tokenizer_config.json of {model!r}", remedy)
