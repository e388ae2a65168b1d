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
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lit_sql_trainer.data import TrainingData
from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.machine import environment
from lit_sql_trainer.models.checkpoints import last_checkpoint
from lit_sql_trainer.profile.overrides import to_plain
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.rollouts.metrics import MetricLine
from lit_sql_trainer.runs.console import Display
from lit_sql_trainer.runs.folder import RunFolder
from lit_sql_trainer.runs.watch import NewLines
from lit_sql_trainer.verl.plan import update_plan
from lit_sql_trainer.verl.relay import RUN_KEY, SETTINGS_KEY, RunFacts

if TYPE_CHECKING:
    from lit_sql_trainer.agent.agent import LitSQLAgent
    from lit_sql_trainer.machine.interrupt import Interrupt
    from lit_sql_trainer.verl.daemon import SqlDaemon
    from lit_sql_trainer.verl.trainer import SqlTrainer

RUNNER_DIED = "Subprocesses failed"
"""How the library begins to say so, after everything else has ended."""
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
    config: Mapping[str, Any],
    run: RunFolder,
    data: TrainingData,
    model: str,
    display: Display,
    interrupt: Interrupt | None = None,
    port: int | None = None,
    ray_options: Mapping[str, Any] | None = None,
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
    from lit_sql_trainer.rollouts.trainer import make_trainer
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
    rows = [[dict(task.to_row()) for task in split] for split in (data.train, data.validation)]
    try:
        trainer.fit(agent, rows[0], val_dataset=rows[1])
    except RuntimeError as error:
        if not str(error).startswith(RUNNER_DIED):
            raise
        # The algorithm has ended by itself; what the dead runner held was dropped and counted.
        display.note(f"a runner process ended badly ({error}); see {run.library_log}")


def run_config(config: Mapping[str, Any], *, run: RunFolder, model: str, facts: RunFacts) -> dict[str, Any]:
    """VERL's dictionary with what only this run knows: model, folders, name, and the facts that our trainer reads."""
    composed: dict[str, Any] = _copy(config)
    composed.setdefault(SETTINGS_KEY, {})
    composed[RUN_KEY] = to_plain(facts)
    composed.setdefault("actor_rollout_ref", {}).setdefault("model", {})["path"] = model
    trainer = composed.setdefault("trainer", {})
    trainer["default_local_dir"] = str(run.checkpoints.resolve())
    trainer.setdefault("experiment_name", run.name)
    trainer.setdefault("resume_mode", "auto")  # of who says nothing: from this run's own folder
    composed.setdefault("data", {})["val_batch_size"] = None
    return composed


def check_sizes(config: Mapping[str, Any], *, train_tasks: int) -> None:
    """Refuse sizes that do not fit before anything is loaded.

    Raises:
        ConfigError: see `plan.update_plan`; or there are fewer tasks than a step takes.
    """
    wanted = int(config["data"]["train_batch_size"])
    if train_tasks < wanted:
        raise ConfigError(
            f"{train_tasks} training tasks are fewer than data.train_batch_size {wanted}: a step needs that many "
            f"different tasks; lower it"
        )
    facts = config[RUN_KEY]
    settings = cast("Mapping[str, Any]", config[SETTINGS_KEY])
    factor = float(settings.get("refill_factor", 1.0))
    update_plan(
        {"algorithm": {"adv_estimator": "grpo"}, **config}, max_calls=int(facts["max_calls"]), refill_factor=factor
    )


def gpu_ray_options() -> dict[str, Any]:
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


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_copy(each) for each in cast("Sequence[Any]", value)]
    return str(value) if isinstance(value, Path) else value
