"""VERL's settings as frozen values: the same tree and the same names as the dictionary that VERL reads.

The defaults are those of Agent-lightning's tutorial "Train a SQL agent" (`RL_TRAINING_CONFIG` in its
`examples/spider/train_sql_agent.py`, v0.3.0), so a profile shows only what it changes. None means "not written": then
VERL's own default holds. Every other key of VERL can be set through `extra`. The section `lit_sql` holds what our
trainer needs and VERL does not know; it travels in the same dictionary, because that is all a trainer class is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.profile.checked import (
    Count,
    Positive,
    PositiveNumber,
    RefillFactor,
    RunnerTimeout,
    Share,
    settings,
)
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


@settings("verl.algorithm")
class Algorithm:
    """`algorithm`"""

    adv_estimator: str = "grpo"
    """The method that computes advantages; only `grpo` is supported."""
    use_kl_in_reward: bool = False
    """Subtract a KL term from rewards; refused, because a reward here is a verdict."""
    norm_adv_by_std_in_grpo: bool | None = None
    """Divide advantages by the group's standard deviation; VERL's default is yes."""


@settings("verl.data")
class Data:
    """`data`. Which files are read is `--data`."""

    train_batch_size: Positive = 32
    """Number of questions in one step."""
    max_prompt_length: Positive = 4096
    """Tokens of the longest prompt that is trained."""
    max_response_length: Positive = 2048
    """Tokens of the longest reply that is trained."""
    truncation: str = "error"
    """What VERL does with longer prompts of its own data set."""
    seed: int | None = None
    """Seed of the order of the questions; VERL's default is none, with which no run can be repeated."""


@settings("verl.actor_rollout_ref.rollout.multi_turn")
class MultiTurn:
    """`actor_rollout_ref.rollout.multi_turn`"""

    format: str = "hermes"
    """How VERL's own agent loop would read tool calls."""


@settings("verl.actor_rollout_ref.rollout.engine_kwargs.vllm")
class VllmEngine:
    """`actor_rollout_ref.rollout.engine_kwargs.vllm`"""

    enable_auto_tool_choice: bool | None = True
    """Have vLLM look for tool calls in replies."""
    tool_call_parser: str | None = "hermes"
    """How vLLM reads tool calls."""


@settings("verl.actor_rollout_ref.rollout.engine_kwargs")
class EngineKwargs:
    """`actor_rollout_ref.rollout.engine_kwargs`"""

    vllm: VllmEngine = field(default_factory=VllmEngine)


@settings("verl.actor_rollout_ref.rollout")
class Rollout:
    """`actor_rollout_ref.rollout`"""

    name: str = "vllm"
    """The inference engine."""
    n: Positive = 4
    """Number of rollouts of each question; advantages are centred within this group."""
    tensor_model_parallel_size: Positive = 1
    """GPUs that share one copy of the model while it generates."""
    gpu_memory_utilization: Share = 0.8
    """Share of the GPU that vLLM takes for weights and cache while it generates."""
    log_prob_micro_batch_size_per_gpu: Positive = 4
    """Rows of one forward pass that takes log-probabilities."""
    temperature: float | None = None
    """Temperature of training rollouts; VERL's default is 1.0. Validation is greedy whatever this says."""
    max_num_seqs: int | None = None
    """Most replies that vLLM generates together."""
    load_format: str | None = None
    """How vLLM loads the first weights; an adapter needs `safetensors`."""
    layered_summon: bool | None = None
    """Gather an adapter's weights layer by layer."""
    multi_turn: MultiTurn = field(default_factory=MultiTurn)
    engine_kwargs: EngineKwargs = field(default_factory=EngineKwargs)


@settings("verl.actor_rollout_ref.actor.optim")
class Optim:
    """`actor_rollout_ref.actor.optim`"""

    lr: PositiveNumber = 1e-6
    """Learning rate of Adam."""
    lr_warmup_steps: int | None = None
    """Steps over which the learning rate rises."""


@settings("verl.actor_rollout_ref.actor.fsdp_config")
class ActorFsdp:
    """`actor_rollout_ref.actor.fsdp_config`"""

    param_offload: bool = True
    """Keep the weights in host memory while vLLM generates."""
    optimizer_offload: bool = True
    """Keep Adam's moments in host memory while vLLM generates."""


@settings("verl.actor_rollout_ref.actor")
class Actor:
    """`actor_rollout_ref.actor`"""

    strategy: Strategy | None = None
    """How VERL shards the model; its default is FSDP1."""
    ppo_mini_batch_size: Positive = 32
    """Number of questions in one optimiser step; VERL multiplies it by `n`."""
    ppo_micro_batch_size_per_gpu: Positive = 4
    """Rows of one forward and backward pass."""
    use_torch_compile: bool | None = None
    """Compile the model; VERL's default is yes."""
    use_kl_loss: bool = False
    """Add the divergence from the reference model to the loss."""
    kl_loss_coef: float = 0.0
    """Weight of that divergence."""
    entropy_coeff: float = 0
    """Weight of the entropy in the loss."""
    clip_ratio_low: float = 0.2
    """A token's probability ratio may fall by this much before its gradient is cut."""
    clip_ratio_high: float = 0.3
    """A token's probability ratio may rise by this much before its gradient is cut."""
    optim: Optim = field(default_factory=Optim)
    fsdp_config: ActorFsdp = field(default_factory=ActorFsdp)


