"""What VERL's sizes mean for batches of agents' rollouts."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.verl.plan import DYNAMIC_MODE, FIXED_MODE, update_plan

CONFIG: dict[str, Any] = {
    "algorithm": {"adv_estimator": "grpo", "use_kl_in_reward": False},
    "data": {"train_batch_size": 32, "max_prompt_length": 4096, "max_response_length": 2048},
    "actor_rollout_ref": {
        "rollout": {"n": 4},
        "actor": {"ppo_mini_batch_size": 32, "ppo_micro_batch_size_per_gpu": 4},
    },
    "trainer": {"n_gpus_per_node": 1, "nnodes": 1},
}


def config(**changes: Any) -> dict[str, Any]:
    """The tutorial's sizes, with `section__key=value` changed."""
    changed = copy.deepcopy(CONFIG)
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        section = changed
        for name in parents:
            section = section[name]
        section[leaf] = value
    return changed


def test_the_tutorials_sizes() -> None:
    """32 tasks x 4 rollouts x 3 calls on one GPU: one optimiser step a batch, with room for all 384 rows."""
    plan = update_plan(config(), max_calls=3, refill_factor=1.0)
    assert (plan.parts, plan.worker_mini_batch_size, plan.capacity) == (1, 96, 384)
    assert plan.loss_mode == FIXED_MODE
    assert plan.loss_factor == 384 / 4 * 2048  # 96 micro-batches, each divided by the reply's width


def test_mini_batches_and_refills_share_the_room() -> None:
    """16 tasks in 2 mini-batches, refilled up to 32: each part holds up to 16 groups."""
    changes = {"data__train_batch_size": 16, "actor_rollout_ref__actor__ppo_mini_batch_size": 8}
    plan = update_plan(config(**changes), max_calls=2, refill_factor=2.0)
    assert (plan.parts, plan.capacity) == (2, 16 * 4 * 2)


def test_packed_by_tokens() -> None:
    """Dynamic micro-batches use the aggregation that divides by the room instead of the width."""
    plan = update_plan(config(actor_rollout_ref__actor__use_dynamic_bsz=True), max_calls=3, refill_factor=1.0)
    assert plan.loss_mode == DYNAMIC_MODE
    assert plan.loss_factor == 384


@given(
    groups=st.integers(1, 64), parts=st.integers(1, 8), n=st.integers(2, 16), calls=st.integers(1, 4),
    ranks=st.sampled_from([1, 2, 4, 8, 16]), micro=st.integers(1, 16), factor=st.floats(1.0, 2.0),
)  # fmt: skip
def test_the_room_always_suffices(
    groups: int, parts: int, n: int, calls: int, ranks: int, micro: int, factor: float
) -> None:
    """Whatever the sizes, VERL's own conversion gives each rank room for its share, in whole micro-batches."""
    assume(groups % parts == 0)
    changes = {
        "data__train_batch_size": groups, "actor_rollout_ref__rollout__n": n,
        "actor_rollout_ref__actor__ppo_mini_batch_size": groups // parts,
        "actor_rollout_ref__actor__ppo_micro_batch_size_per_gpu": micro, "trainer__n_gpus_per_node": ranks,
    }  # fmt: skip
    plan = update_plan(config(**changes), max_calls=calls, refill_factor=factor)
    per_rank = plan.worker_mini_batch_size * n // ranks  # what verl.workers.fsdp_workers computes
    most = -(-int(groups * factor) // parts) * n * calls
    assert plan.capacity == per_rank
    assert per_rank * ranks >= most
    assert per_rank % micro == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"actor_rollout_ref__actor__ppo_mini_batch_size": 5}, "no multiple"),
        ({"actor_rollout_ref__rollout__n": 1}, "at least 2"),
        ({"algorithm__adv_estimator": "gae"}, "'grpo' only"),
        ({"algorithm__use_kl_in_reward": True}, "False only"),
        ({"actor_rollout_ref__actor__ppo_epochs": 2}, "1 only"),
        ({"actor_rollout_ref__actor__ppo_micro_batch_size_per_gpu": None}, "must be set"),
        ({"data": None}, "no section 'data'"),
    ],
)
def test_what_is_not_carried_out_is_refused(changes: dict[str, Any], said: str) -> None:
    """Before anything is loaded, with the key in the message."""
    with pytest.raises(ConfigError, match=said):
        update_plan(config(**changes), max_calls=3, refill_factor=1.0)


def test_kl_loss_and_packing_do_not_go_together() -> None:
    """Their weights would not be what the settings say."""
    changes = {"actor_rollout_ref__actor__use_dynamic_bsz": True, "actor_rollout_ref__actor__use_kl_loss": True}
    with pytest.raises(ConfigError, match="do not go together"):
        update_plan(config(**changes), max_calls=3, refill_factor=1.0)
