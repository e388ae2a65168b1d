"""Compare two queries part by part and grade how hard one is, by Spider's rules. Nothing is executed.

Names are imported at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sql_reward.exact.levels import Hardness as Hardness
    from sql_reward.exact.levels import hardness as hardness
    from sql_reward.exact.match import Component as Component
    from sql_reward.exact.match import ExactMatch as ExactMatch
    from sql_reward.exact.match import exact_match as exact_match
    from sql_reward.exact.parser import UnparsableSqlError as UnparsableSqlError
    from sql_reward.exact.schema import Schema as Schema
    from sql_reward.exact.schema import SchemaError as SchemaError
    from sql_reward.exact.schema import read_schema as read_schema
    from sql_reward.exact.schema import read_schemas as read_schemas

__all__ = [  # noqa: RUF022  grouped by meaning
    # comparing two queries part by part
    "exact_match",
    "ExactMatch",
    "Component",
    # how hard a query is
    "hardness",
    "Hardness",
    # the names that they resolve
    "Schema",
    "read_schema",
    "read_schemas",
    # what cannot be read
    "UnparsableSqlError",
    "SchemaError",
]

_HOMES = {
    "match": ("Component", "ExactMatch", "exact_match"),
    "levels": ("Hardness", "hardness"),
    "schema": ("Schema", "SchemaError", "read_schema", "read_schemas"),
    "parser": ("UnparsableSqlError",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
