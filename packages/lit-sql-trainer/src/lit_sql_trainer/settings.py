"""`--set key=value` for nested frozen dataclasses: typed, checked at birth, and strict about names.

A key is the dotted path of a field (`rollout.temperature`), or its last part alone where only one field has it.
Nothing here knows which settings exist; the dataclasses say so.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from lit_sql_trainer.errors import ConfigError

T = TypeVar("T")

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def apply_assignments(settings: T, assignments: Sequence[str]) -> T:
    """A copy of `settings` with each `key=value` applied, in order; later ones win.

    Raises:
        ConfigError: an unknown or ambiguous key (with the nearest names), a value that is no value of the field's
            type, or a combination that the dataclass itself rejects.
    """
    keys = setting_types(cast("Any", type(settings)))
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(f"--set {assignment!r} has no '=': write key=value, for example seed=7")
        path = _find(key.strip(), keys)
        changes[path] = parse_value(text.strip(), keys[path], path)
    return _changed(settings, changes)  # all at once: values that only fit together may come in any order


def setting_types(kind: Any) -> dict[str, Any]:
    """Every settable field of a dataclass and of the dataclasses inside it: dotted path → type, in declared order."""
    return dict(_walk(kind, ""))


def assignments(settings: Any) -> list[str]:
    """Every setting as `key=value`, in the form that `apply_assignments` reads."""
    lines: list[str] = []
    for path in setting_types(cast("Any", type(settings))):
        value = settings
        for name in path.split("."):
            value = getattr(value, name)
        lines.append(f"{path}={_text(value)}")
    return lines


def parse_value(text: str, kind: Any, key: str) -> Any:
    """The value of type `kind` that `text` writes. Tuples are comma-separated; `none` is None where it is allowed.

    Raises:
        ConfigError: `text` writes no such value.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if type(None) in arguments and text.lower() in ("none", ""):
            return None
        return parse_value(text, next(argument for argument in arguments if argument is not type(None)), key)
    if origin is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        inner = arguments[:1] * len(parts) if arguments[-1] is Ellipsis else arguments
        if len(inner) != len(parts):
            raise ConfigError(f"{key}={text!r}: expected {len(inner)} values separated by commas")
        return tuple(parse_value(part, each, key) for part, each in zip(parts, inner, strict=True))
    try:
        if kind is bool:
            return _BOOLEANS[text.lower()]
        return kind(text)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{key}={text!r}: expected {_expected(kind)}") from error


def to_plain(settings: Any) -> dict[str, Any]:
    """The settings as nested plain values, ready for JSON; `from_plain` reads them back."""
    return {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def from_plain(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass that `to_plain` wrote.

    Raises:
        ConfigError: a field is unknown or its value is none of its type, as after a change of version.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cast("Any", kind))})
    if unknown:
        raise ConfigError(f"{kind.__name__} has no setting {unknown[0]!r}: was it written by another version?")
    return kind(**{name: _from_plain(hints[name], value, name) for name, value in values.items()})


def _walk(kind: type, prefix: str) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(cast("Any", kind)):
        inner = hints[field.name]
        if dataclasses.is_dataclass(inner):
            yield from _walk(cast("type", inner), f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, inner


def _find(key: str, keys: Mapping[str, Any]) -> str:
    if key in keys:
        return key
    same_leaf = [path for path in keys if path.rpartition(".")[2] == key]
    if len(same_leaf) == 1:
        return same_leaf[0]
    if same_leaf:
        raise ConfigError(f"setting {key!r} is ambiguous: write one of {', '.join(same_leaf)}")
    leaves = {path.rpartition(".")[2]: path for path in keys}
    near = difflib.get_close_matches(key, keys, n=3, cutoff=0.5)
    near += [leaves[leaf] for leaf in difflib.get_close_matches(key.rpartition(".")[2], leaves, n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else f"settings: {', '.join(keys)}"
    raise ConfigError(f"unknown setting {key!r}; {hint}")


def _changed(settings: T, changes: Mapping[str, Any]) -> T:
    own = {path: value for path, value in changes.items() if "." not in path}
    for name in dict.fromkeys(path.partition(".")[0] for path in changes if "." in path):
        inner = {path[len(name) + 1 :]: value for path, value in changes.items() if path.startswith(f"{name}.")}
        own[name] = _changed(getattr(settings, name), inner)
    return dataclasses.replace(cast("Any", settings), **own) if own else settings


def _expected(kind: Any) -> str:
    if isinstance(kind, enum.EnumMeta):
        return f"one of {', '.join(str(member.value) for member in cast('type[enum.Enum]', kind))}"
    names: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
    return names.get(kind, str(kind))


def _text(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, list):
        return ",".join(map(str, cast("list[Any]", plain)))
    if plain is None or isinstance(plain, bool):
        return str(plain).lower()
    return str(plain)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_plain(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in cast("tuple[Any, ...]", value)]
    return value


def _from_plain(kind: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return from_plain(cast("type[Any]", kind), value)
    if value is None:
        return None
    if typing.get_origin(kind) is tuple:
        return parse_value(",".join(map(str, value)), kind, name)
    if isinstance(value, str):
        return parse_value(value, kind, name)
    return value
