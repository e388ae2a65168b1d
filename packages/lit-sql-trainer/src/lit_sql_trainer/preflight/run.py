"""The preflight itself: every family of checks in turn, each finding reported as it is made.

A family whose error is ours ends in a finding that says so; the others still run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.preflight.data import check_files, check_splits
from lit_sql_trainer.preflight.findings import Family, Finding, Level, Report, warned
from lit_sql_trainer.preflight.hardware import check_hardware
from lit_sql_trainer.preflight.model import check_model
from lit_sql_trainer.preflight.subject import Progress, Subject
from lit_sql_trainer.preflight.surroundings import check_disk, check_ports, check_versions
from lit_sql_trainer.profile.profile import Profile

Check = Callable[[Subject], Iterator[Finding]]

GOLD_SECONDS = 100.0
"""For running gold queries; with it the whole preflight stays under three minutes."""

QUICK: tuple[tuple[Family, Check], ...] = (
    (Family.VERSIONS, check_versions),
    (Family.PORTS, check_ports),
    (Family.MODEL, check_model),
    (Family.HARDWARE, check_hardware),
    (Family.DISK, check_disk),
    (Family.DATA, check_splits),
)
"""The checks that take almost no time; `train` runs them by itself."""
NEEDED_BY_ROLLOUT = (Family.VERSIONS, Family.PORTS, Family.MODEL, Family.DATA)


def preflight(
    profile: Profile,
    *,
    runs: Path = Path("runs"),
    port: int | None = None,
    quick: bool = False,
    only: Collection[Family] = (),
    gold_seconds: float = GOLD_SECONDS,
    on_finding: Callable[[Finding], None] = lambda finding: None,
    progress: Progress = lambda doing: None,
) -> Report:
    """Look a profile over on this machine; with `quick`, without running a query, a prompt or a rollout.

    Args:
        profile: what would be trained.
        runs: where run folders would be made.
        port: the port that the rollout store will be told to take; None for any.
        quick: leave out what takes time.
        only: the families to look at; empty for all.
        gold_seconds: seconds after which no further gold query is run.
        on_finding: hears each finding as it is made.
        progress: hears what is being looked at.
    """
    started = time.monotonic()
    subject = Subject(profile=profile, runs=runs, port=port)
    findings: list[Finding] = []
    slow = () if quick else _slow(progress, gold_seconds, findings)
    for family, check in chain(QUICK, slow):
        if only and family not in only:
            continue
        for finding in check(subject):
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


def quick_look(profile: Profile, *, runs: Path, say: Callable[[str], None]) -> None:
    """What `train` looks at beside its own refusals: memory and disk. `say` hears the warnings.

    Raises:
        SetupError: something cannot work here; names it with its remedy.
    """
    report = preflight(profile, runs=runs, quick=True, only=(Family.HARDWARE, Family.DISK))
    for finding in report.warnings:
        say(f"warning: {finding.what}: {finding.found}. {finding.remedy}")
    if report.failures:
        told = "; ".join(f"{finding.what}: {finding.found}. {finding.remedy}" for finding in report.failures)
        raise SetupError(f"{told} (`lit-sql check {profile.name}` looks at everything; --no-check goes on)")


def _slow(progress: Progress, gold_seconds: float, findings: Sequence[Finding]) -> Iterator[tuple[Family, Check]]:
    """What runs queries, prompts and a rollout. Imported when it is asked for: the agent's graph takes seconds."""
    yield Family.DATA, partial(check_files, progress=progress)
    from lit_sql_trainer.preflight.questions import check_golds, check_prompts

    yield Family.GOLDS, partial(check_golds, progress=progress, budget_s=gold_seconds)
    yield Family.PROMPTS, partial(check_prompts, progress=progress)
    yield Family.ROLLOUT, partial(_rollout, progress=progress, findings=findings)


def _rollout(subject: Subject, *, progress: Progress, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Check a rollout, unless something that it needs has failed already."""
    broken = [each.what for each in findings if each.level is Level.FAIL and each.family in NEEDED_BY_ROLLOUT]
    if broken:
        told = f"not tried: it needs what failed ({', '.join(broken)})"
        yield warned(Family.ROLLOUT, "rollout", told, "Mend that first")
        return
    from lit_sql_trainer.preflight.rollout import check_rollout

    yield from check_rollout(subject, progress)
