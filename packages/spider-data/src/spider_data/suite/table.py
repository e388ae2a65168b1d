"""Show the figures of a suite as one sentence and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

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


def power_line(power: Power) -> str:
    """The figures of a suite in one sentence."""
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
