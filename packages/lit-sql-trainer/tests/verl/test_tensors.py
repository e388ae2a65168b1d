"""What VERL's own loss makes of our tensors. Needs verl (dependency group `app` or `proof`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the `cpu`, `app` or `proof` dependency group")
pytest.importorskip("verl", reason="needs the `app` or `proof` dependency group")

from lit_sql_trainer.local.loss import policy_loss  # noqa: E402
from lit_sql_trainer.verl.plan import UpdatePlan, update_plan  # noqa: E402
from lit_sql_trainer.verl.rows import Row  # noqa: E402
from lit_sql_trainer.verl.tensors import mini_batch_tensors  # noqa: E402

PAD = 0
NORMALISER = 11.0


def plan(*, ranks: int = 1, micro: int = 2, dynamic: bool = False) -> UpdatePlan:
    """Four tasks of two rollouts, prompts up to 6 and replies up to 5 tokens."""
    actor = {"ppo_mini_batch_size": 4, "ppo_micro_batch_size_per_gpu": micro, "use_dynamic_bsz": dynamic}
    config = {
        "algorithm": {"adv_estimator": "grpo"},
        "data": {"train_batch_size": 4, "max_prompt_length": 6, "max_response_length": 5},
        "actor_rollout_ref": {"rollout": {"n": 2}, "actor": actor},
        "trainer": {"n_gpus_per_node": ranks, "nnodes": 1},
    }
    return update_plan(config, max_calls=2, refill_factor=1.0)


def row(prompt: int, reply: int, advantage: float, weight: float = 1.0) -> Row:
    """A row of a prompt and a reply of these lengths."""
    return Row(
        group=0, sample=0, turn=0, prompt_ids=tuple(range(10, 10 + prompt)), token_ids=tuple(range(50, 50 + reply)),
        advantage=advantage, weight=weight,
    )  # fmt: skip


ROWS = [row(4, 3, 1.2), row(6, 5, -0.4, 0.5), row(2, 1, -0.4, 0.5), row(5, 2, -0.8), row(3, 4, 0.7)]


def tensors(rows: Sequence[Row], used: UpdatePlan) -> Any:
    return mini_batch_tensors(rows, plan=used, normaliser=NORMALISER, pad_token=PAD, meta={"temperature": 1.0})


def test_exactly_the_replies_tokens_carry_loss() -> None:
    """Prompts end where replies begin, padding is masked, and only replies have a mask and an advantage."""
    batch = tensors(ROWS[:2], plan()).batch
    assert batch["input_ids"].tolist() == [
        [0, 0, 10, 11, 12, 13, 50, 51, 52, 0, 0],
        [10, 11, 12, 13, 14, 15, 50, 51, 52, 53, 54],
    ]
    assert batch["attention_mask"].tolist() == [[0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0], [1] * 11]
    assert batch["response_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert batch["position_ids"].tolist()[0] == [0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 6]
    assert (batch["advantages"] != 0).long().equal(batch["response_mask"])


def test_ranks_get_equally_many_rows_and_the_added_ones_no_loss() -> None:
    """Five rows on four ranks: three are added, with an advantage of 0 and a mask that is not empty."""
    batch = tensors(ROWS, plan(ranks=4)).batch
    assert len(batch) == 8
    assert batch["advantages"][5:].abs().sum() == 0
    assert batch["response_mask"][5:].sum(dim=-1).tolist() == [1, 1, 1]


@pytest.mark.parametrize(("ranks", "dynamic"), [(1, False), (2, False), (1, True), (2, True)])
def test_verls_loss_is_the_local_algorithms(ranks: int, dynamic: bool) -> None:
    """Value and gradient of both agree for rows of unequal length, whatever the micro-batches and ranks."""
    used = plan(ranks=ranks, dynamic=dynamic)
    batch = tensors(ROWS, used).batch
    generator = torch.Generator().manual_seed(0)
    old = torch.rand(batch["responses"].shape, generator=generator) - 3.0
    shift = 0.8 * (torch.rand(old.shape, generator=generator) - 0.5)
    verl_leaf = (old + shift).requires_grad_()
    verl_loss = sum(
        _rank_loss(verl_leaf, old, batch, list(range(len(batch)))[rank::ranks], used, dynamic=dynamic)
        for rank in range(ranks)
    )
    (verl_loss / ranks).backward()  # FSDP averages over ranks

    local_leaf = (old + shift)[: len(ROWS)].clone().requires_grad_()
    mask = batch["response_mask"][: len(ROWS)].bool()
    spread = [torch.tensor([getattr(r, name) for r in ROWS]).unsqueeze(-1).expand_as(mask)[mask] for name in FIELDS]
    local = policy_loss(
        local_leaf[mask], old_logprobs=old[: len(ROWS)][mask], advantages=spread[0], weights=spread[1],
        normaliser=NORMALISER, clip_low=0.2, clip_high=0.28,
    )  # fmt: skip
    local.loss.backward()
    assert float((verl_loss / ranks).detach()) == pytest.approx(float(local.loss.detach()), rel=1e-5)
    assert torch.allclose(verl_leaf.grad[: len(ROWS)], local_leaf.grad, rtol=1e-4, atol=1e-7)
    assert verl_leaf.grad[len(ROWS) :].abs().sum() == 0
    assert local_leaf.grad.abs().sum() > 0


FIELDS = ("advantage", "weight")


def _rank_loss(logprobs: Any, old: Any, batch: Any, chosen: list[int], used: UpdatePlan, *, dynamic: bool) -> Any:
    """What verl.workers.actor.dp_actor sums up on one rank for one mini-batch."""
    from verl.trainer.ppo.core_algos import compute_policy_loss_vanilla
    from verl.workers.config import FSDPActorConfig

    config = FSDPActorConfig(
        rollout_n=2, ppo_micro_batch_size_per_gpu=2, clip_ratio_low=0.2, clip_ratio_high=0.28, use_dynamic_bsz=dynamic
    )
    total = 0.0
    sizes = 3 if dynamic else used.micro_rows  # packed by tokens, micro-batches have any size
    for start in range(0, len(chosen), sizes):
        part = chosen[start : start + sizes]
        loss, _ = compute_policy_loss_vanilla(
            old_log_prob=old[part], log_prob=logprobs[part], advantages=batch["advantages"][part],
            response_mask=batch["response_mask"][part], loss_agg_mode=used.loss_mode, config=config,
        )  # fmt: skip
        scale = len(part) / used.capacity if dynamic else 1 / (used.capacity // used.micro_rows)
        total = total + loss * scale
    return total
