"""What can go wrong while making a suite, beyond the errors of the package."""

from __future__ import annotations

from pathlib import Path

from spider_data.errors import SpiderDataError


class GoldFailsError(SpiderDataError):
    """A gold query runs on the main file but not on a generated variant: a fault of the generator."""

    path: Path
    query: str


class SchemaFailsError(SpiderDataError):
    """A statement of the source's schema does not run in an empty database on this SQLite version."""

    path: Path
    statement: str


class GoldsInvalidError(SpiderDataError):
    """A file of gold queries has a line without a database id."""

    path: Path
    line: int
