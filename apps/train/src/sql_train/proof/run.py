"""`train fast --cpu-proof`: VERL's real loop on a machine without a GPU, with our trainer, daemon and agent.

Validation, two GRPO steps, validation, checkpoint, end; one rollout is made to fail. Then what happened is compared
with what should have (`checks`). A run takes minutes on two cores: the trainer's tiny model on the
embedded benchmark, verl with FSDP2, and the CPU build of vLLM.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from lit_sql_trainer.data import embedded_data, load_data
from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.machine import environment
from lit_sql_trainer.models.folder import model_source
from lit_sql_trainer.profile.overrides import to_plain
from lit_sql_trainer.profile.profile import Profile, RolloutSettings
from lit_sql_trainer.profile.verl import Strategy, VerlSettings
from lit_sql_trainer.rollouts.seeds import TaskOrder
from lit_sql_trainer.runs.folder import RunFolder, append_line, create_run, open_run
from lit_sql_trainer.verl.launch import guarded_variables, train_with_verl
from sql_graph import CheckMode, PromptStyle
from sql_graph.options import RewriteForm
from sql_train.proof import cpu

GROUPS, ROLLOUTS, STEPS = 4, 4, 2
MAX_PROMPT, MAX_REPLY = 768, 96
LEARNING_RATE = 1e-3
ADAPTER_LEARNING_RATE = 1e-2
"""So large that two steps change replies; an adapter begins at zero and needs more."""
TASKS = (24, 12)
"""Training and validation tasks, the first ones of the embedded benchmark."""
INSTALL = "uv sync --exact --package lit-sql-trainer --no-group app --group proof"


class Fault(StrEnum):
    """What is broken in a proof run, beside the one rollout that always is."""

    NONE = "none"
    SERVER = "server"
    """vLLM's server is killed while the second step's rollouts run."""
    RUNNER = "runner"
    """One runner is killed in the first step."""
    GOLD = "gold"
    """One task's gold query fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSettings:
    """How a proof run is made."""

    runs: Path = Path("runs")
    name: str | None = None
    seed: int = 0
    steps: int = STEPS
    fault: Fault = Fault.NONE
    adapter_rank: int = 0
    """Of the LoRA that is trained; 0 trains all weights."""
    ranks: int = 1
    """Workers that share the model and its update; each has a vLLM server of its own."""
    strategy: Strategy = Strategy.FSDP2
    """How workers share the model."""
    rollout_timeout_s: float = 150.0
    resume: Path | None = None
    """A proof's run folder to go on with, up to `steps`."""
    validate_only: Path | None = None
    """A `global_step_<n>` folder to score, without training."""


def proof_profile() -> Profile:
    """Short prompts and replies, and a model that checks its own results, so that some calls are not trained."""
    return Profile(
        name="cpu-proof",
        summary="VERL without a GPU",
        grpo=None,
        verl=VerlSettings(),
        runners=2,
        max_span_megabytes=256,
        rollout=RolloutSettings(
            check=CheckMode.LLM,
            rewrite=RewriteForm.CONVERSATION,
            style=PromptStyle.COMPACT,
            prompt_budget_tokens=512,
            max_tokens=MAX_REPLY,
            max_turns=2,
            request_timeout_s=40,
            max_retries=1,
            deadline_s=60,
        ),
    )


def proof_config(settings: ProofSettings) -> dict[str, Any]:
    """VERL's dictionary for a proof run."""
    config: dict[str, Any] = {
        "algorithm": {"adv_estimator": "grpo", "use_kl_in_reward": False},
        "data": {"train_batch_size": GROUPS, "max_prompt_length": MAX_PROMPT, "max_response_length": MAX_REPLY},
        "actor_rollout_ref": {
            "rollout": {
                "name": "vllm",
                "n": ROLLOUTS,
                "tensor_model_parallel_size": 1,
                "log_prob_micro_batch_size_per_gpu": 8,
                "gpu_memory_utilization": 0.3,
                "max_num_seqs": 32,
                "multi_turn": {"format": "hermes"},
            },
            "actor": {
                "ppo_mini_batch_size": GROUPS // 2,  # two optimiser steps a batch
                "ppo_micro_batch_size_per_gpu": 4,
                "optim": {"lr": LEARNING_RATE},
                "use_kl_loss": False,
                "entropy_coeff": 0,
                "clip_ratio_low": 0.2,
                "clip_ratio_high": 0.28,
                "fsdp_config": {"param_offload": True, "optimizer_offload": True},
            },
            "ref": {"log_prob_micro_batch_size_per_gpu": 8},
            "model": {"enable_gradient_checkpointing": True},
        },
        "trainer": {
            "val_before_train": True,
            "val_only": settings.validate_only is not None,
            "critic_warmup": 0,
            "logger": ["console"],
            "project_name": "lit-sql",
            "save_freq": 1,
            "test_freq": settings.steps,
            "total_epochs": 1,
            "total_training_steps": settings.steps,
            "max_actor_ckpt_to_keep": 2,
        },
        "lit_sql": {
            "seed": settings.seed,
            "refill_factor": 2.0,
            "rollout_timeout_s": settings.rollout_timeout_s,
        },
        "lit_sql_proof": {
            "kill_server_in_step": 2 if settings.fault is Fault.SERVER else None,
            "main_process": os.getpid(),
        },
    }
    if settings.adapter_rank:
        rollout, model = config["actor_rollout_ref"]["rollout"], config["actor_rollout_ref"]["model"]
        model |= {
            "lora_rank": settings.adapter_rank,
            "lora_alpha": settings.adapter_rank,
            "target_modules": "all-linear",
        }
        rollout |= {"load_format": "safetensors", "layered_summon": True}
        config["actor_rollout_ref"]["actor"]["optim"]["lr"] = ADAPTER_LEARNING_RATE
    if settings.validate_only is not None:
        config["trainer"] |= {"resume_mode": "resume_path", "resume_from_path": str(settings.validate_only.resolve())}
    return cpu.configure(config, ranks=settings.ranks, strategy=settings.strategy)


