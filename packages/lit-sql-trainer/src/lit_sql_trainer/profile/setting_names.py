"""Find the setting that a user names, and compose the error when there is none of that name."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence

from lit_sql_trainer.errors import ConfigError

FEW = 40
"""At most this many names are listed in an error."""


def find_setting(
    key: str, *, fields: Sequence[str], others: Collection[str] = (), absent: Mapping[str, str] | None = None
) -> str:
    """The dotted path that `key` writes, or ends: `optim.lr` is `verl.actor_rollout_ref.actor.optim.lr`.

    Args:
        key: as the user wrote it.
        fields: paths that may be shortened to any unambiguous end.
        others: further paths, which must be written whole.
        absent: paths of settings that exist elsewhere, each with the part they belong to.

    Raises:
        ConfigError: no such path, with the nearest ones, or several.
    """
    if key in fields or key in others or any(path.endswith(".*") and key.startswith(path[:-1]) for path in others):
        return key
    ending = [path for path in fields if path.endswith(f".{key}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise ConfigError(f"setting {key!r} is ambiguous: write one of {', '.join(ending)}")
    elsewhere = [path for path in absent or {} if path == key or path.endswith(f".{key}")]
    if elsewhere and absent is not None:
        part = absent[elsewhere[0]]
        leaf = key.rpartition(".")[2]
        near = [path for path in fields if leaf in path.rpartition(".")[2]] or _ending(leaf, others)
        hint = f"did you mean {' or '.join(near[:3])}?" if near else _hint(key, fields, ())
        raise ConfigError(f"setting {key!r} is one of {part}.*, which is not used here; {hint}")
    raise ConfigError(f"unknown setting {key!r}; {_hint(key, fields, others)}")


def _ending(key: str, paths: Collection[str]) -> list[str]:
    return [path for path in paths if path.endswith(f".{key}")]


def _hint(key: str, fields: Sequence[str], others: Collection[str]) -> str:
    near = _ending(key, others)[:3]
    near += difflib.get_close_matches(key, fields, n=3, cutoff=0.5)
    leaves: dict[str, list[str]] = {}
    for path in (*fields, *others):
        leaves.setdefault(path.rpartition(".")[2], []).append(path)
    for leaf in difflib.get_close_matches(key.rpartition(".")[2], leaves, n=3, cutoff=0.6):
        near += difflib.get_close_matches(key, leaves[leaf], n=1, cutoff=0.0)
    if "." in key:
        near += difflib.get_close_matches(key, others, n=2, cutoff=0.8)
    if near:
        return f"did you mean {' or '.join(list(dict.fromkeys(near))[:5])}?"
    return f"settings: {', '.join(fields)}" if len(fields) <= FEW else "`lit-sql settings PROFILE` lists them"
