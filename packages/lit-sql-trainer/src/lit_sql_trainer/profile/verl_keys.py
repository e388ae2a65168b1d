"""The keys that VERL reads, recorded from the pinned version.

VERL merges whatever it is given into its configuration, so a misspelt key changes nothing and is never reported.
Here every key is looked up before anything is started. The list is `verl_keys.json`, written by
`scripts/record_verl_keys.py` from an installed VERL.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

RECORDED = "verl_keys.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKeys:
    """Every leaf of the composed configuration."""

    versions: Mapping[str, str]
    """Package → version that the keys come from."""
    defaults: Mapping[str, object]
    """Dotted path → default; references to other keys (`${…}`) as they are written."""

    @property
    def source(self) -> str:
        """Which versions, as a person says it."""
        return ", ".join(f"{name} {version}" for name, version in self.versions.items())

    def knows(self, path: str) -> bool:
        """Whether VERL reads this key, or passes the keys below one of its parts to another library (vLLM's arguments,
        overrides of a model's configuration)."""
        return path in self.defaults or any(
            self.defaults.get(parent) == {} for parent in _parents(path) if parent in self.defaults
        )


@functools.cache
def recorded_keys() -> KnownKeys:
    """The keys as they were recorded."""
    text = (importlib.resources.files("lit_sql_trainer.profile") / RECORDED).read_text(encoding="utf-8")
    return KnownKeys(**json.loads(text))


def flattened(tree: Mapping[str, object]) -> dict[str, object]:
    """The leaves of a nested mapping by dotted path, in order; an empty mapping is a leaf."""
    return dict(_leaves(tree, ""))


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a key that only VERL knows becomes a value: as its default suggests."""

    read: Callable[[str], object]
    expected: str

    def __call__(self, text: str) -> object:
        return self.read(text)


def key_kinds() -> dict[str, object]:
    """Every key that VERL reads → the type of its values, for `--set`. `part.*` stands for any key below that part."""
    return {
        f"{path}.*" if default == {} else path: _kind(default) for path, default in recorded_keys().defaults.items()
    }


def _kind(default: object) -> object:
    if isinstance(default, bool):
        return bool
    if isinstance(default, int | float):
        return Kind(read_number, "a number")
    return Kind(read_value, "a value")


def read_number(text: str) -> int | float | None:
    """A number, whole when it is written so; `none` for none.

    Raises:
        ValueError: it is neither.
    """
    if text.lower() in ("none", "null"):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def read_value(text: str) -> object:
    """What JSON reads in it; true, false and none in any case; else the text itself."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _leaves(tree: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(cast("Mapping[str, object]", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _parents(path: str) -> Iterator[str]:
    parts = path.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))
