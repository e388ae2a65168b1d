"""How a suite's figures look: a table for people, a dictionary for machines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

from rich.console import Console
from rich.table import Table

from spider_data.suite.make import SuiteReport
from spider_data.suite.power import Power


def total(reports: Sequence[SuiteReport]) -> Power:
    """The figures of all databases together.

    Raises:
        ValueError: there is no report.
    """
    if not reports:
        raise ValueError("no suites to add up; make at least one")
    return reduce(add, (report.power for report in reports))


def print_reports(reports: Sequence[SuiteReport], console: Console) -> None:
    """One line a database, then the sum."""
    table = Table(title="one-token mutants of the golds", title_justify="left")
    table.add_column("database", overflow="fold")
    for name in ("files", "mutants", "refutable", "refuted", "share", "by main", "ties"):
        table.add_column(name, justify="right", no_wrap=True)
    for report in reports:
        table.add_row(report.db_id, str(len(report.variants)), *_cells(report.power), str(len(report.tied_golds)))
    if len(reports) > 1:
        ties = sum(len(report.tied_golds) for report in reports)
        files = sum(len(report.variants) for report in reports)
        table.add_section()
        table.add_row("all", str(files), *_cells(total(reports)), str(ties))
    console.print(table)
    pool = min((report.power.pool for report in reports), default=0)
    console.print(
        f"refutable: told from its gold by any of {pool} databases; by main: by the main file alone; "
        "ties: golds whose answer depends on the order of equal rows"
    )
    for report in reports:
        for query in report.broken_golds:
            console.print(f"note: {report.db_id}: gold fails on the main file and was left out: {query}", markup=False)


def power_line(power: Power) -> str:
    """The worth of a suite in one sentence."""
    return (
        f"{power.refuted:,} of {power.non_equivalent:,} non-equivalent mutants refuted ({power.share:.1%}), "
        f"{power.refuted_by_main:,} of them by the main files alone; non-equivalent = refuted by any of "
        f"{power.pool} databases"
    )


def power_dict(power: Power) -> dict[str, object]:
    """The figures as plain values."""
    return {
        "mutants": power.mutants,
        "non_equivalent": power.non_equivalent,
        "refuted": power.refuted,
        "refuted_by_main": power.refuted_by_main,
        "share": round(power.share, 4),
        "pool": power.pool,
        "by_kind": {kind: {"refuted": r, "non_equivalent": n} for kind, (r, n) in power.by_kind.items()},
    }


def report_dict(report: SuiteReport) -> dict[str, object]:
    """One database as plain values."""
    return {
        "db_id": report.db_id,
        "variants": [str(path) for path in report.variants],
        "broken_golds": list(report.broken_golds),
        "tied_golds": sorted(report.tied_golds),
        **power_dict(report.power),
    }


def _cells(power: Power) -> tuple[str, ...]:
    counts = (power.mutants, power.non_equivalent, power.refuted)
    return (*(f"{count:,}" for count in counts), f"{power.share:.1%}", f"{power.refuted_by_main:,}")
