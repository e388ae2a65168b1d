"""The findings of a preflight as data, for a table, for JSON and for an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """Whether a finding needs action before training."""

    PASS = "pass"  # noqa: S105  a word, no password
    """Nothing needs to be done."""
    WARN = "warn"
    """Training works, but somebody should know; or this could not be checked."""
    FAIL = "fail"
    """Training would stop, or would train on something wrong."""


class Family(StrEnum):
    """The families of checks; `--only` takes these words."""

    VERSIONS = "versions"
    PORTS = "ports"
    MODEL = "model"
    HARDWARE = "hardware"
    DISK = "disk"
    DATA = "data"
    GOLDS = "golds"
    PROMPTS = "prompts"
    ROLLOUT = "rollout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    family: Family
    level: Level
    what: str
    """What was checked, in a few words."""
    found: str
    """What was seen, with numbers and names."""
    remedy: str = ""
    """What to do about it, a sentence or a command; empty where nothing is to be done."""
    subjects: tuple[str, ...] = ()
    """Everything it is about (task ids, files, packages), where `found` names only some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All findings of one preflight, in the order in which they were made."""

    profile: str
    model: str
    data: str
    quick: bool
    """Only the checks that take no time were made."""
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What must be mended first."""
        return tuple(finding for finding in self.findings if finding.level is Level.FAIL)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What somebody should know."""
        return tuple(finding for finding in self.findings if finding.level is Level.WARN)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def to_dict(self) -> dict[str, object]:
        """The report for `json.dumps`: `ok`, the counts, and the findings with their levels as words."""
        counts = {str(level): sum(finding.level is level for finding in self.findings) for level in Level}
        return {"ok": self.ok, "counts": counts, **asdict(self)}


def passed(family: Family, what: str, found: str) -> Finding:
    """Make a finding that needs nothing done."""
    return Finding(family=family, level=Level.PASS, what=what, found=found)


def warned(family: Family, what: str, found: str, remedy: str, subjects: Sequence[str] = ()) -> Finding:
    """Make a finding that somebody should know."""
    return Finding(family=family, level=Level.WARN, what=what, found=found, remedy=remedy, subjects=tuple(subjects))


def failed(family: Family, what: str, found: str, remedy: str, subjects: Sequence[str] = ()) -> Finding:
    """Make a finding that must be mended."""
    remedy = f"{remedy[:1].upper()}{remedy[1:]}"  # an error's own begins with a small letter
    return Finding(family=family, level=Level.FAIL, what=what, found=found, remedy=remedy, subjects=tuple(subjects))


def some(names: Sequence[str], *, most: int = 4) -> str:
    """The first few names, and how many there are beyond them."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def counted(count: int, one: str, many: str = "") -> str:
    """`1 task`, `2 tasks`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def share(part: int, whole: int) -> str:
    """`3 of 240 (1.2 %)`."""
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} %)" if whole else "0 of 0"
