"""`--set key=value` changes what it names, with the right type, or says clearly why not."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.profile import apply_assignments, assignments, from_plain, to_plain


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    low: float = 0.1
    high: float = 0.9
    rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ConfigError(f"low {self.low} must be below high {self.high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    rate: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    count: int = 1
    name: str = "x"
    on: bool = False
    colour: Colour = Colour.RED
    place: Path | None = None
    limit: int | None = None
    betas: tuple[float, float] = (0.9, 0.99)
    inner: Inner = field(default_factory=Inner)
    other: Other = field(default_factory=Other)


@pytest.mark.parametrize(
    ("text", "get", "value"),
    [
        ("count=7", lambda s: s.count, 7),
        ("name=a=b", lambda s: s.name, "a=b"),
        ("on=yes", lambda s: s.on, True),
        ("on=False", lambda s: s.on, False),
        ("colour=blue", lambda s: s.colour, Colour.BLUE),
        ("place=/data/x", lambda s: s.place, Path("/data/x")),
        ("limit=3", lambda s: s.limit, 3),
        ("limit=none", lambda s: s.limit, None),
        ("betas=0.8,0.95", lambda s: s.betas, (0.8, 0.95)),
        ("inner.low=0.5", lambda s: s.inner.low, 0.5),
        ("low=0.5", lambda s: s.inner.low, 0.5),
        (" count = 9 ", lambda s: s.count, 9),
    ],
)
def test_a_value_takes_the_type_of_its_field(text: str, get: object, value: object) -> None:
    """Each kind of field is written as a person would; the last part of a name is enough where it is unique."""
    found = get(apply_assignments(Outer(), [text]))  # type: ignore[operator]
    assert found == value
    assert type(found) is type(value)


def test_later_assignments_win_and_nothing_else_changes() -> None:
    """Assignments apply in order, to a copy."""
    start = Outer()
    changed = apply_assignments(start, ["count=2", "count=3", "inner.rate=0.5"])
    assert changed == Outer(count=3, inner=Inner(rate=0.5))
    assert start == Outer()


def test_values_that_only_fit_together_may_come_in_any_order() -> None:
    """The dataclass checks the result, not each step towards it."""
    assert apply_assignments(Outer(), ["inner.low=2", "inner.high=3"]).inner == Inner(low=2, high=3)
    with pytest.raises(ConfigError, match="must be below"):
        apply_assignments(Outer(), ["inner.low=2"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cuont=1", "unknown setting 'cuont'; did you mean count"),
        ("inner.lwo=1", "did you mean inner.low"),
        ("zzz=1", "settings: count, name"),
        ("rate=1", "ambiguous: write one of inner.rate, other.rate"),
        ("count", "has no '='"),
        ("count=many", "count='many': expected a whole number"),
        ("count=1.5", "expected a whole number"),
        ("on=perhaps", "expected true or false"),
        ("colour=green", "expected one of red, blue"),
        ("betas=1", "expected 2 values"),
        ("inner=1", "unknown setting 'inner'"),
    ],
)
def test_what_makes_no_sense_is_named(text: str, told: str) -> None:
    """An unknown key comes with the nearest names, a wrong value with what was expected."""
    with pytest.raises(ConfigError) as caught:
        apply_assignments(Outer(), [text])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_printed_can_be_set_again() -> None:
    """`assignments` and `apply_assignments` are inverse, None and booleans included."""
    odd = Outer(count=0, on=True, place=Path("a b"), betas=(0.0, 1.0), inner=Inner(low=0.0), colour=Colour.BLUE)
    assert apply_assignments(Outer(), assignments(odd)) == odd
    assert "limit=none" in assignments(odd)
    assert "count=0" in assignments(odd)


def test_settings_survive_json() -> None:
    """`from_plain` reads what `to_plain` wrote, types included; a field of another version is refused."""
    odd = Outer(colour=Colour.BLUE, place=Path("/x"), betas=(0.1, 0.2), other=Other(rate=2))
    assert from_plain(Outer, to_plain(odd)) == odd
    with pytest.raises(ConfigError, match="no setting 'gone'"):
        from_plain(Outer, {**to_plain(odd), "gone": 1})
