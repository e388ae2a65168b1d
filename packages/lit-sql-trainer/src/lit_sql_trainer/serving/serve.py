"""Serves a trained model at an OpenAI-compatible endpoint, and builds the `sql-graph ask` line that uses it.

vLLM serves the model where vLLM and a GPU are available; elsewhere the local server of training does. The line carries
the settings of training, because the model has learned those prompts and no others.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from socket import socket

import httpx

from lit_sql_trainer.data import embedded_data
from lit_sql_trainer.errors import SetupError, TrainerError
from lit_sql_trainer.machine import environment
from lit_sql_trainer.machine.devices import find_gpus
from lit_sql_trainer.models.source import Model
from lit_sql_trainer.profile.named import PLAIN_PROFILE
from lit_sql_trainer.profile.profile import Profile, RolloutSettings
from lit_sql_trainer.runs.waiting import waiting
from spider_data import DatabaseCatalog, SpiderDataError, read_tasks

PORT = 8000
VLLM_START_S = 900.0
"""vLLM loads, compiles and measures before it answers."""
VLLM_STOP_S = 30.0
ANY_DATABASE, ANY_QUESTION = "my.sqlite", "How many rows are there?"


class Engine(StrEnum):
    """The server that generates the replies."""

    AUTO = "auto"
    VLLM = "vllm"
    LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the model is served."""

    url: str
    engine: Engine
    ask: str
    """The command line that asks the model."""


def serve(
    model: Model,
    *,
    host: str = environment.LOOPBACK,
    port: int = PORT,
    engine: Engine = Engine.AUTO,
    on_ready: Callable[[Endpoint], None],
) -> None:
    """Serve a model until Ctrl-C; call `on_ready` with the endpoint once it answers. Port 0 takes a free port.

    Raises:
        SetupError: the port is taken, or the engine is not installed or does not start.
        ModelError: the model cannot be loaded.
        KeyboardInterrupt: Ctrl-C, after the server has ended.
    """
    port = environment.check_port(port) if port else environment.free_port()
    chosen = _engine(engine)
    here = environment.LOOPBACK if host in ("0.0.0.0", "::") else host  # noqa: S104  compared with, not bound
    url = f"http://{here}:{port}/v1"
    database, question = example(model.profile)
    endpoint = Endpoint(
        url=url,
        engine=chosen,
        ask=ask_line(model.profile, model=model.name, url=url, database=database, question=question),
    )
    run = _vllm if chosen is Engine.VLLM else _local
    run(model, host, port, lambda: on_ready(endpoint))


def ask_line(
    profile: Profile | None,
    *,
    model: str,
    url: str = f"http://{environment.LOOPBACK}:{PORT}/v1",
    database: str = ANY_DATABASE,
    question: str = ANY_QUESTION,
) -> str:
    """A `sql-graph ask` line for a shell, with the settings of training."""
    settings = profile.rollout if profile is not None else RolloutSettings()
    words = ["sql-graph", "ask", "--db", database, "--model", model, "--base-url", url]
    words += ["--style", str(settings.style), "--check", str(settings.check), "--rewrite", str(settings.rewrite)]
    words += ["--max-turns", str(settings.max_turns)]
    words += ["--prompt-budget", str(settings.prompt_budget_tokens), "--max-tokens", str(settings.max_tokens)]
    return shlex.join([*words, question])


def example(profile: Profile | None) -> tuple[str, str]:
    """A database and a question from the test split of the training data; made-up ones when that split is missing."""
    try:
        folder = (profile.data if profile is not None else None) or embedded_data()
        catalog = DatabaseCatalog(folder)
        task = next(task for task in read_tasks(folder / "test.parquet") if task.db_id in catalog)
    except (TrainerError, SpiderDataError, StopIteration, OSError):
        return ANY_DATABASE, ANY_QUESTION
    return str(catalog.path(task.db_id)), task.question


def _engine(wanted: Engine) -> Engine:
    vllm, gpus = _vllm_program(), find_gpus()
    if wanted is Engine.AUTO:
        return Engine.VLLM if vllm and gpus else Engine.LOCAL
    if wanted is Engine.VLLM and vllm is None:
        raise SetupError("vLLM is not installed here: leave out --engine, or `uv sync --package lit-sql-trainer`")
    return wanted


def _vllm_program() -> str | None:
    return shutil.which("vllm") or shutil.which("vllm", path=str(Path(sys.executable).parent))


def _local(model: Model, host: str, port: int, ready: Callable[[], None]) -> None:
    """Run the server of training in this process, on the given host and port."""
    environment.guard_environment(local_model=True)
    import uvicorn

    from lit_sql_trainer.local.gate import LOOPBACK_HOSTS
    from lit_sql_trainer.local.hosted import open_policy, server_of, serving_settings

    with waiting("loading the model"):
        settings = serving_settings(model.profile or PLAIN_PROFILE)
        server = server_of(open_policy(model.folder, settings), settings)
    server.name = model.name

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    config = uvicorn.Config(
        server.app(any_host=host not in LOOPBACK_HOSTS),
        host=host,
        port=port,
        log_level="error",
        access_log=False,
        ws="none",
        lifespan="off",
    )
    server.batcher.start()
    try:
        Announcing(config).run()  # raises KeyboardInterrupt after an orderly end
        raise KeyboardInterrupt  # a background job whose shell ignores the signal: there uvicorn raises nothing
    finally:
        server.batcher.stop()


def _vllm(model: Model, host: str, port: int, ready: Callable[[], None]) -> None:
    """Run vLLM's own server as a child process that ends with this one."""
    command = [_vllm_program() or "vllm", "serve", str(model.folder), "--host", host, "--port", str(port)]
    child = subprocess.Popen([*command, "--served-model-name", model.name], stdout=sys.stderr)
    try:
        _wait_healthy(child, port)
        ready()
        code = child.wait()
        raise SetupError(f"vLLM ended by itself with code {code}; see its output above")
    finally:
        child.terminate()
        try:
            child.wait(VLLM_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()


def _wait_healthy(child: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + VLLM_START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise SetupError(f"vLLM did not start (code {child.returncode}); see its output above")
        try:
            if httpx.get(f"http://{environment.LOOPBACK}:{port}/health", timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass  # not yet: vLLM listens once the model is loaded
        time.sleep(0.5)
    raise SetupError(f"vLLM did not answer within {VLLM_START_S:g} s; try --engine local")
