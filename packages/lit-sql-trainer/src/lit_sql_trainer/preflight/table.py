"""Findings as lines for a person: the level, what was looked at, what was seen, and below it what to do."""

from __future__ import annotations

import click

from lit_sql_trainer.preflight.findings import Finding, Level, Report, counted
from lit_sql_trainer.runs.wrapped import wrapped

COLOURS = {Level.PASS: "green", Level.WARN: "yellow", Level.FAIL: "red"}
WIDTH = 10
"""Of the column that names the family."""


def print_finding(finding: Finding) -> None:
    """Return the lines of one finding."""
    level = click.style(f"{finding.level:5}", fg=COLOURS[finding.level], bold=finding.level is not Level.PASS)
    text = wrapped(f"{'':5}{finding.family:{WIDTH}}{finding.what}: {finding.found}", hang=WIDTH + 5)
    click.echo(f"{level}{text[5:]}")
    if finding.remedy:
        click.echo(wrapped(f"{'':{WIDTH + 5}}→ {finding.remedy}", hang=WIDTH + 7))


def print_summary(report: Report) -> None:
    """Return how the preflight ended, and the command that goes on."""
    passes = len(report.findings) - len(report.failures) - len(report.warnings)
    failures, warnings = len(report.failures), counted(len(report.warnings), "warning")
    click.echo(f"{passes} passed, {warnings}, {failures} failed, in {report.seconds:g} s")
    if report.ok:
        more = " (without --quick the gold queries, the prompts and a rollout too)" if report.quick else ""
        click.echo(f"next: train {report.profile}{more}")
