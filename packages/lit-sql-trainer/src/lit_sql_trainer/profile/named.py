"""The named settings that `train NAME` accepts.

`tiny` trains in this package; the others train with VERL. `fast`, `qwen`, `llama` and `npu` are the tutorial's, whose
values are the defaults of `verl_settings`; `qwen-24gb`, `qwen-40gb` and `qwen-80gb` are what we recommend.
`docs/training.md` gives the reason of every difference.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lit_sql_trainer.errors import UnknownProfileError
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.profile.overrides import apply_assignments
from lit_sql_trainer.profile.profile import Profile, RolloutSettings
from lit_sql_trainer.profile.verl import VerlSettings
from sql_graph import CheckMode, PromptStyle

SPIDER = Path("data")
"""Where `spider-data download data` puts the benchmark."""

TINY = Profile(
    name="tiny",
    summary="GRPO in PyTorch on a laptop CPU or one GPU: a model of a million parameters and an embedded benchmark",
    rollout=RolloutSettings(
        check=CheckMode.RULES,
        style=PromptStyle.COMPACT,
        prompt_budget_tokens=512,
        max_tokens=96,
        request_timeout_s=30,
        deadline_s=60,
    ),
    grpo=GrpoSettings(rollout_timeout_s=180),
)

_EVERYWHERE = (
    "verl.trainer.logger=console",
    "verl.trainer.save_freq=32",
    "verl.trainer.max_actor_ckpt_to_keep=2",
    "verl.data.seed=0",
)

QWEN = Profile(
    name="qwen",
    summary="the tutorial: Qwen2.5-Coder-1.5B-Instruct on Spider, 32 questions x 4 rollouts, one GPU of 40 GB or more",
    model="Qwen/Qwen2.5-Coder-1.5B-Instruct",
    data=SPIDER,
    runners=10,
    max_span_megabytes=4096,
    rollout=RolloutSettings(prompt_budget_tokens=3584, max_tokens=2048, request_timeout_s=60, deadline_s=300),
    grpo=None,
    verl=apply_assignments(VerlSettings(), [setting.removeprefix("verl.") for setting in _EVERYWHERE]),
)


def _like_qwen(*settings: str, **fields: Any) -> Profile:
    return apply_assignments(replace(QWEN, **fields), settings)


FAST = _like_qwen(
    "verl.actor_rollout_ref.rollout.gpu_memory_utilization=0.6",
    "verl.trainer.project_name=AgentLightningCI",
    "verl.trainer.total_epochs=1",
    "verl.trainer.total_training_steps=1",
    "verl.trainer.test_freq=1",
    "verl.trainer.save_freq=1",
    name="fast",
    summary="smoke test of the GPU path: Qwen2.5-Coder-0.5B-Instruct, one step, 50 validation questions",
    model="Qwen/Qwen2.5-Coder-0.5B-Instruct",
    data=None,
    validation_tasks=50,
)

LLAMA = _like_qwen(
    "verl.actor_rollout_ref.rollout.multi_turn.format=llama3_json",
    "verl.actor_rollout_ref.rollout.engine_kwargs.vllm.tool_call_parser=llama3_json",
    name="llama",
    summary="the tutorial with Llama-3.2-1B-Instruct, whose licence asks for an account (HF_TOKEN)",
    model="meta-llama/Llama-3.2-1B-Instruct",
)

NPU = _like_qwen(
    "verl.actor_rollout_ref.rollout.engine_kwargs.vllm.enable_auto_tool_choice=none",
    "verl.actor_rollout_ref.rollout.engine_kwargs.vllm.tool_call_parser=none",
    "verl.actor_rollout_ref.actor.use_torch_compile=false",
    "verl.trainer.val_before_train=false",
    "verl.trainer.save_freq=256",
    "verl.trainer.device=npu",
    name="npu",
    summary="the tutorial on an Ascend NPU (torch_npu and vllm-ascend must be installed)",
)

_OURS = (
    "verl.data.train_batch_size=16",
    "verl.data.max_prompt_length=3072",
    "verl.data.max_response_length=1024",
    "verl.actor_rollout_ref.rollout.n=8",
    "verl.actor_rollout_ref.rollout.engine_kwargs.vllm.enable_auto_tool_choice=none",
    "verl.actor_rollout_ref.rollout.engine_kwargs.vllm.tool_call_parser=none",
    "verl.actor_rollout_ref.actor.strategy=fsdp2",
    "verl.actor_rollout_ref.actor.ppo_mini_batch_size=16",
    "verl.actor_rollout_ref.actor.clip_ratio_high=0.28",
    "verl.actor_rollout_ref.actor.optim.lr_warmup_steps=10",
    "verl.trainer.test_freq=50",
    "verl.trainer.save_freq=50",
    "verl.lit_sql.refill_factor=2",
    "verl.lit_sql.early_stop_steps=150",
    "rollout.check=rules",
    "rollout.prompt_budget_tokens=2688",
    "rollout.max_tokens=1024",
)

QWEN_80GB = _like_qwen(
    *_OURS,
    "verl.actor_rollout_ref.rollout.gpu_memory_utilization=0.6",
    "verl.actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
    "verl.actor_rollout_ref.actor.fsdp_config.param_offload=false",
    "verl.actor_rollout_ref.actor.fsdp_config.optimizer_offload=false",
    name="qwen-80gb",
    summary="recommended on 80 GB: 16 questions x 8 rollouts, dynamic refill, early stop, nothing offloaded",
    runners=16,
)

QWEN_40GB = _like_qwen(
    *_OURS,
    "verl.actor_rollout_ref.rollout.gpu_memory_utilization=0.6",
    "verl.actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2",
    name="qwen-40gb",
    summary="recommended on 40 to 48 GB: as qwen-80gb, with weights and optimiser in host memory while generating",
    runners=16,
)

QWEN_24GB = _like_qwen(
    *_OURS,
    "verl.data.max_prompt_length=2048",
    "verl.data.max_response_length=512",
    "verl.actor_rollout_ref.rollout.gpu_memory_utilization=0.45",
    "verl.actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=2",
    "verl.actor_rollout_ref.rollout.max_num_seqs=64",
    "verl.actor_rollout_ref.rollout.load_format=safetensors",
    "verl.actor_rollout_ref.rollout.layered_summon=true",
    "verl.actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2",
    "verl.actor_rollout_ref.actor.optim.lr=1e-5",
    "verl.actor_rollout_ref.model.lora_rank=32",
    "verl.actor_rollout_ref.model.lora_alpha=32",
    "verl.actor_rollout_ref.model.target_modules=all-linear",
    "rollout.prompt_budget_tokens=1792",
    "rollout.max_tokens=512",
    name="qwen-24gb",
    summary="recommended on 24 GB: as qwen-40gb, training low-rank adapters (LoRA) with shorter prompts and replies",
    runners=8,
)

PROFILES: dict[str, Profile] = {
    profile.name: profile for profile in (TINY, FAST, QWEN, LLAMA, NPU, QWEN_24GB, QWEN_40GB, QWEN_80GB)
}


PLAIN_PROFILE = Profile(
    name="endpoint",
    summary="full prompts and the package's own limits, for an endpoint",
    grpo=GrpoSettings(rollout_timeout_s=600),
)
"""What an endpoint is asked under when no run and no profile is named."""


def profile_named(name: str) -> Profile:
    """The profile of this name.

    Raises:
        UnknownProfileError: there is none; the message lists those that exist.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise UnknownProfileError(f"unknown profile {name!r}; profiles: {', '.join(PROFILES)}") from None
