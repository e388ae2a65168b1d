"""Make charts: each has a picture, a description for readers who cannot see it, and a table of its numbers.

A `Chart` is data; `templates/chart.html.jinja` makes the figure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lit_sql_trainer.report.svg import LEFT, WIDTH, Axes, Point, Series, draw_layer, draw_series, end_labels, frame

Cell = Callable[[Point], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a stack, from its bottom."""

    label: str
    css: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One figure of the report."""

    title: str
    note: str
    css: str
    words: str
    """What the picture shows, in a sentence."""
    picture: Markup
    """What is inside the `<svg>`, in viewBox units."""
    axes: Axes
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    """(step, a cell for each column) of the table, by step."""

    @property
    def name(self) -> str:
        """The title as part of an element's id."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower())

    @property
    def left(self) -> float:
        """Where the plot begins, as a share of the picture's width."""
        return LEFT / WIDTH

    @property
    def right(self) -> float:
        """Where the plot ends, as a share of the picture's width."""
        return self.axes.edge / WIDTH


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    note: str = "",
    percent: bool = False,
    floor: float | None = 0.0,
    ceiling: float | None = None,
    bands: bool = True,
) -> Chart | None:
    """Lines over the steps; None when there is nothing to draw.

    The value axis reaches from `floor` to `ceiling`, or as far as the values when one is None. Bands of several runs
    would cover each other, so without `bands` the intervals of lines are only in the table.
    """
    drawn = [each for each in series if each.points]
    if not drawn:
        return None
    points = [point for each in drawn for point in each.points]
    values = [value for point in points for value in (point.y, point.low, point.high) if value is not None]
    low = min(values) if floor is None else min(floor, *values, floor)
    high = max([*values, low]) if ceiling is None else ceiling
    axes = Axes(
        x_low=min(point.x for point in points),
        x_high=max(point.x for point in points),
        y_low=low,
        y_high=high if high > low else low + 1.0,
        labelled=any(each.label for each in drawn),
    )
    body = Markup().join(draw_series(axes, each, band=bands) for each in drawn)
    return _chart(title, note, "", axes, body, drawn, percent=percent)


def stack_chart(
    title: str,
    xs: Sequence[float],
    layers: Sequence[Layer],
    *,
    css: str = "",
    note: str = "",
    percent: bool = False,
) -> Chart | None:
    """Layers that add up, over the steps; None when there is nothing to draw."""
    kept = [layer for layer in layers if any(layer.values)]
    if not kept or not xs:
        return None
    bottoms = [0.0] * len(xs)
    totals = [math.fsum(layer.values[at] for layer in kept) for at in range(len(xs))]
    axes = Axes(x_low=min(xs), x_high=max(xs), y_low=0.0, y_high=1.0 if percent else max(totals))
    parts: list[Markup] = []
    for layer in kept:
        tops = [bottom + value for bottom, value in zip(bottoms, layer.values, strict=True)]
        parts.append(draw_layer(axes, layer.css, xs, bottoms, tops))
        axes.labels.append((axes.y((bottoms[-1] + tops[-1]) / 2), layer.label, layer.css))
        bottoms = tops
    table = [
        Series(label=layer.label, css="", points=[Point(x, y) for x, y in zip(xs, layer.values, strict=True)])
        for layer in kept
    ]
    return _chart(title, note, css, axes, Markup().join(parts), table, percent=percent)


def _chart(
    title: str, note: str, css: str, axes: Axes, body: Markup, series: Sequence[Series], *, percent: bool
) -> Chart:
    cell = _percent if percent else _number
    return Chart(
        title=title,
        note=note,
        css=css,
        words="; ".join(_in_words(each, cell) for each in series),
        picture=frame(axes, percent=percent) + body + end_labels(axes),
        axes=axes,
        columns=[each.label for each in series],
        rows=_rows(series, cell),
    )


def _rows(series: Sequence[Series], cell: Cell) -> list[tuple[str, list[str]]]:
    by_step: dict[float, list[str]] = {}
    for column, each in enumerate(series):
        for point in each.points:
            by_step.setdefault(point.x, [""] * len(series))[column] = cell(point)
    return [(f"{step:g}", by_step[step]) for step in sorted(by_step)]


def _in_words(series: Series, cell: Cell) -> str:
    points = sorted(series.points, key=lambda point: point.x)
    first, last = points[0], points[-1]
    if len(points) == 1:
        return f"{series.label}: {cell(first)} at step {first.x:g}"
    highest = max(points, key=lambda point: point.y)
    return (
        f"{series.label}: from {cell(first)} at step {first.x:g} to {cell(last)} at step {last.x:g}, highest "
        f"{cell(highest)} at step {highest.x:g}"
    )


def _number(point: Point) -> str:
    return _spread(point, lambda value: f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}")


def _percent(point: Point) -> str:
    return _spread(point, lambda value: f"{value:.1%}")


def _spread(point: Point, text: Callable[[float], str]) -> str:
    interval = f" ({text(point.low)}–{text(point.high)})" if point.low is not None and point.high is not None else ""
    return text(point.y) + interval
