"""Drawing one chart as inline SVG: scales, ticks, lines with bands, points with whiskers, stacks, labels at the end.

Every function returns `Markup`, whose `format` escapes what it is given. Sizes are viewBox units; text is 12 of them
and stays readable when a phone shows the chart at three quarters of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 34
LABELS = 84
"""Room at the right for labels, where there are any."""
LABEL_STEP = 14.0
"""Least distance between two labels."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value at a step, with its 95 % interval where one is known."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart."""

    label: str
    css: str
    """CSS class of its colour and dash."""
    points: Sequence[Point]
    marks: bool = False
    """Points with whiskers, joined, instead of a line with a band."""


@dataclass(slots=True, kw_only=True)
class Axes:
    """Both scales of a chart."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    labelled: bool = True
    """Whether lines are named at their right end."""
    labels: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    """(y in viewBox units, text, css) of what is labelled at the right."""

    @property
    def edge(self) -> float:
        """Right end of the plot, in viewBox units."""
        return WIDTH - RIGHT - (LABELS if self.labelled else 0)

    def x(self, value: float) -> float:
        """In viewBox units."""
        span = self.x_high - self.x_low or 1.0
        return round(LEFT + (self.edge - LEFT) * (value - self.x_low) / span, 1)

    def y(self, value: float) -> float:
        """In viewBox units; values beyond the axis stay at its end."""
        span = self.y_high - self.y_low or 1.0
        share = min(1.0, max(0.0, (value - self.y_low) / span))
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers from `low` to `high`, about `count` of them."""
    span = high - low
    if span <= 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / count))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= count)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def frame(axes: Axes, *, percent: bool) -> Markup:
    """Grid and ticks."""
    parts: list[Markup] = []
    for value in ticks(axes.y_low, axes.y_high, 4):
        y = axes.y(value)
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(LEFT, y, axes.edge))
        parts.append(_text("tick", LEFT - 6, f"{y + 4:g}", _tick(value, percent), anchor="end"))
    whole = [value for value in ticks(axes.x_low, axes.x_high, 5) if value == int(value)]
    parts += [_text("tick", axes.x(value), HEIGHT - BOTTOM + 16, f"{value:g}", anchor="middle") for value in whole]
    parts.append(_text("axis", axes.edge, HEIGHT - 4, "step", anchor="end"))
    return Markup().join(parts)


def draw_series(axes: Axes, series: Series, *, band: bool = True) -> Markup:
    """One line with its band, or its points with their whiskers."""
    drawn = sorted(series.points, key=lambda point: point.x)
    if not drawn:
        return Markup()
    line = " ".join(f"{axes.x(point.x)},{axes.y(point.y)}" for point in drawn)
    parts = [Markup('<polyline class="line" points="{}"/>').format(line)] if len(drawn) > 1 else []
    if series.marks:
        parts += [_mark(axes, point) for point in drawn]
    else:
        banded = [point for point in drawn if band and point.low is not None and point.high is not None]
        if len(banded) > 1:
            upper = [f"{axes.x(point.x)},{axes.y(point.high or 0.0)}" for point in banded]
            lower = [f"{axes.x(point.x)},{axes.y(point.low or 0.0)}" for point in reversed(banded)]
            parts.insert(0, Markup('<polygon class="band" points="{}"/>').format(" ".join(upper + lower)))
        if len(drawn) == 1:
            parts.append(_dot(axes, drawn[0]))
    if axes.labelled:
        last = drawn[-1]
        if last.x < axes.x_high:  # a run that ended before another
            thread = Markup('<path class="thread" d="M{} {}H{}"/>')
            parts.append(thread.format(axes.x(last.x), axes.y(last.y), axes.edge))
        axes.labels.append((axes.y(last.y), series.label, series.css))
    css = f"{series.css} marks" if series.marks else series.css
    return Markup('<g class="{}">{}</g>').format(css, Markup().join(parts))


def draw_layer(axes: Axes, css: str, xs: Sequence[float], lower: Sequence[float], upper: Sequence[float]) -> Markup:
    """One layer of a stack; a single step becomes a bar over the whole width."""
    if len(xs) == 1:
        xs, lower, upper = [axes.x_low, axes.x_high], [*lower, *lower], [*upper, *upper]
    outline = [f"{axes.x(x)},{axes.y(y)}" for x, y in zip(xs, upper, strict=True)]
    outline += [f"{axes.x(x)},{axes.y(y)}" for x, y in zip(reversed(xs), reversed(lower), strict=True)]
    return Markup('<polygon class="layer {}" points="{}"/>').format(css, " ".join(outline))


def end_labels(axes: Axes) -> Markup:
    """The labels at the right, moved apart, each with a line in its colour to its value."""
    ordered = sorted(axes.labels)
    places: list[float] = []
    for wanted, _, _ in ordered:
        places.append(max(wanted, places[-1] + LABEL_STEP) if places else max(wanted, TOP + 4.0))
    excess = places[-1] - (HEIGHT - BOTTOM) if places else 0.0
    for index in range(len(places) - 1, -1, -1):
        if excess <= 0:
            break
        places[index] -= excess
        excess = LABEL_STEP - (places[index] - places[index - 1]) if index else 0.0
    edge = axes.edge
    lead = Markup('<g class="{}"><path class="lead" d="M{} {:.1f}L{} {:.1f}H{}"/>{}</g>')
    return Markup().join(
        lead.format(
            css, edge + 1, wanted, edge + 7, place, edge + 13, _text("label", edge + 16, f"{place + 4:.1f}", text)
        )
        for place, (wanted, text, css) in zip(places, ordered, strict=True)
    )


def _mark(axes: Axes, point: Point) -> Markup:
    whisker = Markup()
    if point.low is not None and point.high is not None:
        x, low, high = axes.x(point.x), axes.y(point.low), axes.y(point.high)
        path = f"M{x} {low}V{high}M{x - 3:g} {low}h6M{x - 3:g} {high}h6"
        whisker = Markup('<path class="whisker" d="{}"/>').format(path)
    return whisker + _dot(axes, point)


def _dot(axes: Axes, point: Point) -> Markup:
    return Markup('<circle class="dot" cx="{}" cy="{}" r="3"/>').format(axes.x(point.x), axes.y(point.y))


def _text(css: str, x: float, y: float | str, text: str, *, anchor: str = "") -> Markup:
    placed = Markup(' text-anchor="{}"').format(anchor) if anchor else Markup()
    return Markup('<text class="{}" x="{}" y="{}"{}>{}</text>').format(css, x, y, placed, text)


def _tick(value: float, percent: bool) -> str:
    return f"{100 * value:g}%" if percent else f"{value:g}"
