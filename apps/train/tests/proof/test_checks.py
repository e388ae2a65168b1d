"""The proof's checks find what they are for: evidence made by hand, once right and once wrong in every way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.models import model_source
from sql_train.proof.checks import (
    Check,
    Evidence,
    check_drops,
    check_nodes,
    check_numbers,
    check_validations,
    first_replies,
)

FACTOR, PARTS = 768.0, 2
HIGH, LOW = 1.1546985, -0.5773493  # of rewards 1, 0, 0: mean 1/3, sample deviation 0.5773503, and 1e-6 added


def call(node: str, first: int, length: int = 4) -> dict[str, Any]:
    """A model call whose tokens tell it from every other."""
    return {"node": node, "prompt_ids": [first, 1], "token_ids": list(range(first, first + length))}


def rollout(task: str, name: str, reward: float | None, failed: str = "") -> dict[str, Any]:
    return {"mode": "train", "step": 1, "task_id": task, "rollout_id": name, "reward": reward, "failed": failed}


def evidence() -> dict[str, Any]:
    """One step of 2 tasks x 3 rollouts: task a has contrast, task b is wrong throughout and lost one."""
    rollouts = [
        rollout("a", "a0", 1.0), rollout("a", "a1", 0.0), rollout("a", "a2", 0.0),
        rollout("b", "b0", 0.0), rollout("b", "b1", 0.0), rollout("b", "b2", None, "endpoint down"),
    ]  # fmt: skip
    calls = [
        {"mode": "train", "step": 1, "rollout_id": "a0", "calls": [call("write_query", 10), call("check_query", 20)]},
        {"mode": "train", "step": 1, "rollout_id": "a1", "calls": [call("write_query", 30), call("rewrite_query", 40)]},
        {"mode": "train", "step": 1, "rollout_id": "a2", "calls": [call("write_query", 50)]},
        {"mode": "train", "step": 1, "rollout_id": "b0", "calls": [call("write_query", 60)]},
        {"mode": "train", "step": 1, "rollout_id": "b1", "calls": [call("write_query", 70)]},
        {"mode": "val", "step": 1, "rollout_id": "v0", "calls": [call("write_query", 80)]},
    ]
    for record in calls:
        record["model_calls"] = len(record["calls"])
    # Weighted tokens: every rollout has calls of 4 tokens whose weights sum to 1, so 5 x 4 = 20; one part is left,
    # because a single group has contrast.
    rows = [
        row(10, HIGH, 1.0), row(30, LOW, 0.5), row(40, LOW, 0.5), row(50, LOW, 1.0),
    ]  # fmt: skip
    metrics = [
        {"event": "validation", "step": 0, "rollouts": 2, "reward": 0.5, "hardness": {"easy": {"rollouts": 2}}},
        {
            "event": "step", "step": 1, "rollouts": 5, "dropped": 1, "refilled_groups": 0,
            "drop_reasons": {"endpoint down": 1},
        },
        {"event": "validation", "step": 1, "rollouts": 2, "reward": 0.5, "hardness": {"easy": {"rollouts": 2}}},
    ]  # fmt: skip
    return {"metrics": metrics, "rollouts": rollouts, "calls": calls, "rows": rows, "gradients": []}


def row(first: int, advantage: float, weight: float) -> dict[str, Any]:
    return {
        "step": 1, "part": 0, "group": 0, "sample": 0, "turn": 0, "prompt_ids": [first, 1],
        "token_ids": list(range(first, first + 4)), "advantage": advantage, "weight": weight,
        "coefficient": advantage * weight * FACTOR / 20.0,
    }  # fmt: skip


def checks(found: dict[str, Any]) -> dict[str, Check]:
    """All checks of numbers, by name."""
    seen = Evidence(**found)
    every = [
        *check_numbers(seen, groups=2, rollouts=3, parts=PARTS, factor=FACTOR),
        check_nodes(seen),
        check_drops(seen, expected={1: 1}),
        check_validations(seen, steps=(0, 1), tasks=2),
    ]
    return {check.name: check for check in every}


def test_what_is_right_holds() -> None:
    """All six checks."""
    found = checks(evidence())
    assert len(found) == 6
    assert all(check.holds for check in found.values()), found


def _train_a_check(found: dict[str, Any]) -> None:
    found["rows"].append(row(20, HIGH, 1.0))


def _invent_a_reward(found: dict[str, Any]) -> None:
    found["rollouts"][5]["reward"] = 0.0


def _lose_a_row(found: dict[str, Any]) -> None:
    found["rows"].pop()


def _weigh_by_turns(found: dict[str, Any]) -> None:
    found["rows"][1]["weight"] = found["rows"][2]["weight"] = 1.0


def _fill_in_the_lost(found: dict[str, Any]) -> None:
    found["metrics"][1] |= {"rollouts": 6, "dropped": 0}


def _wrong_baseline(found: dict[str, Any]) -> None:
    found["rows"][0]["advantage"] = 1.0


def _wrong_scale(found: dict[str, Any]) -> None:
    found["rows"][0]["coefficient"] *= 2


def _hide_a_call(found: dict[str, Any]) -> None:
    found["calls"][0]["model_calls"] += 1


def _skip_a_validation(found: dict[str, Any]) -> None:
    found["metrics"].pop(0)


def _lose_a_level(found: dict[str, Any]) -> None:
    found["metrics"][0]["hardness"]["easy"]["rollouts"] = 1


@pytest.mark.parametrize(
    ("spoil", "caught"),
    [
        (_train_a_check, "only trained nodes carry loss"),
        (_invent_a_reward, "broken rollouts are dropped, not rewarded"),
        (_lose_a_row, "step 1: rows and weights"),
        (_weigh_by_turns, "step 1: rows and weights"),
        (_fill_in_the_lost, "step 1: samples"),
        (_wrong_baseline, "step 1: rows and weights"),
        (_wrong_scale, "step 1: loss scale"),
        (_hide_a_call, "only trained nodes carry loss"),
        (_skip_a_validation, "validation"),
        (_lose_a_level, "validation"),
    ],
)
def test_what_is_wrong_is_caught(spoil: Callable[[dict[str, Any]], None], caught: str) -> None:
    """Each fault, by the check that is there for it."""
    found = copy.deepcopy(evidence())
    spoil(found)
    assert not checks(found)[caught].holds


def test_greedy_replies_are_those_of_one_validation() -> None:
    """By prompt, of the first query only."""
    assert first_replies(Evidence(**evidence()), step=1) == {(80, 1): (80, 81, 82, 83)}


def test_a_gradient_is_known_by_its_norm() -> None:
    """Of padded rows together it is what the check finds row by row; another scale or another advantage is not."""
    torch = pytest.importorskip("torch", reason="needs the `cpu` dependency group")
    from lit_sql_trainer.local.policy import load_policy
    from sql_train.proof.weights import check_gradient

    start = Path(model_source(None))
    rows = [
        {"prompt_ids": [5, 6, 7], "token_ids": [8, 9], "advantage": 0.5, "weight": 1.0, "normaliser": 10.0},
        {"prompt_ids": [11, 12], "token_ids": [13, 14, 15, 16], "advantage": -1.5, "weight": 0.5, "normaliser": 10.0},
    ]
    model = load_policy(start).model
    ids, mask = torch.zeros(2, 6, dtype=torch.long), torch.zeros(2, 6, dtype=torch.long)
    for place, row in enumerate(rows):
        tokens = [*row["prompt_ids"], *row["token_ids"]]
        ids[place, : len(tokens)], mask[place, : len(tokens)] = torch.tensor(tokens), 1
    logprobs = model(ids, attention_mask=mask).logits.log_softmax(-1)
    loss = -0.05 * sum(logprobs[0, at, ids[0, at + 1]] for at in (2, 3))
    loss += 0.075 * sum(logprobs[1, at, ids[1, at + 1]] for at in (1, 2, 3, 4))
    loss.backward()
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in model.parameters()]).item()
    assert check_gradient(start, rows, measured=norm).holds
    assert not check_gradient(start, rows, measured=2 * norm).holds
    assert not check_gradient(start, [{**rows[0], "advantage": 0.6}, rows[1]], measured=norm).holds
