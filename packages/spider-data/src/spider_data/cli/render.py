"""Reports as tables and progress as bars, for people. Nothing is computed here."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from spider_data.check.findings import CheckReport, Finding, Severity
from spider_data.spider.fetch import fetch_http
from spider_data.stats import DataStats, Lengths
from spider_data.task import Hardness

_SHOWN = 60
"""Subjects named in one row of the table; the JSON has them all."""


def print_check(report: CheckReport, console: Console) -> None:
    """One row for each kind of finding, faults first, and a verdict."""
    if report.findings:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("")
        table.add_column("what")
        table.add_column("n", justify="right")
        table.add_column("where", overflow="fold", ratio=3)
        table.add_column("why", overflow="fold", ratio=2)
        table.add_column("tasks", justify="right")
        for group in _grouped(report.findings):
            fault = group[0].severity is Severity.FAULT
            names = ", ".join(finding.subject for finding in group[:_SHOWN])
            tasks = sum(finding.tasks for finding in group)
            more = f" … and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
            table.add_row(
                Text("fault", style="bold red") if fault else Text("note", style="dim"),
                str(group[0].kind),
                str(len(group)),
                Text(names + more),
                Text(_reason(group)),
                f"{tasks:,}" if tasks else "",
            )
        console.print(table)
    rules = "official checksums applied" if report.official else "no official checksums applied"
    console.print(
        f"{report.databases} databases, {report.variants} suite variants, {report.verified} files verified "
        f"({rules}); {sum(report.tasks.values()):,} rows in {len(report.tasks)} task files",
        highlight=False,
        soft_wrap=True,
    )
    count = len(report.faults)
    verdict = "no faults" if report.ok else f"{count} fault{'s' * (count != 1)}"
    console.print(Text(verdict, style="bold green" if report.ok else "bold red"))


def _grouped(findings: tuple[Finding, ...]) -> list[list[Finding]]:
    """Findings that differ in nothing but their subject (or in its name within the reason) share a row."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.kind, _reason([finding])), []).append(finding)
    return list(groups.values())


def _reason(group: list[Finding]) -> str:
    return group[0].detail.replace(group[0].subject, "…")


def print_stats(stats: DataStats, console: Console) -> None:
    """One row for each task file, and the table counts of its databases in brief."""
    table = Table(box=box.SIMPLE_HEAD, caption="words: shortest / median / nine of ten at most / longest")
    table.add_column("file")
    levels = [str(level) or "unknown" for level in Hardness]
    for heading in ("tasks", "databases", "tables each", *levels):
        table.add_column(heading, justify="right")
    table.add_column("question words", justify="right")
    table.add_column("query words", justify="right")
    for stem, split in stats.splits.items():
        counts = list(split.table_counts)
        table.add_row(
            stem,
            f"{split.tasks:,}",
            f"{len(split.databases):,}",
            f"{counts[0]}-{counts[-1]}" if counts else "",
            *(f"{split.hardness[level]:,}" if level in split.hardness else "" for level in levels),
            _span(split.question_words),
            _span(split.query_words),
        )
    console.print(table)


def _span(lengths: Lengths | None) -> str:
    if lengths is None:
        return ""
    return f"{lengths.shortest} / {lengths.median:g} / {lengths.p90} / {lengths.longest}"


def fetch_with_bar(url: str, path: Path) -> None:
    """`fetch_http` with a progress bar on standard error.

    Raises:
        see `fetch_http`.
    """
    columns = (TextColumn(path.name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=None)
        fetch_http(url, path, on_progress=lambda done, total: progress.update(bar, completed=done, total=total))
