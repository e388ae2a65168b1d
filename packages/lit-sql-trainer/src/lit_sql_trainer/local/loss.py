"""The objective: what one batch of sampled tokens asks of the policy.

Group-relative policy optimisation (GRPO: Shao et al. 2024, arXiv 2402.03300, equation 3) with the clip-higher and
token-level changes of DAPO (Yu et al. 2025, arXiv 2503.14476, sections 3.1 and 3.3). Departures, numbered:

1. Several model calls per rollout. Each call is a sequence of its own; the rollout's advantage goes to every token of
   all its calls. Neither paper has turns.
2. The unit that counts is the rollout, not the call: a token of a rollout with C calls has weight 1 / C (baseline and
   spread are taken over rollouts too, see `rollouts.advantage`). GRPO weighs sequences equally, DAPO weighs tokens
   equally; here tokens are equal among rollouts with the same number of turns.
3. One mean over the weighted tokens of the whole batch (DAPO's normalisation), not per reply (GRPO's), so a long wrong
   reply is not cheaper per token than a short one. The mean includes groups without variance: they add nothing to
   the sum and count in its divisor, exactly as if they had been computed. DAPO removes them from both.
4. Old log-probabilities are those recorded while sampling, of the tempered distribution. GRPO and most trainers
   recompute them.
5. No over-long filtering, no soft length punishment (DAPO, section 3.4), no dual clip.
6. The divergence from the start is off by default and, when on, counts only tokens of groups with variance. Its
   estimator is GRPO's (k3: Schulman 2020, "Approximating KL divergence").
7. DAPO samples until the batch is full of groups with variance; here refill is optional and bounded (twice the batch).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTerms:
    """The loss of a set of tokens and what it consists of. All but `loss` are detached weighted sums."""

    loss: torch.Tensor
    """Scalar to minimise: weighted sum over tokens, divided by `normaliser`."""
    clipped: torch.Tensor
    """Weight of the tokens whose gradient the clip removed."""
    divergence: torch.Tensor
    """Estimated divergence from the start, weighted and summed; 0 without reference."""
    weight: torch.Tensor
    """Weight of all tokens."""


def policy_loss(
    logprobs: torch.Tensor,
    *,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    weights: torch.Tensor,
    normaliser: float,
    clip_low: float,
    clip_high: float,
    reference_logprobs: torch.Tensor | None = None,
    kl_coefficient: float = 0.0,
) -> LossTerms:
    """Clipped policy-gradient loss of `tokens` sampled tokens; every tensor is (tokens,).

    `normaliser` is the weight of all tokens that the mean runs over, those outside this call included.
    """
    ratio = (logprobs - old_logprobs).exp()
    bounded = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    gain = torch.minimum(ratio * advantages, bounded * advantages)
    clipped = (bounded * advantages < ratio * advantages).detach()
    total = -(gain * weights).sum()
    divergence = torch.zeros((), dtype=logprobs.dtype, device=logprobs.device)
    if reference_logprobs is not None:
        gap = reference_logprobs - logprobs
        estimate = ((gap.exp() - gap - 1.0) * weights).sum()
        total = total + kl_coefficient * estimate
        divergence = estimate.detach()
    return LossTerms(
        loss=total / normaliser,
        clipped=(clipped * weights).sum(),
        divergence=divergence,
        weight=weights.sum(),
    )
