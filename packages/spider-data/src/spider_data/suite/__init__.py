"""Test suites for any SQLite database: seeded random variants on which wrong queries show."""

from __future__ import annotations

from spider_data.suite.make import SuiteReport, make_suite
from spider_data.suite.power import Power

__all__ = ["Power", "SuiteReport", "make_suite"]
