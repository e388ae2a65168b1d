"""The named settings that `train NAME` accepts.

`tiny` trains in this package; the others train with VERL. `fast`, `qwen`, `llama` and `npu` are the tutorial's, whose
values are the defaults of `profile.verl.VerlSettings`; `qwen-24gb`, `qwen-40gb` and `qwen-80gb` are what we recommend.
`docs/training.md` gives the reason of every difference.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lit_sql_trainer.errors import UnknownProfileError
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.profile.profile import Profile, RolloutSettings
from lit_sql_trainer.profile.verl import (
    Actor,
    ActorFsdp,
    ActorRolloutRef,
    Data,
    Device,
    EngineKwargs,
    LitSql,
    Logger,
    Model,
    MultiTurn,
    Optim,
    Rollout,
    Strategy,
    Trainer,
    VerlSettings,
    VllmEngine,
)
from sql_graph import CheckMode, PromptStyle
from sql_graph.options import RewriteForm

SPIDER = Path("data")
"""Where `spider-data download data` puts the benchmark."""

TINY = Profile(
    name="tiny",
    summary="GRPO in PyTorch on a laptop CPU or one GPU: a model of a million parameters and an embedded benchmark",
    rollout=RolloutSettings(
        check=CheckMode.RULES,
        rewrite=RewriteForm.CONVERSATION,
        style=PromptStyle.COMPACT,
        prompt_budget_tokens=512,
        max_tokens=96,
        request_timeout_s=30,
        deadline_s=60,
    ),
    grpo=GrpoSettings(rollout_timeout_s=180),
)

_NO_TOOLS = EngineKwargs(vllm=VllmEngine(enable_auto_tool_choice=None, tool_call_parser=None))
"""The agent uses no tools, so vLLM looks for no tool calls in its replies."""

_TRAINER = Trainer(logger=(Logger.CONSOLE,), save_freq=32, max_actor_ckpt_to_keep=2)
_VERL = VerlSettings(data=Data(seed=0), trainer=_TRAINER)
"""The tutorial, but without an account, with checkpoints, and with an order of questions that can be repeated."""

QWEN = Profile(
    name="qwen",
    summary="the tutorial: Qwen2.5-Coder-1.5B-Instruct on Spider, 32 questions x 4 rollouts, one GPU of 40 GB or more",
    model="Qwen/Qwen2.5-Coder-1.5B-Instruct",
    data=SPIDER,
    runners=10,
    max_span_megabytes=4096,
    rollout=RolloutSettings(
        check=CheckMode.LLM, prompt_budget_tokens=3584, max_tokens=2048, request_timeout_s=60, deadline_s=300
    ),
    grpo=None,
    verl=_VERL,
)

FAST = replace(
    QWEN,
    name="fast",
    summary="smoke test of the GPU path: Qwen2.5-Coder-0.5B-Instruct, one step, 50 validation questions",
    model="Qwen/Qwen2.5-Coder-0.5B-Instruct",
    data=None,
    validation_tasks=50,
    verl=replace(
        _VERL,
        actor_rollout_ref=ActorRolloutRef(rollout=Rollout(gpu_memory_utilization=0.6)),
        trainer=replace(
            _TRAINER,
            project_name="AgentLightningCI",
            total_epochs=1,
            total_training_steps=1,
            test_freq=1,
            save_freq=1,
        ),
    ),
)

LLAMA = replace(
    QWEN,
    name="llama",
    summary="the tutorial with Llama-3.2-1B-Instruct, whose licence asks for an account (HF_TOKEN)",
    model="meta-llama/Llama-3.2-1B-Instruct",
    verl=replace(
        _VERL,
        actor_rollout_ref=ActorRolloutRef(
            rollout=Rollout(
                multi_turn=MultiTurn(format="llama3_json"),
                engine_kwargs=EngineKwargs(vllm=VllmEngine(tool_call_parser="llama3_json")),
            )
        ),
    ),
)

NPU = replace(
    QWEN,
    name="npu",
    summary="the tutorial on an Ascend NPU (torch_npu and vllm-ascend must be installed)",
    verl=replace(
        _VERL,
        actor_rollout_ref=ActorRolloutRef(
            rollout=Rollout(engine_kwargs=_NO_TOOLS), actor=Actor(use_torch_compile=False)
        ),
        trainer=replace(_TRAINER, val_before_train=False, save_freq=256, device=Device.NPU),
    ),
)

_ROLLOUT = Rollout(n=8, gpu_memory_utilization=0.6, engine_kwargs=_NO_TOOLS)
_ACTOR = Actor(
    strategy=Strategy.FSDP2,
    ppo_mini_batch_size=16,
    clip_ratio_high=0.28,
    optim=Optim(lr_warmup_steps=10),
)
_DATA = Data(seed=0, train_batch_size=16, max_prompt_length=3072, max_response_length=1024)

QWEN_80GB = replace(
    QWEN,
    name="qwen-80gb",
    summary="recommended on 80 GB: 16 questions x 8 rollouts, dynamic refill, early stop, nothing offloaded",
    runners=16,
    rollout=replace(QWEN.rollout, check=CheckMode.RULES, prompt_budget_tokens=2688, max_tokens=1024),
    verl=VerlSettings(
        data=_DATA,
        actor_rollout_ref=ActorRolloutRef(
            rollout=replace(_ROLLOUT, log_prob_micro_batch_size_per_gpu=8),
            actor=replace(_ACTOR, fsdp_config=ActorFsdp(param_offload=False, optimizer_offload=False)),
        ),
        trainer=replace(_TRAINER, test_freq=50, save_freq=50),
        lit_sql=LitSql(refill_factor=2, early_stop_steps=150),
    ),
)

QWEN_40GB = replace(
    QWEN_80GB,
    name="qwen-40gb",
    summary="recommended on 40 to 48 GB: as qwen-80gb, with weights and optimiser in host memory while generating",
    verl=replace(
        QWEN_80GB.gpu,
        actor_rollout_ref=ActorRolloutRef(rollout=_ROLLOUT, actor=replace(_ACTOR, ppo_micro_batch_size_per_gpu=2)),
    ),
)

QWEN_24GB = replace(
    QWEN_40GB,
    name="qwen-24gb",
    summary="recommended on 24 GB: as qwen-40gb, training low-rank adapters (LoRA) with shorter prompts and replies",
    runners=8,
    rollout=replace(QWEN_40GB.rollout, prompt_budget_tokens=1792, max_tokens=512),
    verl=replace(
        QWEN_40GB.gpu,
        data=replace(_DATA, max_prompt_length=2048, max_response_length=512),
        actor_rollout_ref=ActorRolloutRef(
            rollout=replace(
                _ROLLOUT,
                gpu_memory_utilization=0.45,
                log_prob_micro_batch_size_per_gpu=2,
                max_num_seqs=64,
                load_format="safetensors",
                layered_summon=True,
            ),
            actor=replace(_ACTOR, ppo_micro_batch_size_per_gpu=2, optim=Optim(lr=1e-5, lr_warmup_steps=10)),
            model=Model(lora_rank=32, lora_alpha=32, target_modules="all-linear"),
        ),
    ),
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
        raise UnknownProfileError(name=name, known=tuple(PROFILES)) from None
