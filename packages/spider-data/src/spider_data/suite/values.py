"""Choose values for one column of a variant: its own, constants of gold queries with their neighbours, and new ones.

The type of a value follows what the column holds, not what it declares: text in an integer column stays text, and a
JSON document stays a JSON document. Whole numbers stay within SQLite's 64 bits and dates within the calendar. All
functions are pure: they depend only on their arguments and the given random generator.
"""

from __future__ import annotations

import random
import re
import string
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from math import isfinite

from spider_data.suite.documents import are_documents, other_document, parse
from spider_data.suite.golds import Condition
from spider_data.suite.schema import Scalar

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_WHOLE = re.compile(r"-?[0-9]+")
LEAST, GREATEST = -(2**63), 2**63 - 1
"""The range of SQLite's whole numbers."""
_WIDEST = 1e300
"""The range of drawn real numbers; the difference of two of them never overflows."""
_LONG = 1000
"""A text of more digits counts only as text, not as a number."""
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jade", "kelp", "lotus")


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """The facts of a column, collected before any variant is made."""

    own: tuple[Scalar, ...]
    """Distinct values without NULL, in order of appearance."""
    null_share: float
    constants: tuple[Scalar, ...]
    """Constants with which gold queries compare the column, and texts that match their LIKE patterns."""
    is_unique: bool
    """Whether the file itself forbids duplicates."""
    looks_unique: bool
    """Whether at least four sampled values have no duplicates."""
    declared: str
    is_plain: bool = False
    """Whether only the column's own values may be used, because a gold query failed on other values."""

    @cached_property
    def is_json(self) -> bool:
        """Whether every value is a JSON object or list."""
        return are_documents(self.own)

    @cached_property
    def span(self) -> tuple[float, float, float]:
        """Smallest and greatest number to draw, around the column's own numbers; and the column's own greatest."""
        numbers = [value for value in self.own if isinstance(value, int | float) and abs(value) <= _WIDEST] or [0]
        low, high = min(numbers), max(numbers)
        margin = max((high - low) / 5, 2)
        return (max(0, low - margin) if low >= 0 else low - margin, high + margin, high)


def column_facts(
    *,
    values: list[Scalar],
    constants: list[Scalar],
    patterns: list[str],
    is_unique: bool,
    not_null: bool,
    declared: str,
) -> ColumnFacts:
    """Summarise the sampled values of a column and the constants of the gold queries for it."""
    present = [value for value in values if value is not None]
    own = tuple(dict.fromkeys(present))
    fitting = [fit_type(value, own) for value in constants]
    if are_documents(own):
        fitting, patterns = [value for value in fitting if isinstance(value, str) and parse(value) is not None], []
    return ColumnFacts(
        own=own[:600],
        null_share=0.0 if not_null or not values else 1 - len(present) / len(values),
        constants=tuple(dict.fromkeys([*fitting, *(text for p in patterns for text in matching_texts(p))])),
        is_unique=is_unique,
        looks_unique=len(present) >= 4 and len(own) == len(present),
        declared=declared,
    )


def make_pool(facts: ColumnFacts, rng: random.Random, *, size: int, fresh: int) -> list[Scalar]:
    """The values of a column in one variant: `size` of its own, most constants, some neighbours, some new ones."""
    pool = rng.sample(facts.own, min(size, len(facts.own)))
    if facts.is_plain and pool:
        return pool
    for constant in facts.constants:
        if rng.random() < 0.8:
            pool.append(constant)
        if rng.random() < 0.5 and not facts.is_json:
            pool.append(rng.choice(neighbours(constant)))
    pool += [fresh_value(facts, rng) for _ in range(fresh if pool else max(fresh, 4))]
    return list(dict.fromkeys(pool))


def fit_type(value: Scalar, own: tuple[Scalar, ...]) -> Scalar:
    """A constant in the type that the column holds: `'80000'` becomes 80000 beside integers."""
    kinds = {type(item) for item in own[:50]}
    if isinstance(value, str) and kinds and kinds <= {int, float}:
        return _number_in(value, whole=int in kinds)
    if isinstance(value, int | float) and kinds == {str}:
        return str(value)
    if isinstance(value, int) and kinds == {float}:
        return float(value)
    return value


def neighbours(value: Scalar) -> list[Scalar]:
    """Values next to a constant: one more or one less, another day, a prefix, a suffix, another case."""
    if isinstance(value, bool | bytes) or value is None:
        return [value]
    if isinstance(value, int):
        return [within(value - 1), within(value + 1)]
    if isinstance(value, float):
        return [value - 1, value + 1, value - 0.5, value + 0.5]
    day = _as_date(value)
    if day is not None:
        return [_shifted(day, -1) + value[10:], _shifted(day, 1) + value[10:]]
    if len(value) <= _LONG and _WHOLE.fullmatch(value):
        return [str(int(value) - 1), str(int(value) + 1)]
    found: list[Scalar] = [value + "s", "A" + value, value.lower(), value.upper(), value[:-1], value[1:]]
    return [item for item in found if item not in ("", value)] or [value + "x"]


