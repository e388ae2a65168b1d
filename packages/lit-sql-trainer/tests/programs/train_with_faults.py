"""Train four runs whose endpoint fails or whose runner dies; print a JSON line for each.

The model is the local server's, behind a relay that fails a share of the requests.

python train_with_faults.py RUNS MODEL DATA
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lit_sql_trainer import PROFILES, TrainerError, configure, train
from lit_sql_trainer.machine.environment import guard_environment
from lit_sql_trainer.testing import Fault, ScriptedEndpoint

guard_environment(local_model=True)

import httpx  # noqa: E402

from lit_sql_trainer.local.server import LocalServer  # noqa: E402

runs, model, data = map(Path, sys.argv[1:])
real_url: Callable[[LocalServer], str] = LocalServer.url.fget  # pyright: ignore[reportAssignmentType]
COMMON = [
    "steps=2",
    "tasks_per_step=4",
    "rollouts_per_task=4",
    "validate_every=0",
    "validation_tasks=4",
    "max_tokens=48",
    "torch_threads=1",
    "learning_rate=3e-3",
    "dropped_window=64",
    "request_timeout_s=3",
    "rollout.deadline_s=10",
    "rollout_timeout_s=40",
]


class Relay(ScriptedEndpoint):
    """Passes requests on to the local server, but for those that fail."""

    target = ""

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """What the local server replies."""
        return httpx.post(f"{self.target}/chat/completions", json=body, timeout=60).json()


def every(share: float) -> Callable[[int], Fault | None]:
    """Fails this share of the requests, each kind in turn; evenly spread, so that the count is known."""
    kinds = list(Fault)

    def fault(number: int) -> Fault | None:
        due = int(number * share) > int((number - 1) * share)
        return kinds[int(number * share) % len(kinds)] if due else None

    return fault


def case(name: str, share: float, *assignments: str, during: Callable[[], None] | None = None) -> None:
    """Train one run, and print how it ended and what its endpoint saw."""
    profile = configure(PROFILES["tiny"], [*COMMON, *assignments], model=str(model), data=data)
    relay = Relay(lambda body: "", fault=every(share))
    with relay:

        def url(server: LocalServer) -> str:
            relay.target = real_url(server)
            return relay.url

        LocalServer.url = property(url)  # pyright: ignore[reportAttributeAccessIssue]
        problem = ""
        if during is not None:
            threading.Thread(target=during, daemon=True).start()
        try:
            train(profile, runs=runs, name=name)
        except TrainerError as error:
            problem = f"{type(error).__name__}: {error}"
        print(json.dumps({"name": name, "problem": problem, "faults": relay.faults}), flush=True)


def kill_a_runner() -> None:
    """Kill one runner as soon as the first training rollout is written."""
    file = runs / "runner_killed" / "rollouts.jsonl"
    while not (file.exists() and '"train"' in file.read_text()):
        time.sleep(0.02)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)


case("retried", 0.05)
case("dropped", 0.05, "max_retries=0", "max_dropped_share=1")
case("down", 1.0)
case(
    "runner_killed",
    0.0,
    "max_dropped_share=0.5",
    "runner_timeout_s=20",
    "rollout_timeout_s=150",
    during=kill_a_runner,
)
