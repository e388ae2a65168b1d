"""Reports as tables for people. Text only: nothing is computed here."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spider_data.findings import CheckReport, Finding, Severity

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
