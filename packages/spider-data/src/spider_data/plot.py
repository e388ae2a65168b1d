"""Draw a data folder's figures as one PNG. Needs the extra `plot` (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spider_data.errors import MissingExtraError, OptionInvalidError
from spider_data.parquet import read_tasks
from spider_data.stats import DataStats, word_counts
from spider_data.storage import StrPath, new_file
from spider_data.task import Hardness

_DRAWN = ("train", "validation", "dev", "test")
_COLOURS = ("#2c7fb8", "#7fcdbb", "#fdae61", "#d7191c", "#bdbdbd")
"""Colours of the levels from easy to extra, then unknown: readable in grey and for colour-blind people."""

_LINES = ("#222222", "#2c7fb8", "#d95f0e", "#7b3294")


def plot_stats(stats: DataStats, path: StrPath) -> None:
    """Write a PNG with four panels: hardness by split, tables in a database, words in questions and in queries.

    Shows train, validation, dev and test; without any of these, every file.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OptionInvalidError: `path` does not end in `.png`.
        DiskFullError, TargetUnwritableError: `path` cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OptionInvalidError(option="plot", reason=f"{path.name!r} does not end in .png; give it such a name")
    if find_spec("matplotlib") is None:
        raise MissingExtraError(extra="plot", needs="matplotlib", option="plot")
    stems = [stem for stem in _DRAWN if stem in stats.splits] or list(stats.splits)
    words = {stem: word_counts(read_tasks(Path(stats.root) / f"{stem}.parquet")) for stem in stems}
    # The object interface, not pyplot: it uses no window system and leaves no global state.
    figure = import_module("matplotlib.figure").Figure(figsize=(11, 7), layout="constrained")
    (hardness, tables), (questions, queries) = figure.subplots(2, 2)
    for axes in (tables, questions, queries):
        axes.set_prop_cycle(color=_LINES)
    _draw_hardness(hardness, stats, stems)
    _draw_tables(tables, stats, stems)
    _draw_words(questions, "words in a question", {stem: words[stem][0] for stem in stems})
    _draw_words(queries, "words in a gold query", {stem: words[stem][1] for stem in stems})
    with new_file(path) as part:
        # No software version and no date in the file: equal data give an equal picture.
        figure.savefig(part, format="png", dpi=120, metadata={"Software": None})


def _draw_hardness(axes: Any, stats: DataStats, stems: Sequence[str]) -> None:
    left = [0.0] * len(stems)
    for level, colour in zip(Hardness, _COLOURS, strict=True):
        name = str(level) or "unknown"
        shares = [stats.splits[stem].hardness.get(name, 0) / max(stats.splits[stem].tasks, 1) for stem in stems]
        if not any(shares):
            continue
        axes.barh(stems, shares, left=left, color=colour, label=name)
        ink = "white" if level in (Hardness.EASY, Hardness.EXTRA) else "black"
        for row, share in enumerate(shares):
            if share >= 0.06:
                axes.text(left[row] + share / 2, row, f"{share:.0%}", ha="center", va="center", fontsize=8, color=ink)
        left = [base + share for base, share in zip(left, shares, strict=True)]
    axes.set_yticks(range(len(stems)), [f"{stem}\n{stats.splits[stem].tasks:,}" for stem in stems])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.set_title("hardness of the tasks")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=5, frameon=False, fontsize=8)
    axes.spines[:].set_visible(False)


def _draw_tables(axes: Any, stats: DataStats, stems: Sequence[str]) -> None:
    shown = [stem for stem in stems if stats.splits[stem].table_counts]
    for stem in shown:
        counts = stats.splits[stem].table_counts
        total = sum(counts.values())
        numbers = range(min(counts), max(counts) + 1)
        shares = [counts.get(number, 0) / total for number in numbers]
        axes.plot(numbers, shares, marker="o", markersize=4, label=stem)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _finish(axes, "tables in the task's database", legend=bool(shown))


def _draw_words(axes: Any, title: str, words: dict[str, list[int]]) -> None:
    longest = max((max(counts) for counts in words.values() if counts), default=1)
    width = max(1, longest // 40)
    shown = [stem for stem in words if words[stem]]
    for stem in shown:
        weight = [1 / len(words[stem])] * len(words[stem])
        bins = range(0, longest + 2 * width, width)
        axes.hist(words[stem], bins=bins, weights=weight, histtype="step", linewidth=1.5, label=stem)
    _finish(axes, title, legend=bool(shown))


def _finish(axes: Any, title: str, *, legend: bool) -> None:
    axes.set_title(title)
    axes.set_ylabel("share of tasks")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False, fontsize=8)
