"""Reports as text for people: aligned tables that fit 80 columns, plain where the output is no terminal."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from spider_data.check.findings import CheckReport, Finding, Severity
from spider_data.spider.fetch import fetch_http
from spider_data.stats import DataStats, Lengths
from spider_data.task import Hardness

_ENDLESS = 10_000
"""Columns of an output that is no terminal: no line is wrapped or cut."""
_SHOWN = 60
"""Subjects named in one group; the JSON has them all."""


def output() -> Console:
    """Standard output: as wide as the terminal, or without an edge where it is none."""
    console = Console()
    return console if console.is_terminal else Console(width=_ENDLESS)


def print_json(value: object) -> None:
    """One line of JSON, with escapes where the output is not UTF-8, so that no letter is lost."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    print(json.dumps(value, ensure_ascii=encoding != "utf8"), flush=True)


def print_table(console: Console, heading: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """A table whose counts are never cut: only the first column gives way where the terminal is narrow.

    The first `left` columns are flush left, the others flush right.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, name in enumerate(heading):
        justify = "left" if place < left else "right"
        table.add_column(name, justify=justify, no_wrap=place > 0, header_style="bold" if console.is_terminal else "")
    for first, *others in rows:
        table.add_row(Text(first, no_wrap=True, overflow="ellipsis"), *map(Text, others))
    console.print(table)


def print_text(text: str, console: Console) -> None:
    """A sentence, broken between words where the terminal ends."""
    for line in _wrapped(text, console, indent=""):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_check(report: CheckReport, console: Console) -> None:
    """A paragraph for each kind of finding, faults first, and a verdict."""
    for group in _grouped(report.findings):
        fault = group[0].severity is Severity.FAULT
        tasks = sum(finding.tasks for finding in group)
        count = f"{len(group)}{f', {tasks:,} tasks' if tasks else ''}"
        word, style = ("fault", "bold red") if fault else ("note", "dim")
        for line in _wrapped(f"{word} {group[0].kind} ({count}): {_reason(group)}", console, indent=""):
            text = Text(line)
            text.highlight_regex(f"^{word} ", style)
            console.print(text, soft_wrap=True)
        more = f" … and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        names = ", ".join(finding.subject for finding in group[:_SHOWN]) + more
        for line in _wrapped(names, console, indent="    "):
            console.print(Text(line), soft_wrap=True)
    rules = "official checksums applied" if report.official else "no official checksums applied"
    summary = (
        f"{report.databases} databases, {report.variants} suite variants, {report.verified} files verified "
        f"({rules}); {sum(report.tasks.values()):,} rows in {len(report.tasks)} task files"
    )
    print_text(summary, console)
    count = len(report.faults)
    verdict = "no faults" if report.ok else f"{count} fault{'s' * (count != 1)}"
    console.print(Text(verdict, style="bold green" if report.ok else "bold red"))


def _wrapped(text: str, console: Console, *, indent: str) -> list[str]:
    """Lines that fit the terminal without breaking a word; one line where the output is no terminal."""
    if not console.is_terminal:
        return [indent + text]
    return textwrap.wrap(
        text,
        console.width - 1,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _grouped(findings: tuple[Finding, ...]) -> list[list[Finding]]:
    """Findings that differ in nothing but their subject (or in its name within the reason) share a paragraph."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.kind, _reason([finding])), []).append(finding)
    return list(groups.values())


def _reason(group: list[Finding]) -> str:
    return group[0].detail.replace(group[0].subject, "…")


def print_stats(stats: DataStats, console: Console) -> None:
    """Two tables with a row for each task file: counts, and lengths of texts in words."""
    levels = [str(level) or "unknown" for level in Hardness]
    levels = [level for level in levels if any(level in split.hardness for split in stats.splits.values())]
    counts: list[list[str]] = []
    words: list[list[str]] = []
    for stem, split in stats.splits.items():
        tables = list(split.table_counts)
        counts.append(
            [
                *(stem, f"{split.tasks:,}", f"{len(split.databases):,}"),
                f"{tables[0]}-{tables[-1]}" if tables else "",
                *(f"{split.hardness[level]:,}" if level in split.hardness else "" for level in levels),
            ]
        )
        words += [[stem, "question", *_span(split.question_words)], ["", "query", *_span(split.query_words)]]
    print_table(console, ["file", "tasks", "databases", "tables", *levels], counts)
    console.print()
    print_table(console, ["file", "words in", "shortest", "median", "nine of ten", "longest"], words, left=2)


def _span(lengths: Lengths | None) -> list[str]:
    if lengths is None:
        return [""] * 4
    return [str(lengths.shortest), f"{lengths.median:g}", str(lengths.p90), str(lengths.longest)]


def fetch_with_bar(url: str, path: Path) -> None:
    """`fetch_http` with a progress bar on standard error.

    Raises:
        see `fetch_http`.
    """
    columns = (TextColumn(path.name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)
        fetch_http(url, path, on_progress=lambda done, total: progress.update(bar, completed=done, total=total))