def open_proof(settings: ProofSettings) -> RunFolder:
    """The folder of a proof run, with a copy of the model that it starts from.

    Raises:
        SetupError: this environment has no CPU build of vLLM.
        RunError: the folder cannot be made, or there is none to resume.
    """
    check_environment()
    if settings.resume is not None:
        return open_run(settings.resume, root=settings.runs)
    run = create_run(
        settings.runs.resolve(), profile=proof_profile().name, config=to_plain(settings), name=settings.name
    )
    shutil.copytree(model_source(None), start_model(run))
    return run


def start_model(run: RunFolder) -> Path:
    """What a proof run's weights are compared with."""
    return run.path / "proof" / "start"


def run_proof(settings: ProofSettings, run: RunFolder) -> None:
    """Do a proof run; `report.check_run` says what is to be made of it.

    Raises:
        TrainerError: the run stopped, as it should with some faults.
    """
    started = time.monotonic()
    data = load_data(embedded_data(), train_tasks=TASKS[0], validation_tasks=TASKS[1])
    environment.check_start_method()
    environment.guard_environment(local_model=True)
    cpu.prepare_environment(ranks=settings.ranks)
    profile = proof_profile()
    environment.quiet_loggers(run.library_log)

    from lit_sql_trainer.machine.interrupt import Interrupt
    from lit_sql_trainer.runs.console import open_display
    from sql_train.proof.agent import BrokenWorld
    from sql_train.proof.parts import ProofDaemon, ProofTrainer

    agent = BrokenWorld(
        data=data.folder,
        settings=profile.rollout,
        rollouts_file=run.rollouts_file,
        breakage=breakage(settings, len(data.train)),
    )
    display = open_display(settings.steps)
    display.note(f"run {run.path}: VERL on the CPU, fault {settings.fault.value!r}; Ray and vLLM take minutes to start")
    with Interrupt() as interrupt, display:
        try:
            train_with_verl(
                profile,
                config=proof_config(settings),
                run=run,
                data=data,
                model=str(start_model(run)),
                display=display,
                interrupt=interrupt,
                ray_options=cpu.ray_options(guarded_variables(), ranks=settings.ranks),
                trainer_cls=ProofTrainer,
                daemon_cls=ProofDaemon,
                agent=agent,
            )
        finally:
            append_line(run.path / "proof" / "wall.jsonl", {"seconds": round(time.monotonic() - started, 1)})


def breakage(settings: ProofSettings, tasks: int) -> Any:
    """Where the run is broken: always in one rollout of the first step, in others as the fault says."""
    from sql_train.proof.agent import Breakage, Place

    first, second = TaskOrder(tasks, seed=settings.seed).take(2)
    world = Breakage(endpoint=frozenset({Place(step=1, task=first, sample=0)}))
    if settings.fault is Fault.RUNNER:
        return replace(world, runner=frozenset({Place(step=1, task=second, sample=1)}))
    if settings.fault is Fault.GOLD:
        return replace(world, gold=frozenset({second}))
    return world


def check_environment() -> None:
    """Whether the proof can run here.

    Raises:
        SetupError: names what is missing and how to get it.
    """
    missing = [name for name in ("verl", "vllm", "torch", "ray") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(f"the proof needs {', '.join(missing)}, not installed here: `{INSTALL}` (8.8 GB, Python 3.11)")
    from importlib.metadata import version

    if "cpu" not in version("vllm"):
        raise SetupError(f"the proof needs the CPU build of vLLM, found {version('vllm')}: `{INSTALL}`")
    if sys.version_info[:2] != (3, 11):
        raise SetupError(f"the proof needs Python 3.11, this is {sys.version.split()[0]}: `{INSTALL} --python 3.11`")
