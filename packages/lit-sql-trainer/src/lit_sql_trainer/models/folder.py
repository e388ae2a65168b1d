"""Checks a model folder: what it must hold to be trained, and the digest of what decides its replies.

Each error names one problem and the next step.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from pathlib import Path

from lit_sql_trainer.errors import ModelError

CHAT_TEMPLATE = "a chat template (in tokenizer_config.json, or chat_template.jinja)"
"""How an error message names a missing chat template."""


def model_source(model: str | None) -> str:
    """What to load: the tiny model of this package, a checked folder, or a Hugging Face id, unchecked.

    Raises:
        ModelError: the folder lacks a part of a model, or the path does not exist.
    """
    if model is None:
        folder = Path(str(importlib.resources.files("lit_sql_trainer.local") / "tiny"))
        check_model_folder(folder)
        return str(folder)
    folder = Path(model)
    if folder.is_dir():
        check_model_folder(folder)
    elif model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ModelError(f"no model folder {model!r}", "name an existing folder, or a Hugging Face id such as org/name")
    return model


def check_model_folder(folder: Path) -> None:
    """Check that a folder holds every part of a Hugging Face model that training needs.

    Raises:
        ModelError: a part is missing; the error names it.
    """
    missing = missing_model_parts(folder)
    if missing:
        raise ModelError(
            f"model folder {str(folder)!r} lacks {', '.join(missing)}: save model and tokenizer into it with "
            f"`save_pretrained`, or name an instruct model"
        )  # fmt: skip


def missing_model_parts(folder: Path) -> list[str]:
    """The parts of a trainable model that a folder lacks, in words; only file names and the template count."""
    missing: list[str] = []
    if not (folder / "config.json").is_file():
        missing.append("config.json")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        missing.append("weights (*.safetensors)")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        missing.append("a tokenizer (tokenizer.json)")
    elif not _has_chat_template(folder):
        missing.append(CHAT_TEMPLATE)
    return missing


def weights_digest(model: str) -> str:
    """A digest of every file in a model folder that decides its replies; empty when the model is no folder here."""
    folder = Path(model)
    if not folder.is_dir():
        return ""
    digest = hashlib.blake2b(digest_size=16)
    patterns = ("*.safetensors", "*.bin", "config.json", "generation_config.json", "tokenizer*", "vocab*", "merges*")
    files = {file for pattern in (*patterns, "chat_template*") for file in folder.glob(pattern)}
    for file in sorted(files):
        digest.update(f"{file.name}\0".encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    file = folder / "tokenizer_config.json"
    try:
        return bool(json.loads(file.read_text(encoding="utf-8")).get("chat_template"))
    except (OSError, ValueError):
        return False
