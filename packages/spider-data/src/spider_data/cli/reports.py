"""The figures of suites as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from spider_data.cli.render import print_table, print_text
from spider_data.suite import Power, SuiteReport
from spider_data.suite.table import total

_HEADING = ("database", "files", "mutants", "refutable", "refuted", "share", "by main", "ties")


def print_reports(reports: Sequence[SuiteReport], console: Console) -> None:
    """One line a database, then the sum."""
    rows = [_row(report.db_id, len(report.variants), report.power, len(report.tied_golds)) for report in reports]
    if len(reports) > 1:
        files = sum(len(report.variants) for report in reports)
        rows.append(_row("all", files, total(reports), sum(len(report.tied_golds) for report in reports)))
    console.print("one-token mutants of the golds")
    print_table(console, _HEADING, rows)
    pool = min((report.power.pool for report in reports), default=0)
    print_text(
        f"refutable: its rows differ from its gold's on any of {pool} databases; by main: on the main file alone; "
        "ties: golds whose answer depends on the order of equal rows",
        console,
    )
    for report in reports:
        for query in report.broken_golds:
            note = f"note: {report.db_id}: gold fails on the main file and was left out: {query}"
            print_text(note, console)


def _row(name: str, files: int, power: Power, ties: int) -> list[str]:
    counts = (power.mutants, power.non_equivalent, power.refuted)
    shown = [f"{count:,}" for count in counts]
    return [name, str(files), *shown, f"{power.share:.1%}", f"{power.refuted_by_main:,}", str(ties)]
