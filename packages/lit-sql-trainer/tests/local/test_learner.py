"""Updates: packed replies, micro-batches and mini-batches change cost, not meaning; turns do not change weight."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the `cpu` dependency group")

from lit_sql_trainer.local.learner import Learner, TrainedRollout  # noqa: E402
from lit_sql_trainer.local.policy import Policy, load_policy, response_logprobs  # noqa: E402
from lit_sql_trainer.profile import GrpoSettings, Weighting  # noqa: E402
from lit_sql_trainer.rollouts import Sampled  # noqa: E402

SETTINGS = GrpoSettings(learning_rate=1e-3, warmup_steps=1, max_grad_norm=1e9)


@pytest.fixture
def policy(model_folder: Path) -> Policy:
    torch.set_num_threads(1)
    return load_policy(model_folder)


def calls(count: int, *, prompts: int = 3, seed: int = 0) -> list[Sampled]:
    dice = random.Random(seed)
    pool = [tuple(dice.randrange(3, 250) for _ in range(dice.randrange(4, 30))) for _ in range(prompts)]
    result = []
    for number in range(count):
        token_ids = tuple(dice.randrange(3, 250) for _ in range(dice.randrange(1, 12)))
        result.append(Sampled(prompt_ids=pool[number % prompts], token_ids=token_ids, logprobs=()))
    return result


def true_logprobs(policy: Policy, call: Sampled, temperature: float = 1.0) -> torch.Tensor:
    """One call, one forward pass, no padding, no packing."""
    ids = torch.tensor([[*call.prompt_ids, *call.token_ids]])
    table = torch.log_softmax(policy.model(ids).logits[0].float() / temperature, -1)
    start = len(call.prompt_ids) - 1
    return torch.stack([table[start + place, token] for place, token in enumerate(call.token_ids)])


def sampled_now(policy: Policy, wanted: list[Sampled]) -> list[Sampled]:
    """The calls as if the present policy had just sampled them."""
    with torch.no_grad():
        return [replace(call, logprobs=tuple(true_logprobs(policy, call).tolist())) for call in wanted]


@pytest.mark.parametrize("micro_batch_tokens", [1, 60, 100_000])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_packed_replies_do_not_see_each_other(policy: Policy, micro_batch_tokens: int, temperature: float) -> None:
    """Log-probabilities from shared rows equal those of one forward pass per call, in any split."""
    wanted = calls(11)
    seen = 0
    with torch.no_grad():
        for indices, logprobs, _ in response_logprobs(
            policy, wanted, temperature=temperature, micro_batch_tokens=micro_batch_tokens
        ):
            expected = torch.cat([true_logprobs(policy, wanted[index], temperature) for index in indices])
            assert torch.allclose(logprobs, expected, atol=1e-5)
            seen += len(indices)
    assert seen == len(wanted)


def gradients(policy: Policy, groups: list[list[TrainedRollout]], settings: GrpoSettings) -> list[torch.Tensor]:
    """What one update adds up, caught before the optimiser uses it."""
    learner = Learner(policy, settings)
    caught: list[torch.Tensor] = []

    def catch(*_: Any) -> None:
        caught.extend(parameter.grad.clone() for parameter in policy.model.parameters())

    learner.optimiser.step = catch  # type: ignore[method-assign]
    learner.update(groups, step=0)
    return caught


def test_update_follows_the_written_objective(policy: Policy) -> None:
    """The gradient of a ragged batch (groups, turns, one group without variance) equals that of the formula."""
    a, b, c, d, e, f = sampled_now(policy, calls(6))
    groups = [
        [TrainedRollout(calls=(a, b, c), advantage=0.7), TrainedRollout(calls=(d,), advantage=-0.7)],
        [TrainedRollout(calls=(e,), advantage=0.0), TrainedRollout(calls=(f,), advantage=0.0)],
    ]
    total = sum(len(x.token_ids) for x in (a, b, c)) / 3 + sum(len(x.token_ids) for x in (d, e, f))
    policy.model.zero_grad()
    expected = -sum(0.7 / 3 * true_logprobs(policy, call).sum() for call in (a, b, c))
    expected = (expected + 0.7 * true_logprobs(policy, d).sum()) / total
    expected.backward()
    reference = [parameter.grad.clone() for parameter in policy.model.parameters()]
    for micro_batch_tokens in (1, 100_000):
        settings = replace(SETTINGS, micro_batch_tokens=micro_batch_tokens)
        for mine, theirs in zip(gradients(policy, groups, settings), reference, strict=True):
            assert torch.allclose(mine, theirs, atol=1e-6)


def test_a_rollout_weighs_the_same_whatever_its_turns(policy: Policy) -> None:
    """Three identical turns pull exactly as hard as one; weighing transitions instead pulls three times as hard."""
    once, other = sampled_now(policy, calls(2))
    single = [[TrainedRollout(calls=(once,), advantage=1.0), TrainedRollout(calls=(other,), advantage=-1.0)]]
    triple = [[TrainedRollout(calls=(once,) * 3, advantage=1.0), TrainedRollout(calls=(other,), advantage=-1.0)]]
    one, three = gradients(policy, single, SETTINGS), gradients(policy, triple, SETTINGS)
    biased = gradients(policy, triple, replace(SETTINGS, weighting=Weighting.TRANSITION))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(one, three, strict=True))
    assert not all(torch.allclose(a, b, atol=1e-4) for a, b in zip(one, biased, strict=True))


def test_nothing_to_learn_leaves_the_weights(policy: Policy) -> None:
    """A batch of groups without variance changes neither weights nor optimiser."""
    before = [parameter.detach().clone() for parameter in policy.model.parameters()]
    learner = Learner(policy, SETTINGS)
    stats = learner.update([[TrainedRollout(calls=tuple(sampled_now(policy, calls(1))), advantage=0.0)]], step=0)
    assert stats["optimiser_steps"] == 0
    assert not learner.state()["state"]
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))


def test_mini_batches_move_the_policy_and_start_to_clip(policy: Policy) -> None:
    """With several optimiser steps the later ones see a moved policy; the first sees the one that sampled."""
    settings = replace(SETTINGS, mini_batches=3, learning_rate=2e-2)
    sampled = sampled_now(policy, calls(12, prompts=1))
    groups = [
        [TrainedRollout(calls=(a,), advantage=1.0), TrainedRollout(calls=(b,), advantage=-1.0)]
        for a, b in zip(sampled[::2], sampled[1::2], strict=True)
    ]
    stats = Learner(policy, settings).update(groups, step=0)
    assert stats["optimiser_steps"] == 3
    assert stats["clip_fraction"] > 0
    assert stats["logprob_gap"] < 1e-5


def test_divergence_from_the_start_is_zero_at_the_start(policy: Policy, model_folder: Path) -> None:
    """The estimate is 0 before the policy moves and positive after; the pull back lowers it."""
    sampled = sampled_now(policy, calls(8))
    groups = [[TrainedRollout(calls=(call,), advantage=float(number % 2) - 0.5) for number, call in enumerate(sampled)]]
    settings = replace(SETTINGS, kl_coefficient=0.1, learning_rate=1e-2)
    learner = Learner(policy, settings, reference=load_policy(model_folder))
    assert learner.update(groups, step=0)["kl_start"] == pytest.approx(0.0, abs=1e-6)
    moved = learner.update(groups, step=1)["kl_start"]
    assert moved > 1e-4


def test_learning_raises_what_was_rewarded(policy: Policy) -> None:
    """After a few updates the good reply is likelier and the bad one less likely than before."""
    good, bad = sampled_now(policy, calls(2, prompts=1))
    learner = Learner(policy, SETTINGS)
    groups = [[TrainedRollout(calls=(good,), advantage=1.0), TrainedRollout(calls=(bad,), advantage=-1.0)]]
    for step in range(3):
        learner.update(groups, step=step)
    after_good, after_bad = sampled_now(policy, [good, bad])
    assert sum(after_good.logprobs) > sum(good.logprobs)
    assert sum(after_bad.logprobs) < sum(bad.logprobs)
