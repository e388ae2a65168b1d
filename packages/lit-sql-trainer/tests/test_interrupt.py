"""Ctrl-C ends a step, not a run's integrity; nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.machine.interrupt import Interrupt

PROGRAMS = Path(__file__).parent / "programs"


def test_the_first_signal_asks_and_the_second_insists() -> None:
    """After one SIGINT the run may finish its step; a second one raises at once."""
    told: list[str] = []
    before = signal.getsignal(signal.SIGINT)  # a background job starts with SIGINT ignored
    with Interrupt(lambda: told.append("told")) as interrupt:
        assert not interrupt()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert told == ["told"]
    assert signal.getsignal(signal.SIGINT) is before


class Late:
    """An object during whose end a signal arrives."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_in_a_finaliser_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    """What a finaliser raises goes nowhere, so the signal comes again; nothing is printed about the first."""
    hook = sys.unraisablehook
    with pytest.raises(SystemExit) as left, exit_on_error():
        late: Late | None = Late()
        late = None
        assert late is None
        time.sleep(20)
    assert left.value.code == 143
    assert sys.unraisablehook is hook
    assert capfd.readouterr().err == ""


def test_runners_ignore_the_terminals_signal() -> None:
    """SIGINT reaches the whole process group; a forked runner finishes its work all the same."""
    process = subprocess.Popen(
        [sys.executable, PROGRAMS / "finish_in_spite_of_signals.py"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30)[0].split() == ["0", "1"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can end a process with its parent")
def test_runners_go_with_a_killed_run() -> None:
    """When the main process is killed, which it cannot catch, its runners end too."""
    process = subprocess.Popen([sys.executable, PROGRAMS / "start_a_runner.py"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    for _ in range(100):
        if not _alive(child):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail(f"runner {child} outlived its run")


def _alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
