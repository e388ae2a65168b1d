"""What is wrong with the surroundings is said before anything expensive begins."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.machine.environment import (
    LOOPBACK,
    check_port,
    check_versions,
    free_port,
    guard_environment,
    quiet_loggers,
)


def test_this_environment_fits() -> None:
    """The environment that runs the tests is one that the package declares."""
    check_versions()


def test_a_version_beyond_its_bound_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Package, found and wanted are all in the message, for every package that is wrong."""
    real = importlib.metadata.version
    faked = {"opentelemetry-sdk": "1.45.2", "agentops": "0.9"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: faked.get(name) or real(name))
    with pytest.raises(SetupError) as caught:
        check_versions()
    assert "opentelemetry-sdk: found 1.45.2, wanted <1.40,>=1.38" in str(caught.value)
    assert "agentops: found 0.9, wanted ==0.4.21" in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed is told apart from what is too new."""
    real = importlib.metadata.version

    def absent(name: str) -> str:
        if name == "rich":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(SetupError, match="rich: not installed"):
        check_versions()


def test_a_free_port_is_free_and_a_taken_one_is_refused() -> None:
    """The port that is chosen can be used; one that is in use is named."""
    port = free_port()
    assert check_port(port) == port
    with socket.socket() as taken:
        taken.bind((LOOPBACK, port))
        taken.listen()
        with pytest.raises(SetupError, match=f"port {port} on {LOOPBACK} is not usable"):
            check_port(port)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    """Zero would mean 'any' to the system and something else to the runners."""
    with pytest.raises(SetupError, match="does not exist"):
        check_port(port)


def test_the_environment_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback bypasses proxies whatever was set before; Hugging Face goes offline only for a local model."""
    for name in ("no_proxy", "HF_HUB_OFFLINE", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    guard_environment()
    assert os.environ["NO_PROXY"] == f"example.org,{LOOPBACK},localhost"
    assert os.environ["OTEL_SDK_DISABLED"] == "false"
    assert "HF_HUB_OFFLINE" not in os.environ
    guard_environment(local_model=True)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["NO_PROXY"].count(LOOPBACK) == 1


def test_what_the_library_says_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings are kept in the run folder; INFO, at which the library logs whole tasks with their gold, is not kept."""
    file = tmp_path / "library.log"
    quiet_loggers(file)
    try:
        logging.getLogger("agentlightning.algorithm.fast").info("Enqueued with sample: SELECT gold")
        logging.getLogger("agentlightning.runner").warning("a rollout failed")
    finally:
        quiet_loggers(None)
    assert "a rollout failed" in file.read_text()
    assert "gold" not in file.read_text()
    assert capsys.readouterr() == ("", "")


def test_another_start_method_than_fork_is_refused() -> None:
    """Under spawn the runners could not receive the agent; the program is told before it starts any."""
    program = Path(__file__).parent / "programs" / "spawn_is_refused.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)
    assert "start method 'fork', this program uses 'spawn'" in done.stdout
