"""`--set key=value` for nested frozen dataclasses: typed, checked when the values are made, and strict about names.

Text is for the command line only: in Python a setting is a value, and a profile a `replace` of another.

A key is the dotted path of a field (`rollout.max_turns`), or so much of its end as only one field has. A part that
is None has no settings: its keys are refused. A mapping field may accept further keys by name (see `OPEN`).
Nothing here knows which settings exist; the dataclasses say so.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from lit_sql_trainer.errors import ConfigError, SettingProblem, SettingsError
from lit_sql_trainer.profile.checked import expected, explanation, schema_of
from lit_sql_trainer.profile.setting_names import find_setting

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)
else:
    T = TypeVar("T")

OPEN = "open"
"""Metadata of a mapping field: a function without arguments that gives the names it accepts, each with its type.
Such a name is written where the mapping's neighbours are: the mapping itself has no name in a key. `part.*` accepts
every name below `part`."""

COMMENT = "  # "
"""Begins what `lit-sql settings` says about a setting; `apply_assignments` reads no further."""

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    kind: object
    """Type of its value."""
    mapping: str | None = None
    """Path of the mapping that holds it, when it is no field of its own."""
    name: str = ""
    """Its name in that mapping."""
    about: str = ""
    """What it is, in one line."""


def apply_assignments(settings: T, assignments: Sequence[str]) -> T:
    """A copy of `settings` with each `key=value` applied, in order; later ones win.

    Raises:
        ConfigError: an unknown or ambiguous key (with the nearest names), a value that is no value of the field's
            type, or a combination that the dataclass itself rejects. Everything that is wrong is said at once.
    """
    if not assignments:
        return settings
    known = dict(_walk(settings))
    fields = [path for path, setting in known.items() if setting.mapping is None]
    changes: dict[str, object] = {}
    wrong: list[ConfigError] = []
    for assignment in assignments:
        key, separator, text = assignment.partition(COMMENT)[0].partition("=")
        try:
            if not separator:
                raise ConfigError(f"--set {assignment!r} has no '=': write key=value, for example seed=7")
            path = find_setting(key.strip(), fields=fields, others=known, absent=_absent(settings))
            setting = known.get(path) or _below(known, path)
            value = parse_value(text.strip(), setting.kind, path)
        except ConfigError as error:
            wrong.append(error)
            continue
        if setting.mapping is None:
            changes[path] = value
        else:
            held = changes.get(setting.mapping) or attrgetter(setting.mapping)(settings)
            changes[setting.mapping] = {**cast("Mapping[str, object]", held), setting.name: value}
    changed = _changed(settings, changes, wrong)  # together: values that only fit together may come in any order
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        problems = [problem for error in wrong if isinstance(error, SettingsError) for problem in error.problems]
        raise SettingsError(
            problems=problems, others=[error for error in wrong if not isinstance(error, SettingsError)]
        )
    return changed


def assignments(settings: DataclassInstance) -> list[str]:
    """Every setting as `key=value`, in the form that `apply_assignments` reads; of open names, those that are set."""
    lines: list[str] = []
    for path, setting in _walk(settings):
        if setting.mapping is None:
            lines.append(f"{path}={_text(attrgetter(path)(settings))}")
    for mapping in dict.fromkeys(setting.mapping for _, setting in _walk(settings) if setting.mapping is not None):
        prefix = mapping.rpartition(".")[0]
        held: Mapping[str, object] = attrgetter(mapping)(settings)
        lines += [f"{prefix}.{name}={_text(value)}".lstrip(".") for name, value in held.items()]
    return lines


def explained(settings: DataclassInstance) -> list[str]:
    """As `assignments`, each with what it is in one line."""
    known = dict(_walk(settings))
    lines: list[str] = []
    for line in assignments(settings):
        setting = known.get(line.partition("=")[0])
        lines.append(f"{line}{COMMENT}{setting.about}" if setting is not None and setting.about else line)
    return lines


def parse_value(text: str, kind: object, key: str) -> object:
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
            raise _no_value(key, text, f"{len(inner)} values separated by commas")
        return tuple(parse_value(part, each, key) for part, each in zip(parts, inner, strict=True))
    try:
        if kind is bool:
            return _BOOLEANS[text.lower()]
        return cast("Callable[[str], object]", kind)(text)
    except (ValueError, KeyError, TypeError) as error:
        raise _no_value(key, text, _expected(kind)) from error


def _no_value(key: str, text: str, wanted: str) -> SettingsError:
    return SettingsError(problems=[SettingProblem(setting=key, found=repr(text), expected=wanted)])


def to_plain(settings: DataclassInstance) -> dict[str, object]:
    """The settings as nested plain values, ready for JSON; `from_plain` reads them back."""
    return cast("dict[str, object]", to_jsonable_python(settings))


def from_plain(kind: type[T], values: Mapping[str, object]) -> T:
    """The dataclass that `to_plain` wrote.

    Raises:
        ConfigError: a field is unknown or its value is none of its type, as after a change of version.
    """
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(kind)})
    if unknown:
        raise ConfigError(f"{kind.__name__} has no setting {unknown[0]!r}: was it written by another version?")
    try:
        return _adapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"setting {place!r}: {first['msg']}: was it written by another version?") from error


@functools.cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def _walk(settings: DataclassInstance, prefix: str = "") -> Iterator[tuple[str, _Setting]]:
    """Every setting by its path: the fields in declared order, then the names that a mapping accepts."""
    hints = typing.get_type_hints(type(settings))
    opened: list[tuple[str, Callable[[], Mapping[str, object]]]] = []
    taken: set[str] = set()
    for field in dataclasses.fields(settings):
        path, value = prefix + field.name, getattr(settings, field.name)
        if OPEN in field.metadata:
            opened.append((path, field.metadata[OPEN]))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            for inner, setting in _walk(value, f"{path}."):
                taken.add(inner)
                yield inner, setting
        elif _dataclass_in(hints[field.name]) is None:
            taken.add(path)
            yield path, _Setting(kind=hints[field.name], about=explanation(type(settings), field.name))
    for mapping, names in opened:
        for name, kind in names().items():
            if prefix + name not in taken:
                yield prefix + name, _Setting(kind=kind, mapping=mapping, name=name)


def _below(known: Mapping[str, _Setting], path: str) -> _Setting:
    """The setting that an open name such as `part.*` stands for."""
    pattern = next(name for name in known if name.endswith(".*") and path.startswith(name[:-1]))
    setting = known[pattern]
    return dataclasses.replace(setting, name=setting.name[:-1] + path[len(pattern) - 1 :])


def _absent(settings: DataclassInstance) -> dict[str, str]:
    """Paths of the fields that these settings do not have, because the part that would hold them is None."""
    hints = typing.get_type_hints(type(settings))
    found: dict[str, str] = {}
    for field in dataclasses.fields(settings):
        kind = _dataclass_in(hints[field.name])
        if kind is not None and getattr(settings, field.name) is None:
            found.update({f"{field.name}.{path}": field.name for path, _ in _walk(kind())})
    return found


def _dataclass_in(hint: object) -> type[DataclassInstance] | None:
    """The dataclass that a type is, or is when it is not None."""
    kinds = typing.get_args(hint) or (hint,)
    return next((kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)), None)


def _changed(settings: T, changes: Mapping[str, object], wrong: list[ConfigError]) -> T:
    """The settings with the changes made; what is wrong with them is added to `wrong`, and left as it was."""
    own = {path: value for path, value in changes.items() if "." not in path}
    for name in dict.fromkeys(path.partition(".")[0] for path in changes if "." in path):
        inner = {path[len(name) + 1 :]: value for path, value in changes.items() if path.startswith(f"{name}.")}
        own[name] = _changed(getattr(settings, name), inner, wrong)
    try:
        return dataclasses.replace(settings, **own) if own else settings
    except ConfigError as error:
        if isinstance(error, SettingsError) or not wrong:  # whether values fit together, only right ones can say
            wrong.append(error)
        return settings


def _expected(kind: object) -> str:
    return str(getattr(kind, "expected", "")) or expected(schema_of(cast("type", kind)), {})


def _text(value: object) -> str:
    plain = to_jsonable_python(value)
    if isinstance(plain, list):
        return ",".join(map(str, cast("list[object]", plain)))
    if plain is None or isinstance(plain, bool):
        return str(plain).lower()
    return str(plain)
