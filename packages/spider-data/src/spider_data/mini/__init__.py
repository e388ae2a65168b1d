"""Builds the embedded benchmark: ten small databases with test suites, 2,600 questions, no download.

Written for this package and built by code: the same bytes at every build on one SQLite version.
"""

from __future__ import annotations

from spider_data.mini.annotation_noise import HABITS, noisy_demonstration
from spider_data.mini.benchmark import MiniReport, build_mini, mini_benchmark, pattern_of
from spider_data.mini.schema import UNSEEN

__all__ = ["HABITS", "UNSEEN", "MiniReport", "build_mini", "mini_benchmark", "noisy_demonstration", "pattern_of"]
