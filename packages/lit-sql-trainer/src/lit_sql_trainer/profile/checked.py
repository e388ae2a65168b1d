"""Settings as frozen values that are checked when they are made: pydantic's dataclasses, strict, with our own errors.

A class of settings is decorated by `settings("section")`. Its fields say what they accept in their types and what they
are in the docstring below them; both are read from there for messages, for `lit-sql settings` and for the JSON schema.
Every field that is wrong is named at once, by the name that `--set` knows it under.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from lit_sql_trainer.errors import SettingProblem, SettingsError

T = TypeVar("T")
Schema = Mapping[str, Any]
"""A JSON schema."""

Count = Annotated[int, Field(ge=0)]
TwoOrMore = Annotated[int, Field(ge=2)]
Positive = Annotated[int, Field(ge=1)]
PositiveNumber = Annotated[float, Field(gt=0)]
AboveOne = Annotated[float, Field(gt=1)]
NotNegative = Annotated[float, Field(ge=0)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
RefillFactor = Annotated[float, Field(ge=1, le=2)]
RunnerTimeout = Annotated[float, Field(ge=20)]

CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
def settings(section: str) -> Callable[[type[T]], type[T]]:
    """Make a class of settings, whose fields `--set` knows as `section.field`.

    Making one raises `SettingsError` with every field that is not what it must be.
    """

    def decorate(kind: type[T]) -> type[T]:
        made = cast("Any", checked_dataclass(kind, frozen=True, slots=True, kw_only=True, config=CONFIG))
        born = made.__init__

        @functools.wraps(born)
        def check(self: T, **values: object) -> None:
            try:
                born(self, **values)
            except ValidationError as error:
                raise SettingsError(problems=_problems(made, section, error)) from error

        made.__init__ = check
        return cast("type[T]", made)

    return decorate


def schema_of(kind: type) -> Schema:
    """The JSON schema of settings: types, bounds, defaults, and what each of them is."""
    return TypeAdapter(kind).json_schema()


def explanation(kind: type, name: str) -> str:
    """What a field is, in one line: the first sentence of the docstring below it."""
    fields = getattr(kind, "__pydantic_fields__", {})
    text = " ".join((fields[name].description or "").split()) if name in fields else ""
    return text.partition(". ")[0].rstrip(".")


def _problems(kind: type, section: str, error: ValidationError) -> tuple[SettingProblem, ...]:
    schema = schema_of(kind)
    problems: dict[str, SettingProblem] = {}
    for found in error.errors(include_url=False, include_context=False):
        name = str(found["loc"][0])
        path = f"{section}.{name}" if section else name
        if name in schema["properties"]:
            wanted = expected(schema["properties"][name], schema.get("$defs", {}))
        else:
            wanted = f"no such setting, only {', '.join(schema['properties'])}"
        shown = "nothing" if found["type"] == "missing" else _found(found["input"])
        problems.setdefault(name, SettingProblem(setting=path, found=shown, expected=wanted))
    return tuple(problems.values())


def expected(schema: Schema, defined: Schema) -> str:
    """What a value must be, in words, from its JSON schema."""
    if "anyOf" in schema:
        *kinds, last = [expected(each, defined) for each in schema["anyOf"]]
        return f"{', '.join(kinds)}, or {last}"
    if "$ref" in schema:
        return expected(defined[schema["$ref"].rpartition("/")[2]], defined)
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if schema.get("type") == "null":
        return "none"
    if schema.get("format") == "path":
        return "a path"
    if schema.get("type") == "array":
        return f"values separated by commas, each {expected(schema.get('items', {}), defined)}"
    return KINDS.get(schema.get("type", ""), "settings") + _bounds(schema)


def _bounds(schema: Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" between {schema['minimum']:g} and {schema['maximum']:g}"
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    said = [f"{word} {schema[key]:g}" for key, word in words.items() if key in schema]
    return f" {' and '.join(said)}" if said else ""


def _found(value: object) -> str:
    """A wrong value as a person reads it, not a page of it."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"