@settings("verl.actor_rollout_ref.ref.fsdp_config")
class RefFsdp:
    """`actor_rollout_ref.ref.fsdp_config`"""

    param_offload: bool = True
    """Keep the reference's weights in host memory while they are not used."""


@settings("verl.actor_rollout_ref.ref")
class Ref:
    """`actor_rollout_ref.ref`: the model that a KL term compares with; unused without one."""

    log_prob_micro_batch_size_per_gpu: Positive = 8
    """Rows of one forward pass that takes log-probabilities."""
    fsdp_config: RefFsdp = field(default_factory=RefFsdp)


@settings("verl.actor_rollout_ref.model")
class Model:
    """`actor_rollout_ref.model`. Which model is loaded is `--model`."""

    use_remove_padding: bool = True
    """Remove padding, which needs flash-attention; without it the run turns this off and says so."""
    enable_gradient_checkpointing: bool = True
    """Compute activations again instead of keeping them."""
    lora_rank: int | None = None
    """Rank of a LoRA; None or 0 trains all weights."""
    lora_alpha: int | None = None
    """Scale of a LoRA, divided by its rank."""
    target_modules: str | None = None
    """The layers that get a LoRA."""


@settings("verl.actor_rollout_ref")
class ActorRolloutRef:
    """`actor_rollout_ref`"""

    rollout: Rollout = field(default_factory=Rollout)
    actor: Actor = field(default_factory=Actor)
    ref: Ref = field(default_factory=Ref)
    model: Model = field(default_factory=Model)


@settings("verl.trainer")
class Trainer:
    """`trainer`. Folders and the experiment's name are those of the run folder."""

    n_gpus_per_node: Positive = 1
    """Number of GPUs of each node."""
    nnodes: Positive = 1
    """Number of machines."""
    val_before_train: bool = True
    """Validate before the first step."""
    val_only: bool | None = None
    """Only validate."""
    critic_warmup: int = 0
    """Steps in which only a critic would be trained; there is none."""
    logger: tuple[Logger, ...] = (Logger.CONSOLE, Logger.WANDB)
    """Loggers of the run; the console is always one of them."""
    project_name: str = "AgentLightning"
    """The project under which loggers file the run."""
    test_freq: int = 32
    """Steps between validations."""
    save_freq: int | None = None
    """Steps between checkpoints; None, as in the tutorial, saves none."""
    max_actor_ckpt_to_keep: int | None = None
    """Checkpoints kept beside the best one."""
    total_epochs: int = 2
    """How many times every question is asked."""
    total_training_steps: int | None = None
    """Number of steps after which training ends, if that is before the end of the epochs."""
    device: Device | None = None
    """The kind of accelerator; None is CUDA."""


@settings("verl.lit_sql")
class LitSql:
    """`lit_sql`: what our trainer and daemon do differently from the library's. VERL ignores the section."""

    weighting: Weighting = Weighting.ROLLOUT
    """The unit of weight in the loss: each rollout, or each of its model calls."""
    refill_factor: RefillFactor = 1.0
    """Roll out up to this many times `train_batch_size` questions to replace groups that are all right or all wrong; at
    most 2. A shaped reward does not change which groups these are."""
    max_dropped_share: Share = 0.02
    """Largest share of dropped rollouts among the last `dropped_window`; with more, the run stops."""
    dropped_window: Positive = 256
    """Number of latest rollouts over which `max_dropped_share` counts."""
    rollout_timeout_s: PositiveNumber = 600.0
    """Seconds after which a rollout is given up and dropped."""
    runner_timeout_s: RunnerTimeout = 60.0
    """Seconds without a heartbeat (sent every 10 s) after which a runner counts as dead and its rollout is dropped."""
    seed: Count = 0
    """Seed of all draws of our trainer: the seeds of requests, and how groups are divided among mini-batches."""
    keep_best: bool = True
    """Keep the checkpoint that was best on validation, beside the last ones."""
    early_stop_steps: Positive | None = None
    """End when validation has not gained more than its standard error for so many steps; None never ends the run."""

    @property
    def stall_timeout_s(self) -> float:
        """Seconds without the end of any rollout after which the run stops."""
        return 2 * self.rollout_timeout_s

    @property
    def poll_interval_s(self) -> float:
        """Seconds between two checks of the store for ended rollouts."""
        return 0.5


@settings("verl")
class VerlSettings:
    """One training run with VERL."""

    algorithm: Algorithm = field(default_factory=Algorithm)
    data: Data = field(default_factory=Data)
    actor_rollout_ref: ActorRolloutRef = field(default_factory=ActorRolloutRef)
    trainer: Trainer = field(default_factory=Trainer)
    lit_sql: LitSql = field(default_factory=LitSql)
    extra: Mapping[str, object] = field(default_factory=dict[str, object], metadata={OPEN: key_kinds})
    """Any other key of VERL: dotted path → value."""

    def __post_init__(self) -> None:
        for path in self.extra:
            if option := DECIDED_ELSEWHERE.get(path):
                raise ConfigError(f"VERL's key {path!r} is not set by --set: use {option}")
