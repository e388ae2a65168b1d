"""A chart with all that belongs to it: caption, picture, words for those who cannot see it, a slider, its table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from lit_sql_trainer.report.svg import (
    HEIGHT,
    LEFT,
    WIDTH,
    Axes,
    Point,
    Series,
    draw_layer,
    draw_series,
    end_labels,
    frame,
)

Cell = Callable[[Point], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a stack, from its bottom."""

    label: str
    css: str
    values: Sequence[float]


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    note: str = "",
    percent: bool = False,
    floor: float | None = 0.0,
    ceiling: float | None = None,
    bands: bool = True,
) -> str:
    """Lines over the steps as a `<figure>`; empty when there is nothing to draw.

    The value axis reaches from `floor` to `ceiling`, or as far as the values do where one is None. Bands of several
    runs would cover each other: without `bands`, the intervals of lines are only in the table.
    """
    drawn = [each for each in series if each.points]
    if not drawn:
        return ""
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
    body = "".join(draw_series(axes, each, band=bands) for each in drawn)
    cell = _percent if percent else _number
    words = "; ".join(_in_words(each, cell) for each in drawn)
    picture = frame(axes, percent=percent) + body + end_labels(axes)
    return _figure(title, note, words, picture, axes, [(each.label, list(each.points)) for each in drawn], cell)


def stack_chart(
    title: str,
    xs: Sequence[float],
    layers: Sequence[Layer],
    *,
    css: str = "",
    note: str = "",
    percent: bool = False,
) -> str:
    """Layers that add up, over the steps, as a `<figure>`; empty when there is nothing to draw."""
    kept = [layer for layer in layers if any(layer.values)]
    if not kept or not xs:
        return ""
    bottoms = [0.0] * len(xs)
    totals = [math.fsum(layer.values[at] for layer in kept) for at in range(len(xs))]
    axes = Axes(x_low=min(xs), x_high=max(xs), y_low=0.0, y_high=1.0 if percent else max(totals))
    parts: list[str] = []
    for layer in kept:
        tops = [bottom + value for bottom, value in zip(bottoms, layer.values, strict=True)]
        parts.append(draw_layer(axes, layer.css, xs, bottoms, tops))
        axes.labels.append((axes.y((bottoms[-1] + tops[-1]) / 2), layer.label, layer.css))
        bottoms = tops
    table = [(layer.label, [Point(x, y) for x, y in zip(xs, layer.values, strict=True)]) for layer in kept]
    cell = _percent if percent else _number
    words = "; ".join(_in_words(Series(label=label, css="", points=points), cell) for label, points in table)
    picture = frame(axes, percent=percent) + "".join(parts) + end_labels(axes)
    return _figure(title, note, words, picture, axes, table, cell, css=css)


def _figure(
    title: str,
    note: str,
    words: str,
    picture: str,
    axes: Axes,
    table: Sequence[tuple[str, Sequence[Point]]],
    cell: Cell,
    *,
    css: str = "",
) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", title.lower())
    shown = f"<small>{escape(note)}</small>" if note else ""
    return (
        f'<figure class="chart {css}" data-low="{axes.x_low:g}" data-high="{axes.x_high:g}"'
        f' data-left="{LEFT / WIDTH:.4f}" data-right="{axes.edge / WIDTH:.4f}">'
        f"<figcaption>{escape(title)}{shown}</figcaption>"
        f'<div class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t-{name} d-{name}">'
        f'<title id="t-{name}">{escape(title)}</title><desc id="d-{name}">{escape(words)}</desc>{picture}'
        f'<path class="cursor" d="M0 12V{HEIGHT - 34}"/></svg></div>'
        f'<div class="read"><input type="range" aria-label="Read values of: {escape(title)}"><output></output></div>'
        f"<details><summary>Numbers</summary>{_table(title, table, cell)}</details></figure>"
    )


def _table(title: str, columns: Sequence[tuple[str, Sequence[Point]]], cell: Cell) -> str:
    by_step: dict[float, list[str]] = {}
    for column, (_, points) in enumerate(columns):
        for point in points:
            by_step.setdefault(point.x, [""] * len(columns))[column] = cell(point)
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label, _ in columns)
    body = "".join(
        f'<tr><th scope="row">{step:g}</th>{"".join(f"<td>{value}</td>" for value in by_step[step])}</tr>'
        for step in sorted(by_step)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Numbers of: {escape(title)}"><table class="data">'
        f'<thead><tr><th scope="col">step</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


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
