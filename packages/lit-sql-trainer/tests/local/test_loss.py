"""The objective against a slow, obvious implementation in float64, and what its departures mean."""

from __future__ import annotations

import math
import random

import pytest

torch = pytest.importorskip("torch", reason="needs the `cpu` dependency group")

from lit_sql_trainer.local.loss import policy_loss  # noqa: E402


def slow_loss(
    tokens: list[dict[str, float]], normaliser: float, low: float, high: float, kl: float
) -> tuple[float, list[float]]:
    """Loss and its derivative by each token's log-probability, one token at a time, with plain floats."""
    total, gradient = 0.0, []
    for token in tokens:
        ratio = math.exp(token["new"] - token["old"])
        advantage, weight = token["advantage"], token["weight"]
        if advantage >= 0:
            used, slope = (ratio, ratio) if ratio <= 1 + high else (1 + high, 0.0)
        else:
            used, slope = (ratio, ratio) if ratio >= 1 - low else (1 - low, 0.0)
        gap = math.exp(token["start"] - token["new"])
        divergence = gap - (token["start"] - token["new"]) - 1
        total += weight * (-used * advantage + kl * divergence)
        gradient.append(weight * (-slope * advantage + kl * (1 - gap)) / normaliser)
    return total / normaliser, gradient


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_loss_and_gradient_match_the_slow_implementation(seed: int, kl: float) -> None:
    """Value and derivative agree to 1e-12 on tokens on both sides of both clips."""
    dice = random.Random(seed)
    tokens = [
        {
            "new": dice.uniform(-3, 0),
            "old": dice.uniform(-3, 0),
            "start": dice.uniform(-3, 0),
            "advantage": dice.choice([-1.7, -0.4, 0.0, 0.6, 2.1]),
            "weight": dice.choice([1.0, 0.5, 1 / 3]),
        }
        for _ in range(200)
    ]

    def column(name: str) -> torch.Tensor:
        return torch.tensor([token[name] for token in tokens], dtype=torch.float64)

    new = column("new").requires_grad_()
    terms = policy_loss(
        new,
        old_logprobs=column("old"),
        advantages=column("advantage"),
        weights=column("weight"),
        normaliser=123.0,
        clip_low=0.2,
        clip_high=0.28,
        reference_logprobs=column("start") if kl else None,
        kl_coefficient=kl,
    )
    terms.loss.backward()
    value, gradient = slow_loss(tokens, 123.0, 0.2, 0.28, kl)
    assert float(terms.loss.detach()) == pytest.approx(value, abs=1e-12)
    assert new.grad.tolist() == pytest.approx(gradient, abs=1e-12)
    assert 0 < float(terms.clipped) < float(terms.weight)


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"),
    [
        (1.27, 1.0, True),
        (1.29, 1.0, False),
        (0.5, 1.0, True),
        (0.81, -1.0, True),
        (0.79, -1.0, False),
        (2.0, -1.0, True),
    ],
)
def test_the_clip_is_asymmetric(ratio: float, advantage: float, moves: bool) -> None:
    """A good token may grow by 28 %, a bad one may shrink by 20 %; moving back is never cut."""
    new = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, dtype=torch.float64)
    terms = policy_loss(
        new,
        old_logprobs=0 * one,
        advantages=advantage * one,
        weights=one,
        normaliser=1.0,
        clip_low=0.2,
        clip_high=0.28,
    )
    terms.loss.backward()
    assert bool(new.grad[0] != 0) is moves
    assert bool(terms.clipped) is not moves
