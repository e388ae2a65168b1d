"""Write the keys of the installed VERL into the trainer's `profile/verl_keys.json`.

    python scripts/record_verl_keys.py

where VERL is installed, after a change of its version. A test compares the file with the installed VERL.
Composing reads YAML files only: neither VERL nor torch is imported.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import json
from pathlib import Path
from typing import cast

from lit_sql_trainer.profile import verl_keys
from lit_sql_trainer.profile.verl_keys import KnownKeys, flattened

PACKAGES = ("verl", "agentlightning")
"""Whose configuration files the keys come from."""


def record(path: Path) -> None:
    """Write the composed keys to `path`, a key a line."""
    keys = composed_keys()
    written = {"versions": dict(keys.versions), "defaults": dict(keys.defaults)}
    path.write_text(json.dumps(written, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


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


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed", name=package)
    return Path(spec.submodule_search_locations[0])


if __name__ == "__main__":
    target = Path(verl_keys.__file__).with_name(verl_keys.RECORDED)
    record(target)
    print(target)
