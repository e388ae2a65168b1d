"""Prepares the environment before the library is imported, and refuses early what cannot work.

`guard_environment` must run before the first `import agentlightning`: the library and its dependencies read
environment variables at import. Everything here is cheap and imports nothing beyond the standard library.
"""

from __future__ import annotations

import importlib.metadata
import logging
import multiprocessing
import os
import socket
import sys
import warnings
from pathlib import Path

from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.machine.devices import (
    attention_backend as attention_backend,  # part of what is right or wrong here
)

LOOPBACK = "127.0.0.1"
"""The address on which every server of a run listens. No other machine reaches it unless the user asks for that."""

_FIXED = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise a price list is fetched from the network at import
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # the proxy serves loopback only; newer ones refuse
    "OTEL_SDK_DISABLED": "false",  # a disabled SDK drops every span, and with them every token
    "AGENTOPS_LOG_LEVEL": "ERROR",  # it prints a "session replay" address per rollout that leads nowhere
    "AGENTOPS_LOGGING_TO_FILE": "False",  # or agentops.log appears in the working directory
    "TOKENIZERS_PARALLELISM": "false",  # runners are forked after the tokenizer may have started threads
}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

_NOISY = (
    "agentlightning",
    "agentops",
    "opentelemetry",
    "LiteLLM",
    "httpx",
    "uvicorn.error",
    "uvicorn.access",
    "asyncio",
)


def guard_environment(*, local_model: bool = False) -> None:
    """Set the variables that the library reads at import; with a `local_model`, keep Hugging Face off the network."""
    os.environ.update(_FIXED)
    if local_model:
        os.environ.update(_OFFLINE)
    without_proxy(LOOPBACK, "localhost")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(agentops|agentlightning|litellm)")


def without_proxy(*hosts: str) -> None:
    """Make requests to these hosts bypass any proxy, in this process and in those that it starts later."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*known, *(host for host in hosts if host not in known)])


def quiet_loggers(log_file: Path | None = None) -> None:
    """Send the logs of the library and its dependencies to `log_file` (nowhere when None), never to the console.

    Errors of single rollouts appear in `rollouts.jsonl` and in the run's counters; their tracebacks are in this file.
    The level stays at WARNING because the library logs whole tasks, gold included, at INFO.
    """
    handler: logging.Handler = _QuietFileHandler(log_file) if log_file else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"))
    for name in _NOISY:
        logger = logging.getLogger(name)
        for old in logger.handlers[:]:
            logger.removeHandler(old)
            old.close()
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING)
        logger.propagate = False


class _QuietFileHandler(logging.FileHandler):
    """A log file that drops lines when its disk is full, and writes no traceback about that to the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        """Do nothing."""


def redirect_output(log_file: Path) -> None:
    """Redirect everything that this process prints, by any code and on any stream, to `log_file`."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        log = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY)  # a full disk: the run itself says so
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)


def check_versions(distribution: str = "lit-sql-trainer") -> None:
    """Check the installed versions against the bounds that this package declares.

    The library's own bounds are open, and with newer versions of what it patches a rollout "succeeds" while its
    spans are lost. The bounds come from this package's metadata, so they are written only once.

    Raises:
        SetupError: a version is outside its bounds; the error names each package, the version found and the one wanted.
    """
    wrong = version_faults(distribution)
    if wrong:
        raise SetupError(
            f"this environment does not fit {distribution}: {'; '.join(wrong)}. With other versions spans are lost "
            f"without an error; install the pinned set with `uv sync --package {distribution}`"
        )


def version_faults(distribution: str, *, extra: str = "") -> list[str]:
    """Every requirement of a distribution, and of its `extra`, that is missing or outside its bounds, as text.

    Raises:
        importlib.metadata.PackageNotFoundError: the distribution itself is not installed.
    """
    from packaging.requirements import Requirement

    wrong: list[str] = []
    for text in importlib.metadata.requires(distribution) or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{wanted.name}: not installed, wanted {wanted.specifier or 'any version'}")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name}: found {found}, wanted {wanted.specifier}")
    return wrong


def check_start_method() -> None:
    """Check that child processes are forked: runners must inherit the agent, which only `fork` allows.

    Raises:
        SetupError: the platform or the program chose another start method.
    """
    method: str | None = multiprocessing.get_start_method(allow_none=True)
    if not method and "fork" in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method("fork")  # named here because macOS would pick spawn
        method = "fork"
    if method != "fork":
        raise SetupError(
            f"training needs the process start method 'fork', this program uses {method!r}: call "
            f"`multiprocessing.set_start_method('fork')` first, or train on Linux"
        )


def free_port() -> int:
    """A TCP port that is free on the loopback interface now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> int:
    """Check that a server can listen on the port; return the port.

    Raises:
        SetupError: another program listens there, or the number is no port.
    """
    if not 0 < port < 65536:
        raise SetupError(f"port {port} does not exist: choose one from 1024 to 65535, or leave it out")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise SetupError(
                f"port {port} on {LOOPBACK} is not usable ({error.strerror}): stop what listens there, or leave out "
                f"the port so that a free one is chosen"
            ) from error
    return port
