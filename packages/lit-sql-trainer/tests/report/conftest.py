"""Made runs, shared by the tests of the report; nobody writes to their folders."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lit_sql_trainer.runs import RunFolder


def _beside(name: str) -> ModuleType:
    """A helper module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"report_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


made = _beside("made")
browser = _beside("browser")


@pytest.fixture(scope="session")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Sixty steps with seven validations, hostile texts, drops, and no end recorded."""
    return made.make_run(tmp_path_factory.mktemp("runs") / "short")


@pytest.fixture(scope="session")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Five hundred steps with fifty-one validations of two hundred tasks."""
    return made.make_run(tmp_path_factory.mktemp("runs") / "long", steps=500, tasks=200, group=16, seed=1)


@pytest.fixture(scope="session")
def hostile() -> str:
    """What stands in questions, paths and errors of the made runs."""
    return made.HOSTILE


@pytest.fixture(scope="session")
def page_in_browser(tmp_path_factory: pytest.TempPathFactory):
    """A headless browser with one page, for the whole session."""
    program = browser.find_browser()
    if program is None:
        pytest.skip(browser.MISSING)
    with browser.Browser(program, tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened
