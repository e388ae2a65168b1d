"""Makes test suites for databases: seeded random variants of SQLite files, on which wrong queries show."""

from __future__ import annotations

from spider_data.errors import GoldFailsError, GoldsInvalidError, SchemaFailsError
from spider_data.suite.folder import make_suites
from spider_data.suite.make import SuiteReport, make_suite
from spider_data.suite.power import Power

__all__ = [
    "GoldFailsError",
    "GoldsInvalidError",
    "Power",
    "SchemaFailsError",
    "SuiteReport",
    "make_suite",
    "make_suites",
]
