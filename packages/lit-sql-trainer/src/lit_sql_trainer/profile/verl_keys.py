"""The keys that VERL knows: composed from the installed VERL, or from the list that was recorded of one.

VERL merges whatever it is given into its configuration, so a misspelt key changes nothing and is never reported.
Here every key is looked up before anything is started. The recorded list is `verl_keys.json`, written by
`scripts/record_verl_keys.py`. Composing reads YAML files only: neither VERL nor torch is imported.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.resources
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

RECORDED = "verl_keys.json"
PACKAGES = ("verl", "agentlightning")
"""Whose configuration files the keys come from."""


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
        """Whether VERL reads this key, or leaves the keys below one of its parts to somebody else (vLLM's arguments,
        overrides of a model's configuration)."""
        return path in self.defaults or any(
            self.defaults.get(parent) == {} for parent in _parents(path) if parent in self.defaults
        )


def known_keys() -> KnownKeys:
    """The keys of the installed VERL; the recorded ones where none is installed, or where the versions are the same."""
    recorded = recorded_keys()
    installed = installed_versions()
    if installed is None or installed == recorded.versions:
        return recorded
    return composed_keys()


@functools.cache
def recorded_keys() -> KnownKeys:
    """The keys as they were recorded."""
    text = (importlib.resources.files("lit_sql_trainer.profile") / RECORDED).read_text(encoding="utf-8")
    return KnownKeys(**json.loads(text))


def installed_versions() -> dict[str, str] | None:
    """The versions that are installed, or None when a package is missing."""
    try:
        return {name: importlib.metadata.version(name) for name in PACKAGES}
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def composed_keys() -> KnownKeys:
    """The keys of the installed VERL, with those that Agent-lightning adds, in the order in which it merges them.

    Raises:
        ModuleNotFoundError: VERL or hydra is not installed.
    """
    from hydra import compose, initialize_config_dir  # pyright: ignore[reportMissingImports, reportUnknownVariableType]  only in the GPU environment
    from omegaconf import OmegaConf  # pyright: ignore[reportMissingImports, reportUnknownVariableType]  as above

    with initialize_config_dir(version_base=None, config_dir=str(_folder("verl") / "trainer" / "config")):
        composed = cast("object", compose(config_name="ppo_trainer"))
    added = OmegaConf.load(_folder("agentlightning") / "verl" / "config.yaml")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  as above
    OmegaConf.set_struct(composed, False)  # pyright: ignore[reportUnknownMemberType]  as above
    merged = OmegaConf.merge(composed, added)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  as above
    plain = cast("dict[str, object]", OmegaConf.to_container(merged, resolve=False))  # pyright: ignore[reportUnknownMemberType]  as above
    for name in ("defaults", "hydra"):  # how Agent-lightning's file finds VERL's
        plain.pop(name, None)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    defaults = flattened(plain)
    for path, target in [item for item in defaults.items() if item[0].endswith("._target_")]:
        part = path.removesuffix("_target_")
        written = {key.removeprefix(part).partition(".")[0] for key in defaults}
        for name, default in _fields(str(target)).items():
            if name not in written:
                defaults[part + name] = default
    return KnownKeys(versions=versions, defaults=defaults)


def _fields(target: str) -> dict[str, object]:
    """Fields of VERL's dataclass `target`, which its YAML files need not write → default; read, not imported."""
    fields: dict[str, object] = {}
    wanted = [target.rpartition(".")[2]]
    classes = _config_classes()
    while wanted:
        found = classes.get(wanted.pop())
        if found is not None:
            bases, own = found
            wanted += bases
            fields = {**own, **fields}
    return fields


@functools.cache
def _config_classes() -> dict[str, tuple[list[str], dict[str, object]]]:
    """Name → base names and public fields of every class in VERL's configuration modules."""
    found: dict[str, tuple[list[str], dict[str, object]]] = {}
    for folder in ("trainer/config", "workers/config", "utils/profiler"):
        for file in sorted((_folder("verl") / folder).glob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                    own = {
                        item.target.id: _literal(item.value)
                        for item in node.body
                        if isinstance(item, ast.AnnAssign)
                        and isinstance(item.target, ast.Name)
                        and not item.target.id.startswith("_")
                    }
                    found[node.name] = (bases, own)
    return found


def _literal(node: ast.expr | None) -> object:
    """The value that is written, or None for one that is computed."""
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


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
    return {f"{path}.*" if default == {} else path: _kind(default) for path, default in known_keys().defaults.items()}


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


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed", name=package)
    return Path(spec.submodule_search_locations[0])