def fresh_value(facts: ColumnFacts, rng: random.Random) -> Scalar:
    """A value that the column does not hold and could hold: of the same kind, in or near the same range."""
    if not facts.own:
        return _from_declared(facts.declared, rng)
    if facts.is_json:
        return other_document([str(value) for value in facts.own], rng)
    model = rng.choice(facts.own)
    if isinstance(model, bytes):
        return bytes(rng.randrange(256) for _ in range(min(len(model), 16)))
    if isinstance(model, int | float):
        return _fresh_number(model, facts.span, rng)
    if model is None:
        return None
    day = _as_date(model)
    if day is not None:
        return _shifted(day, rng.randint(-400, 400)) + model[10:]
    if len(model) <= _LONG and model[:1] != "-" and _WHOLE.fullmatch(model):
        return str(rng.randrange(10 ** len(model))).zfill(len(model) if model[0] == "0" else 1)
    other = str(rng.choice(facts.own))
    mixed = model[: (len(model) + 1) // 2] + other[len(other) // 2 :]
    return mixed if mixed not in (model, other) else model + rng.choice(string.ascii_lowercase)


def unused_value(facts: ColumnFacts, rng: random.Random, taken: set[Scalar]) -> Scalar:
    """A new value that is not in `taken`: the next number, or a text or blob with a suffix."""
    for _ in range(8):
        value = fresh_value(facts, rng)
        if value not in taken and value is not None:
            return value
    numbers = [value for value in taken if isinstance(value, int)]
    if numbers:
        top = max(*numbers, int(facts.span[2]) if facts.own else 0) + rng.randint(1, 3)
        if top <= GREATEST:
            return top
        return next(value for value in range(rng.randint(1, 9), GREATEST) if value not in taken)
    stem = fresh_value(facts, rng)
    count = 1
    while (value := _suffixed(stem, count, facts)) in taken:
        count += 1
    return value


def meeting(condition: Condition, rng: random.Random, facts: ColumnFacts) -> Scalar:
    """A value that meets a condition; one time in four the boundary value, where a wrong comparison shows."""
    value = fit_type(condition.value, facts.own)
    if facts.is_json or facts.is_plain:
        own = [item for item in facts.own if condition.op != "LIKE" and _holds(item, condition.op, value)]
        return rng.choice(own or facts.own or (value,))
    if condition.op == "LIKE":
        return rng.choice(matching_texts(str(value)))
    if condition.op in ("=", "<=", ">=") and rng.random() < (1.0 if condition.op == "=" else 0.4):
        return value
    if rng.random() < 0.25:
        return value
    own = [item for item in facts.own if _holds(item, condition.op, value)]
    if own and rng.random() < 0.6:
        return rng.choice(own)
    beside = [item for item in neighbours(value) if _holds(item, condition.op, value)]
    return rng.choice(beside) if beside else value


def matching_texts(pattern: str) -> list[str]:
    """Texts that match a LIKE pattern, with and without extra characters."""
    single = pattern.replace("_", "o")
    return list(dict.fromkeys([single.replace("%", ""), single.replace("%", "Ab "), single.replace("%", "z")]))


def _holds(left: Scalar, op: str, right: Scalar) -> bool:
    if isinstance(left, str) != isinstance(right, str) or left is None or right is None:
        return False
    if isinstance(left, bytes) or isinstance(right, bytes):
        return False
    if op == "<>":
        return left != right
    low, high = (left, right) if op in ("<", "<=") else (right, left)
    if isinstance(low, str) or isinstance(high, str):
        return str(low) < str(high)
    return low < high


def within(value: int) -> int:
    """The nearest whole number that SQLite can hold."""
    return min(max(value, LEAST), GREATEST)


def _number_in(text: str, *, whole: bool) -> Scalar:
    """The number in a text, as SQLite would store it; the text itself when it is no number."""
    try:
        value = int(text) if whole and len(text) <= _LONG else float(text)
    except ValueError:
        return text
    if isinstance(value, int):
        return value if LEAST <= value <= GREATEST else float(value) if abs(value) < _WIDEST else text
    return value if isfinite(value) else text


def _suffixed(stem: Scalar, count: int, facts: ColumnFacts) -> Scalar:
    if isinstance(stem, bytes):
        return stem + count.to_bytes(4, "big")
    return f"{stem}{' ' * count}" if facts.is_json else f"{stem}{count}"  # blanks after a document are not part of it


def _shifted(day: date, days: int) -> str:
    """The date so many days later, or the nearest that the calendar allows."""
    return str(date.fromordinal(min(max(day.toordinal() + days, 1), date.max.toordinal())))


def _as_date(text: str) -> date | None:
    match = _DATE.match(text)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def _fresh_number(model: float, span: tuple[float, float, float], rng: random.Random) -> int | float:
    low, high, _ = span
    if isinstance(model, int):
        return rng.randint(within(int(low)), within(int(high)))
    if not isfinite(model):
        return model
    decimals = min(len(repr(model).partition(".")[2]), 4)
    return round(rng.uniform(low, high), decimals)


def _from_declared(declared: str, rng: random.Random) -> Scalar:
    """SQLite's affinity rules, for a column that holds no value."""
    if "INT" in declared or "BOOL" in declared:
        return rng.randint(1, 20)
    if declared == "BLOB":
        return bytes(rng.randrange(256) for _ in range(8))
    if any(word in declared for word in ("REAL", "FLOA", "DOUB", "NUM", "DEC")):
        return round(rng.uniform(1, 100), 1)
    if "DATE" in declared or "TIME" in declared:
        return str(date(2015, 1, 1) + timedelta(days=rng.randrange(3000)))
    return rng.choice(_WORDS) + rng.choice(("", " " + rng.choice(_WORDS)))
