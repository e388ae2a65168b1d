"""Agent-lightning's parts, put together the one way that works for this agent.

Imports the library: import this module late, after `machine.environment.guard_environment`.
"""

from __future__ import annotations

from collections.abc import Callable

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

from lit_sql_trainer.data import TrainingData
from lit_sql_trainer.machine.environment import LOOPBACK, check_port, free_port
from lit_sql_trainer.profile.profile import Profile

RUNNER_DIED = "Subprocesses failed"
"""How the library begins to say so, after everything else has ended."""
RUNNER_POLL_S = 0.1
"""How often an idle runner asks for work. The library's 5 s is longer than a whole step of a small model."""
SHUTDOWN_S = 3.0
"""How long a runner may take to end by itself."""
INSIST_S = 1.0
"""How long it may take after each of the stronger requests that follow: SIGINT, SIGTERM, SIGKILL."""


def make_trainer(
    profile: Profile,
    *,
    algorithm: agl.Algorithm,
    store: agl.LightningStore | None = None,
    port: int | None = None,
    resources: agl.NamedResources | None = None,
) -> agl.Trainer:
    """A trainer whose runners are child processes and whose store, in this process, forgets old traces.

    Raises:
        SetupError: `port` is in use.
    """
    tracer = agl.AgentOpsTracer()
    jitter = RUNNER_POLL_S / 5
    return agl.Trainer(
        algorithm=algorithm,
        n_runners=profile.runners,
        tracer=tracer,
        adapter=make_adapter(profile.active_agent),
        store=store or make_store(profile.max_span_megabytes),
        runner=agl.LitAgentRunner[object](tracer=tracer, poll_interval=RUNNER_POLL_S, interval_jitter=jitter),
        strategy=agl.ClientServerExecutionStrategy(
            n_runners=profile.runners,
            server_host=LOOPBACK,
            server_port=free_port() if port is None else check_port(port),
            graceful_timeout=SHUTDOWN_S,
            terminate_timeout=INSIST_S,
        ),
        initial_resources=resources,
    )


def make_adapter(active_agent: str) -> agl.TracerTraceToTriplet:
    """From spans to the model calls that are trained.

    Only calls directly under a graph node whose name matches are taken, so `check_query` and whatever else calls a
    model carry no loss. Calls without token ids, as failed ones are, are left out instead of becoming empty samples.
    """
    return agl.TracerTraceToTriplet(agent_match=active_agent, _skip_empty_token_spans=True)


def make_store(max_span_megabytes: int) -> agl.InMemoryLightningStore:
    """A store in memory that drops the oldest traces beyond a bound; the library's own bound is 70 % of the machine."""
    limit = max_span_megabytes * 2**20
    return agl.InMemoryLightningStore(
        thread_safe=True, eviction_memory_threshold=limit, safe_memory_threshold=int(limit * 0.8)
    )


def fit(
    trainer: agl.Trainer, agent: agl.LitAgent[dict[str, str | int]], data: TrainingData, *, say: Callable[[str], None]
) -> None:
    """Train on the tasks of `data`; a runner that ended badly is said: its rollouts were dropped and counted."""
    rows = [dict(task.to_row()) for task in data.train]
    validation = [dict(task.to_row()) for task in data.validation]
    try:
        trainer.fit(agent, rows, val_dataset=validation)
    except RuntimeError as error:
        if not str(error).startswith(RUNNER_DIED):
            raise
        say(f"a runner process ended badly ({error})")  # the algorithm has ended by itself
