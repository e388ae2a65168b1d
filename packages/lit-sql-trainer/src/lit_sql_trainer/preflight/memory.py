"""How much memory a profile will take: arithmetic on a model's shape, by the formulas of docs/check.md.

Notation: P parameters, A those that are trained (of the LoRA, or all), L layers, H hidden width, V vocabulary, C
numbers that the key-value cache keeps of a token, T tokens of a micro-batch, W processes that share a model. What
frameworks keep for themselves (a CUDA context is about half a GiB) and fragmentation are left out, so a fit within a
tenth of the memory is called tight. The formulas are the usual ones; none was compared with a measurement on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from lit_sql_trainer.preflight.shape import ModelShape
from lit_sql_trainer.profile.profile import Profile

GIB = 2**30
HALF, FLOAT32 = 2, 4
ADAM = 8
"""Bytes a parameter of Adam's two moments, in float32."""
KEPT = 34
"""Bytes a token and hidden unit that one layer keeps for its backward pass in half precision, without the attention
matrix: Korthikanti et al. (2022), Reducing Activation Recomputation in Large Transformer Models, equation 2."""
LOGITS = 10
"""Bytes a token and vocabulary entry of logits: half precision, then float32 and its gradient."""
PROCESS_BYTES = 1_300_000_000
"""Peak of the main process with the library, torch and a model of a million parameters loaded, as it was measured."""
RUNNER_BYTES = 350_000_000
"""A runner with the library loaded, as it was measured; most of it is shared with the process it was forked from."""
RAY_BYTES = 7_300_000_000
"""All processes of VERL, vLLM and Ray with a tiny model on a CPU, as it was measured."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an estimate: what takes memory, and how much."""

    name: str
    size_bytes: int
    bound: bool = False
    """An upper bound, reached only when every sequence is as long as it may be."""

    @property
    def described(self) -> str:
        """Return the name and the size as text."""
        return f"{self.name} {size(self.size_bytes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is needed at the same time in one place."""

    place: str
    """`memory`, or what a GPU is doing."""
    parts: tuple[Part, ...]
    on_gpu: bool = False
    gpu_share: float = 0.0
    """Share of the GPU that is taken whole, beside the parts."""

    @property
    def total_bytes(self) -> int:
        """Return the sum of the parts."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def certain_bytes(self) -> int:
        """The sum without upper bounds: less than this cannot do."""
        return sum(part.size_bytes for part in self.parts if not part.bound)


def estimates(profile: Profile, shape: ModelShape) -> tuple[Estimate, ...]:
    """What training with a profile needs in each place, on each GPU."""
    if profile.verl is not None:
        return (*_verl_gpu(profile, shape), _verl_host(profile, shape))
    model = _local(profile, shape)
    processes = (
        Part("main process", PROCESS_BYTES),
        Part("runners", profile.runners * RUNNER_BYTES),
    )
    if profile.local.device != "cpu":
        return Estimate(place="GPU", parts=model, on_gpu=True), Estimate(place="memory", parts=processes)
    return (Estimate(place="memory", parts=(*model, *processes)),)


def checkpoint_bytes(profile: Profile, shape: ModelShape) -> int:
    """Disk for checkpoints at their worst. Local: the best (4 P), the last with its optimizer (12 P), and the one that
    is being written beside it. VERL: 4 P + 8 A for each one kept, for the best, and for the one being written; none
    without `save_freq`.
    """
    if profile.verl is None:
        return FLOAT32 * shape.parameters + 2 * (FLOAT32 + ADAM) * shape.parameters
    trainer = profile.verl.trainer
    whole = FLOAT32 * shape.parameters + ADAM * _trained(profile, shape)
    return whole * ((trainer.max_actor_ckpt_to_keep or 1) + 2) if trainer.save_freq else 0


def cache_sequences(profile: Profile, shape: ModelShape, gpu_bytes: int) -> int:
    """How many rollouts of full length vLLM's cache holds at once on a GPU of that size: (u × GPU − 2 P / t) / 2 C S.

    u is gpu_memory_utilization, t the tensor parallel size, S prompt and reply at their longest.
    """
    settings = profile.gpu
    rollout = settings.actor_rollout_ref.rollout
    room = rollout.gpu_memory_utilization * gpu_bytes - HALF * shape.parameters / rollout.tensor_model_parallel_size
    tokens = settings.data.max_prompt_length + settings.data.max_response_length
    return max(0, int(room / (HALF * shape.cache_numbers_per_token * tokens / rollout.tensor_model_parallel_size)))


def _local(profile: Profile, shape: ModelShape) -> tuple[Part, ...]:
    """The local algorithm: one process holds the model, trains it and samples from it, all in float32."""
    grpo, parameters = profile.local, shape.parameters
    context = min(grpo.context_tokens, shape.context_tokens or grpo.context_tokens)
    requests = min(grpo.max_batch, grpo.tasks_per_step * grpo.rollouts_per_task)
    activations = (2 * KEPT * shape.layers * shape.hidden + 3 * FLOAT32 * shape.vocabulary) * grpo.micro_batch_tokens
    parts = (
        Part("weights", FLOAT32 * parameters),
        Part("gradients", FLOAT32 * parameters),
        Part("optimizer", ADAM * parameters),
        Part(
            "key-value cache",
            FLOAT32 * shape.cache_numbers_per_token * requests * context,
            bound=True,
        ),
        Part("activations", activations, bound=True),
    )
    reference = Part("reference model", FLOAT32 * parameters)
    return (*parts, reference) if grpo.kl_coefficient > 0 else parts


def _verl_gpu(profile: Profile, shape: ModelShape) -> tuple[Estimate, Estimate]:
    """The two phases of a step on one GPU: the update, and generation beside what was not offloaded."""
    settings = profile.gpu
    actor, model = settings.actor_rollout_ref.actor, settings.actor_rollout_ref.model
    world = settings.trainer.n_gpus_per_node * settings.trainer.nnodes
    trained = _trained(profile, shape)
    tokens = actor.ppo_micro_batch_size_per_gpu * (settings.data.max_prompt_length + settings.data.max_response_length)
    kept = KEPT * shape.hidden * shape.layers
    if model.enable_gradient_checkpointing:
        kept = (HALF * shape.layers + KEPT) * shape.hidden
    weights = Part("weights", FLOAT32 * shape.parameters // world)
    optimizer = Part("optimizer", ADAM * trained // world)
    update = (
        weights,
        Part("gradients", FLOAT32 * trained // world),
        optimizer,
        Part("activations", (kept + LOGITS * shape.vocabulary) * tokens, bound=True),
    )
    resident = [
        part
        for part, offloaded in (
            (weights, actor.fsdp_config.param_offload),
            (optimizer, actor.fsdp_config.optimizer_offload),
        )
        if not offloaded
    ]
    return (
        Estimate(place="GPU while updating", parts=update, on_gpu=True),
        Estimate(
            place="GPU while generating",
            parts=tuple(resident),
            on_gpu=True,
            gpu_share=settings.actor_rollout_ref.rollout.gpu_memory_utilization,
        ),
    )


def _verl_host(profile: Profile, shape: ModelShape) -> Estimate:
    settings = profile.gpu
    actor = settings.actor_rollout_ref.actor
    parts = [
        Part("VERL, vLLM and Ray", RAY_BYTES),
        Part("runners", profile.runners * RUNNER_BYTES),
    ]
    if actor.fsdp_config.param_offload:
        parts.append(Part("offloaded weights", FLOAT32 * shape.parameters))
    if actor.fsdp_config.optimizer_offload:
        parts.append(Part("offloaded optimizer", ADAM * _trained(profile, shape)))
    if actor.use_kl_loss or settings.algorithm.use_kl_in_reward:
        parts.append(Part("reference model", FLOAT32 * shape.parameters))
    return Estimate(place="memory", parts=tuple(parts))


def _trained(profile: Profile, shape: ModelShape) -> int:
    """A of the notation."""
    rank = profile.gpu.actor_rollout_ref.model.lora_rank
    return rank * shape.layers * shape.linear_sides if rank else shape.parameters


def size(size_bytes: int) -> str:
    """`1.2 GiB`, `31 MiB`."""
    return f"{size_bytes / GIB:.1f} GiB" if size_bytes >= GIB // 2 else f"{size_bytes / 2**20:.0f} MiB"
