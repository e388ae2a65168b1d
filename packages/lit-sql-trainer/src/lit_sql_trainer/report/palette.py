"""The report's colours, for light and dark surfaces, which colour-blind readers can tell apart.

Neighbours in a stack, and any two of the first four runs, differ clearly in lightness or in a hue that all common
kinds of colour blindness keep; `tests/report/test_palette.py` simulates them. Colour is never the only sign:
runs also have a letter and a dash pattern, layers a label and a gap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colour:
    """One colour on a light and on a dark surface, as `#rrggbb`."""

    light: str
    dark: str


SURFACE = {
    "bg": Colour("#f7f7f5", "#15181b"),
    "panel": Colour("#ffffff", "#1d2125"),
    "ink": Colour("#1b1f23", "#e8eaed"),
    "muted": Colour("#575d64", "#a3abb4"),
    "rule": Colour("#d8dbdf", "#3a4048"),
    "code": Colour("#f1f2f0", "#262b30"),
    "good": Colour("#00674c", "#4fd0a5"),
    "bad": Colour("#a63603", "#ff9966"),
}

RUNS = (
    Colour("#0072b2", "#56b4e9"),
    Colour("#d55e00", "#ff8f4a"),
    Colour("#1b1f23", "#f2f2f2"),
    Colour("#cc79a7", "#a64d79"),
    Colour("#00866a", "#35c29b"),
    Colour("#c79100", "#f0d548"),
    Colour("#56a4d9", "#2f7fb5"),
    Colour("#7a2e0e", "#b5562a"),
)
"""One for each run of a report."""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 2", "1 2", "12 3", "4 2 1 2")

OUTCOMES = {
    "match": Colour("#0072b2", "#3f97d3"),
    "mismatch": Colour("#a8cfe8", "#27506d"),
    "sql_error": Colour("#e69f00", "#e6a51f"),
    "no_sql": Colour("#8c2d04", "#b8430f"),
    "forbidden": Colour("#c9c9c9", "#d6d6d6"),
    "timeout": Colour("#6b3d6b", "#7d4a7d"),
    "too_large": Colour("#e3b5d4", "#e3b5d4"),
}
"""By `Outcome`, best first, which is lowest in a stack."""

LAYERS = (
    Colour("#0072b2", "#3f97d3"),
    Colour("#a8cfe8", "#27506d"),
    Colour("#e69f00", "#e6a51f"),
    Colour("#8c2d04", "#b8430f"),
    Colour("#c9c9c9", "#d6d6d6"),
)
"""For stacks of anything else, lowest first."""


def css_variables() -> str:
    """Every colour as a custom property, light first and dark where the reader prefers it, light again on paper."""
    named = _named()
    light = "".join(f"--{name}:{colour.light};" for name, colour in named.items())
    dark = "".join(f"--{name}:{colour.dark};" for name, colour in named.items())
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n" + _classes()
    )


def without_variables(css: str) -> str:
    """The same rules with light colours written out, for a picture that may be opened where CSS has no variables."""
    light = {name: colour.light for name, colour in _named().items()}
    css = (_classes() + css).replace("--c:", "color:").replace("var(--c)", "currentColor")
    return re.sub(r"var\(--([a-z0-9_-]+)\)", lambda found: light[found[1]], css)


def _named() -> dict[str, Colour]:
    return {
        **SURFACE,
        **{f"run{number}": colour for number, colour in enumerate(RUNS)},
        **{f"outcome-{name}": colour for name, colour in OUTCOMES.items()},
        **{f"layer{number}": colour for number, colour in enumerate(LAYERS)},
    }


def _classes() -> str:
    rules: list[str] = []
    for number, dash in enumerate(DASHES):
        rules.append(f".run{number}{{--c:var(--run{number})}}.run{number} .line{{stroke-dasharray:{dash or 'none'}}}")
        rules.append(f".hide-run{number} .run{number}:not(label, label *){{display:none}}")
    rules += [f".outcome-{name}{{--c:var(--outcome-{name})}}" for name in OUTCOMES]
    rules += [f".layer{number}{{--c:var(--layer{number})}}" for number in range(len(LAYERS))]
    return "\n".join(rules) + "\n"
