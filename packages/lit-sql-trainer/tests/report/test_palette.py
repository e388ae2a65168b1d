"""Colours that have to be told apart can be, by readers of every common kind of colour vision."""

from __future__ import annotations

import itertools

import pytest

from lit_sql_trainer.report.palette import DASHES, LAYERS, OUTCOMES, RUNS, SURFACE, Colour

# Linear RGB as dichromats see it, from Machado, Oliveira and Fernandes 2009, severity 1.0.
VISION = {
    "full": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
APART = 20.0
"""Least difference in CIE Lab (1976); 2 is just noticed side by side."""


def linear(colour: str) -> list[float]:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def lab(rgb: list[float]) -> tuple[float, float, float]:
    r, g, b = (min(1.0, max(0.0, channel)) for channel in rgb)
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: str, other: str, vision: str) -> float:
    seen = [
        lab([sum(m * c for m, c in zip(row, linear(x), strict=True)) for row in VISION[vision]]) for x in (one, other)
    ]
    return sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    lights = sorted(sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(x), strict=True)) for x in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("surface", ["light", "dark"])
def test_what_lies_side_by_side_differs(vision: str, surface: str) -> None:
    """Neighbours in both stacks, common outcomes among each other, and any two of the first four runs."""

    def shown(colours: list[Colour]) -> list[str]:
        return [getattr(colour, surface) for colour in colours]

    pairs = [
        *itertools.pairwise(shown(list(OUTCOMES.values()))),
        *itertools.combinations(shown([OUTCOMES[name] for name in ("match", "mismatch", "sql_error", "no_sql")]), 2),
        *itertools.pairwise(shown(list(LAYERS))),
        *itertools.combinations(shown(list(RUNS[:4])), 2),
    ]
    for one, other in pairs:
        assert distance(one, other, vision) > APART, (one, other)


@pytest.mark.parametrize("surface", ["light", "dark"])
def test_text_can_be_read(surface: str) -> None:
    """Contrast of every colour of text with what it stands on is at least 4.5 to 1, of lines 3 to 1 for six runs."""
    for ground in ("bg", "panel", "code"):
        for name in ("ink", "muted", "good", "bad"):
            pair = [getattr(SURFACE[each], surface) for each in (ground, name)]
            assert contrast(*pair) >= 4.5, (ground, name)
    for colour in RUNS[:4]:
        assert contrast(getattr(colour, surface), getattr(SURFACE["panel"], surface)) >= 3.0, colour


def test_every_run_has_a_dash_pattern_of_its_own() -> None:
    """In print and for those who see no colour."""
    assert len(set(DASHES)) == len(DASHES) == len(RUNS)
