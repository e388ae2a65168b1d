"""VERL's settings as frozen values: the same tree and the same names as the dictionary that VERL reads.

The defaults are those of Agent-lightning's tutorial "Train a SQL agent" (`RL_TRAINING_CONFIG` in its
`examples/spider/train_sql_agent.py`, v0.3.0), so a profile shows only what it changes. None means "not written": then
VERL's own default holds. Every other key of VERL can be set through `extra`. The section `lit_sql` holds what our
trainer needs and VERL does not know; it travels in the same dictionary, because that is all a trainer class is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.profile.grpo import Weighting
from lit_sql_trainer.profile.overrides import OPEN
from lit_sql_trainer.profile.verl_keys import key_kinds

DECIDED_ELSEWHERE = {
    "actor_rollout_ref.model.path": "--model",
    "data.train_files": "--data",
    "data.val_files": "--data",
    "trainer.default_local_dir": "--runs",
    "trainer.experiment_name": "--name",
    "trainer.resume_mode": "--resume",
    "trainer.resume_from_path": "--resume",
}
"""Keys of VERL that an option of `train` decides, so that the run folder and VERL agree."""


class Strategy(StrEnum):
    """How VERL shards a model over GPUs, and moves it off the GPU while vLLM generates."""

    FSDP = "fsdp"
    FSDP2 = "fsdp2"


class Logger(StrEnum):
    """Where VERL writes its numbers, beside `metrics.jsonl`. The list is that of `verl.utils.tracking` 0.7.0."""

    CONSOLE = "console"
    WANDB = "wandb"
    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    SWANLAB = "swanlab"
    TRACKIO = "trackio"
    CLEARML = "clearml"
    FILE = "file"


class Device(StrEnum):
    """What VERL trains on."""

    CUDA = "cuda"
    NPU = "npu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """`algorithm`"""

    adv_estimator: str = "grpo"
    use_kl_in_reward: bool = False
    norm_adv_by_std_in_grpo: bool | None = None
    """Divide advantages by the group's standard deviation; VERL's default is yes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """`data`. Which files are read is `--data`."""

    train_batch_size: int = 32
    """Questions of one step."""
    max_prompt_length: int = 4096
    max_response_length: int = 2048
    truncation: str = "error"
    seed: int | None = None
    """Of the order of the questions; VERL's default is none, which repeats nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiTurn:
    """`actor_rollout_ref.rollout.multi_turn`"""

    format: str = "hermes"


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmEngine:
    """`actor_rollout_ref.rollout.engine_kwargs.vllm`"""

    enable_auto_tool_choice: bool | None = True
    tool_call_parser: str | None = "hermes"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKwargs:
    """`actor_rollout_ref.rollout.engine_kwargs`"""

    vllm: VllmEngine = field(default_factory=VllmEngine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """`actor_rollout_ref.rollout`"""

    name: str = "vllm"
    n: int = 4
    """Rollouts of each question: the group within which advantages are centred."""
    tensor_model_parallel_size: int = 1
    gpu_memory_utilization: float = 0.8
    """Share of the GPU that vLLM takes for weights and cache while it generates."""
    log_prob_micro_batch_size_per_gpu: int = 4
    temperature: float | None = None
    """Of training rollouts; VERL's default is 1.0. Validation is greedy whatever this says."""
    max_num_seqs: int | None = None
    load_format: str | None = None
    layered_summon: bool | None = None
    multi_turn: MultiTurn = field(default_factory=MultiTurn)
    engine_kwargs: EngineKwargs = field(default_factory=EngineKwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optim:
    """`actor_rollout_ref.actor.optim`"""

    lr: float = 1e-6
    lr_warmup_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorFsdp:
    """`actor_rollout_ref.actor.fsdp_config`"""

    param_offload: bool = True
    """Keep the weights in host memory while vLLM generates."""
    optimizer_offload: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """`actor_rollout_ref.actor`"""

    strategy: Strategy | None = None
    """VERL's default is FSDP1."""
    ppo_mini_batch_size: int = 32
    """Questions of one optimiser step; VERL multiplies it by `n`."""
    ppo_micro_batch_size_per_gpu: int = 4
    use_torch_compile: bool | None = None
    use_kl_loss: bool = False
    kl_loss_coef: float = 0.0
    entropy_coeff: float = 0
    clip_ratio_low: float = 0.2
    clip_ratio_high: float = 0.3
    optim: Optim = field(default_factory=Optim)
    fsdp_config: ActorFsdp = field(default_factory=ActorFsdp)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefFsdp:
    """`actor_rollout_ref.ref.fsdp_config`"""

    param_offload: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """`actor_rollout_ref.ref`: the model that a KL term compares with; unused without one."""

    log_prob_micro_batch_size_per_gpu: int = 8
    fsdp_config: RefFsdp = field(default_factory=RefFsdp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """`actor_rollout_ref.model`. Which model is loaded is `--model`."""

    use_remove_padding: bool = True
    """Needs flash-attention; where it is missing this is turned off, and said."""
    enable_gradient_checkpointing: bool = True
    lora_rank: int | None = None
    """None or 0 trains all weights."""
    lora_alpha: int | None = None
    target_modules: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorRolloutRef:
    """`actor_rollout_ref`"""

    rollout: Rollout = field(default_factory=Rollout)
    actor: Actor = field(default_factory=Actor)
    ref: Ref = field(default_factory=Ref)
    model: Model = field(default_factory=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """`trainer`. Folders and the experiment's name are those of the run folder."""

    n_gpus_per_node: int = 1
    nnodes: int = 1
    val_before_train: bool = True
    val_only: bool | None = None
    """Validate, and end."""
    critic_warmup: int = 0
    logger: tuple[Logger, ...] = (Logger.CONSOLE, Logger.WANDB)
    """The console is always among them."""
    project_name: str = "AgentLightning"
    test_freq: int = 32
    """Steps between validations."""
    save_freq: int | None = None
    """Steps between checkpoints; None, as in the tutorial, saves none."""
    max_actor_ckpt_to_keep: int | None = None
    total_epochs: int = 2
    total_training_steps: int | None = None
    """Ends training before the epochs do."""
    device: Device | None = None
    """None is CUDA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LitSql:
    """`lit_sql`: what our trainer and daemon do differently from the library's. VERL ignores the section."""

    weighting: Weighting = Weighting.ROLLOUT
    """What counts once in the loss: each rollout, or each of its model calls."""
    refill_factor: float = 1.0
    """Up to this many times `train_batch_size` questions are rolled out to replace groups without variance; at most 2.
    Whether a group has variance is decided on right or wrong, never on a shaped reward."""
    max_dropped_share: float = 0.02
    """Rollouts lost to our own failures, over the last `dropped_window`, that a run survives."""
    dropped_window: int = 256
    rollout_timeout_s: float = 600.0
    """After this a rollout is given up and dropped."""
    runner_timeout_s: float = 60.0
    """A runner that shows no sign of life for this long has died, and its rollout with it; it beats every 10 s."""
    seed: int = 0
    """Of everything that our trainer draws: sampling seeds of requests, and which remainder of a batch is left out."""
    keep_best: bool = True
    """Keep the checkpoint that was best on validation, beside the last ones."""
    early_stop_steps: int | None = None
    """End when validation has not gained more than its standard error for so many steps; None never does."""

    def __post_init__(self) -> None:
        self._require(1.0 <= self.refill_factor <= 2.0, "refill_factor", "between 1 (off) and 2")
        self._require(0.0 <= self.max_dropped_share <= 1.0, "max_dropped_share", "between 0 and 1")
        self._require(self.dropped_window >= 1, "dropped_window", "at least 1")
        self._require(0.0 < self.rollout_timeout_s < math.inf, "rollout_timeout_s", "a positive number")
        self._require(20.0 <= self.runner_timeout_s < math.inf, "runner_timeout_s", "at least 20")
        self._require(self.seed >= 0, "seed", "at least 0")
        steps = self.early_stop_steps
        self._require(steps is None or steps >= 1, "early_stop_steps", "at least 1, or none")

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ConfigError(f"verl.lit_sql.{name} must be {expected}, got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlSettings:
    """One training run with VERL."""

    algorithm: Algorithm = field(default_factory=Algorithm)
    data: Data = field(default_factory=Data)
    actor_rollout_ref: ActorRolloutRef = field(default_factory=ActorRolloutRef)
    trainer: Trainer = field(default_factory=Trainer)
    lit_sql: LitSql = field(default_factory=LitSql)
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], metadata={OPEN: key_kinds})
    """Any other key of VERL: dotted path → value."""

    def __post_init__(self) -> None:
        for path in self.extra:
            if option := DECIDED_ELSEWHERE.get(path):
                raise ConfigError(f"VERL's key {path!r} is not set by --set: use {option}")
