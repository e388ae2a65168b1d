"""The preflight itself: every family of checks in turn, each finding told as it is made.

A family whose error is ours ends in a finding that says so; the others still run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from lit_sql_trainer.config import Profile
from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.preflight.data import check_files, check_splits
from lit_sql_trainer.preflight.findings import Family, Finding, Level, Report, warned
from lit_sql_trainer.preflight.hardware import check_hardware
from lit_sql_trainer.preflight.model import check_model
from lit_sql_trainer.preflight.subject import Progress, Subject
from lit_sql_trainer.preflight.surroundings import check_disk, check_ports, check_versions

GOLD_SECONDS = 100.0
"""For running gold queries; with it the whole preflight stays under three minutes."""

Check = Callable[[Subject], Iterator[Finding]]

NEEDED_BY_ROLLOUT = (Family.VERSIONS, Family.PORTS, Family.MODEL, Family.DATA)

QUICK: tuple[Check, ...] = (check_versions, check_ports, check_model, check_hardware, check_disk, check_splits)
"""What takes next to no time; `train` runs it by itself."""


def preflight(
    profile: Profile,
    *,
    runs: Path = Path("runs"),
    port: int | None = None,
    quick: bool = False,
    gold_seconds: float = GOLD_SECONDS,
    on_finding: Callable[[Finding], None] = lambda finding: None,
    progress: Progress = lambda doing: None,
) -> Report:
    """Look a profile over on this machine; with `quick`, without running a query, a prompt or a rollout.

    Args:
        runs: where run folders would be made.
        port: the port that the rollout store will be told to take; None for any.
        gold_seconds: seconds after which no further gold query is run.
        on_finding: hears each finding as it is made.
        progress: hears what is being looked at.
    """
    started = time.monotonic()
    subject = Subject(profile=profile, runs=runs, port=port)
    checks: list[Check] = list(QUICK)
    if not quick:
        # Imports the agent's graph, which takes longer than all quick checks.
        from lit_sql_trainer.preflight.questions import check_golds, check_prompts

        checks += [
            partial(check_files, progress=progress),
            partial(check_golds, progress=progress, budget_s=gold_seconds),
            partial(check_prompts, progress=progress),
        ]
    findings: list[Finding] = []
    for check in checks:
        for finding in check(subject):
            findings.append(finding)
            on_finding(finding)
    if not quick:
        for finding in _rehearsed(subject, findings, progress):
            findings.append(finding)
            on_finding(finding)
    return Report(
        profile=profile.name,
        model=subject.model,
        data=str(subject.profile.data or "the embedded benchmark"),
        quick=quick,
        findings=tuple(findings),
        seconds=round(time.monotonic() - started, 1),
    )


def refuse_failures(report: Report) -> None:
    """Nothing, unless something failed.

    Raises:
        SetupError: names what failed, with the remedy of each.
    """
    if report.failures:
        told = "; ".join(f"{finding.what}: {finding.found}. {finding.remedy}" for finding in report.failures)
        raise SetupError(f"{told} (all of it: `lit-sql check {report.profile}`)")


def _rehearsed(subject: Subject, findings: list[Finding], progress: Progress) -> Iterator[Finding]:
    """The rollout, unless something that it needs has failed already."""
    broken = [each.what for each in findings if each.level is Level.FAIL and each.family in NEEDED_BY_ROLLOUT]
    if broken:
        yield warned(
            Family.ROLLOUT, "rollout", f"not tried: it needs what failed ({', '.join(broken)})", "Mend that first"
        )
    else:
        from lit_sql_trainer.preflight.rollout import check_rollout  # with all that a dry run imports

        yield from check_rollout(subject, progress)
