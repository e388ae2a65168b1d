"""What can go wrong while making a suite, beyond the errors of the package."""

# ruff: noqa: N818  a name here says what happened

from __future__ import annotations

from pathlib import Path

from spider_data.errors import SpiderDataError


class GoldFails(SpiderDataError):
    """A gold query runs on the main file but not on a generated variant: a fault of the generator."""

    path: Path
    query: str
