"""`train` with VERL: what a profile says becomes VERL's dictionary, Ray's options, and the library's trainer around.

Importing this module is cheap; the GPU stack is imported when training begins, after everything that can be checked
without it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from lit_sql_trainer.data import TrainingData
from lit_sql_trainer.machine import environment
from lit_sql_trainer.models.checkpoints import last_checkpoint
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.rollouts.metrics import MetricLine
from lit_sql_trainer.runs.console import Display
from lit_sql_trainer.runs.folder import RunFolder
from lit_sql_trainer.runs.watch import NewLines
from lit_sql_trainer.verl.config import check_sizes, run_config
from lit_sql_trainer.verl.foreign import Section
from lit_sql_trainer.verl.relay import RunFacts

if TYPE_CHECKING:
    from lit_sql_trainer.agent.agent import LitSQLAgent
    from lit_sql_trainer.machine.interrupt import Interrupt
    from lit_sql_trainer.verl.daemon import SqlDaemon
    from lit_sql_trainer.verl.trainer import SqlTrainer

POLL_S = 0.5
"""How often new lines and an interrupt are looked for."""
WORKER_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "NCCL_DEBUG": "WARN",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Of every process that Ray starts for us."""


def train_with_verl(
    profile: Profile,
    *,
    config: Section,
    run: RunFolder,
    data: TrainingData,
    model: str,
    display: Display,
    interrupt: Interrupt | None = None,
    port: int | None = None,
    ray_options: Mapping[str, object] | None = None,
    trainer_cls: type[SqlTrainer] | None = None,
    daemon_cls: type[SqlDaemon] | None = None,
    agent: LitSQLAgent | None = None,
) -> None:
    """Train, or go on with a run whose folder holds a checkpoint, until the last step or until asked to stop.

    Call `environment.guard_environment` first, and enter `interrupt` before.

    Args:
        config: VERL's dictionary, as `verl_config(profile)` gives it, with our section `lit_sql`.
        trainer_cls, daemon_cls, agent: subclasses and a prepared agent, for whoever wants to look in.

    Raises:
        TrainerError: settings that do not fit, or the run failed.
    """
    facts = RunFacts(folder=run.path.resolve(), max_calls=profile.rollout.max_turns, monitors=profile.monitors)
    composed = run_config(config, run=run, model=model, facts=facts)
    check_sizes(composed, train_tasks=len(data.train))
    last = last_checkpoint(run.checkpoints)
    section = composed["trainer"]
    if last is not None and section["resume_mode"] != "disable" and not section.get("val_only"):
        run.forget_after(last.step)

    from lit_sql_trainer.agent.agent import LitSQLAgent
    from lit_sql_trainer.rollouts.trainer import fit, make_trainer
    from lit_sql_trainer.verl.algorithm import SqlVerl
    from lit_sql_trainer.verl.daemon import SqlDaemon
    from lit_sql_trainer.verl.trainer import SqlTrainer

    node = importlib.import_module("ray.util")  # only there with the GPU stack
    environment.without_proxy(node.get_node_ip_address())  # vLLM listens there, not on the loopback interface
    algorithm = SqlVerl(
        composed,
        ray_options=ray_options or gpu_ray_options(),
        trainer_cls=trainer_cls or SqlTrainer,
        daemon_cls=daemon_cls or SqlDaemon,
        beside=lambda: _beside(run, facts, display, interrupt),
    )
    agent = agent or LitSQLAgent(data=data.folder, settings=profile.rollout, rollouts_file=run.rollouts_file)
    trainer = make_trainer(profile, algorithm=algorithm, port=port)
    fit(trainer, agent, data, say=lambda text: display.note(f"{text}; see {run.library_log}"))


def gpu_ray_options() -> dict[str, object]:
    """`ray.init` on a machine with GPUs: Ray counts them itself."""
    return {
        "include_dashboard": False,
        "log_to_driver": False,
        "runtime_env": {"env_vars": {**WORKER_ENVIRONMENT, **guarded_variables()}},
    }


def guarded_variables() -> dict[str, str]:
    """What `environment.guard_environment` set for this process and Ray's must have too."""
    names = (
        "LITELLM_LOCAL_MODEL_COST_MAP", "OTEL_SDK_DISABLED", "AGENTOPS_LOG_LEVEL", "AGENTOPS_LOGGING_TO_FILE",
        "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "NO_PROXY", "no_proxy",
    )  # fmt: skip
    return {name: os.environ[name] for name in names if name in os.environ}


@contextlib.contextmanager
def _beside(run: RunFolder, facts: RunFacts, display: Display, interrupt: Interrupt | None) -> Generator[None]:
    """While it is entered, new lines of `metrics.jsonl` are shown, and an interrupt is handed on to Ray."""
    lines, ended = NewLines(run.metrics_file), threading.Event()
    facts.stop_file.unlink(missing_ok=True)

    def follow() -> None:
        while not ended.wait(POLL_S):
            _show(lines.read(), display)
            if interrupt is not None and interrupt():
                facts.stop_file.touch()

    thread = threading.Thread(target=follow, name="beside-ray", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _show(lines.read(), display)
        facts.stop_file.unlink(missing_ok=True)


def _show(lines: Sequence[Mapping[str, object]], display: Display) -> None:
    for line in cast("Sequence[MetricLine]", lines):
        if line["event"] == "step":
            display.step(line)
        elif line["event"] == "validation":
            display.validation(line)
        elif line["event"] == "alarm":
            display.note(f"alarm after step {line.get('step')}, {line.get('monitor')}: {line.get('text')}")
