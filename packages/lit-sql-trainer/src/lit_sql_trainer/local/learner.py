"""Turn a batch of rollouts into optimiser steps. Knows nothing of stores, servers or agents."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from lit_sql_trainer.local.loss import LossTerms, policy_loss
from lit_sql_trainer.local.policy import Policy, response_logprobs
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.rollouts.advantage import call_weights
from lit_sql_trainer.rollouts.episodes import Sampled
from lit_sql_trainer.rollouts.groups import StepBatch
from lit_sql_trainer.rollouts.metrics import UpdateMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedCall:
    """One trained model call: what was sampled, and what it is worth."""

    sampled: Sampled
    advantage: float
    weight: float
    """Of each of its tokens; see `call_weights`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRollout:
    """One rollout as the learner sees it: its trained calls in order, and its advantage."""

    calls: tuple[Sampled, ...]
    advantage: float

    def weighed(self, settings: GrpoSettings) -> list[WeighedCall]:
        """Its calls with their weights."""
        weights = call_weights(len(self.calls), weighting=settings.weighting)
        return [
            WeighedCall(sampled=call, advantage=self.advantage, weight=weight)
            for call, weight in zip(self.calls, weights, strict=True)
        ]


def trained_rollouts(batch: StepBatch) -> list[list[TrainedRollout]]:
    """A step's groups as the learner takes them."""
    return [
        [
            TrainedRollout(calls=episode.calls, advantage=advantage)
            for episode, advantage in zip(group, row, strict=True)
        ]
        for group, row in zip(batch.groups, batch.advantages.advantages_P_G, strict=True)
    ]


class Learner:
    """A policy and its optimiser.

    The caller makes sure that nobody samples during `update`.
    """

    def __init__(self, policy: Policy, settings: GrpoSettings, *, reference: Policy | None = None) -> None:
        self.policy = policy
        self.settings = settings
        self.reference = reference
        self.optimiser = torch.optim.AdamW(
            policy.model.parameters(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
        )

    def update(self, groups: Sequence[Sequence[TrainedRollout]], *, step: int) -> UpdateMetrics:
        """One pass over the groups, in `mini_batches` optimiser steps; what it did to the policy.

        Groups whose advantages are all zero count in the mean and cost no computation. Mini-batches hold whole
        groups, dealt out in an order that depends on the seed and `step` only.
        """
        total = sum(len(call.sampled.token_ids) * call.weight for call in self._calls(groups))
        useful = [group for group in groups if any(rollout.advantage != 0.0 for rollout in group)]
        if not useful:
            return _Tally().stats(0.0)
        random.Random(f"{self.settings.seed}/update/{step}").shuffle(useful)  # noqa: S311  reproducible, not secret
        rate = self.settings.learning_rate * min(1.0, (step + 1) / max(1, self.settings.warmup_steps))
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = rate
        parts = min(self.settings.mini_batches, len(useful))
        tally = _Tally()
        for part in range(parts):
            calls = self._calls(useful[part::parts])
            self.optimiser.zero_grad(set_to_none=True)
            for terms in self._losses(calls, total / parts, tally):
                terms.loss.backward()  # pyright: ignore[reportUnknownMemberType]  torch leaves it untyped
                tally.add(terms)
            limit = self.settings.max_grad_norm
            tally.grad_norms.append(float(torch.nn.utils.clip_grad_norm_(self.policy.model.parameters(), limit)))
            self.optimiser.step()  # pyright: ignore[reportUnknownMemberType]  torch leaves it untyped
        self.optimiser.zero_grad(set_to_none=True)
        return tally.stats(rate)

    def state(self) -> dict[str, object]:
        """The optimiser's state, for a checkpoint."""
        return self.optimiser.state_dict()

    def restore(self, state: dict[str, object]) -> None:
        """Take up the state of a checkpoint; the weights are restored by loading them."""
        self.optimiser.load_state_dict(state)

    def _calls(self, groups: Sequence[Sequence[TrainedRollout]]) -> list[WeighedCall]:
        return [call for group in groups for rollout in group for call in rollout.weighed(self.settings)]

    def _losses(self, calls: Sequence[WeighedCall], normaliser: float, tally: _Tally) -> Iterator[LossTerms]:
        sampled = [call.sampled for call in calls]
        first = not tally.grad_norms
        for indices, logprobs, entropies in self._logprobs(self.policy, sampled):
            chosen = [calls[index] for index in indices]
            counts = [len(call.sampled.token_ids) for call in chosen]
            old = _tensor([value for call in chosen for value in call.sampled.logprobs], logprobs)
            weights = _spread([call.weight for call in chosen], counts, logprobs)
            tally.see(logprobs, old, entropies, weights, first=first)
            yield policy_loss(
                logprobs,
                old_logprobs=old,
                advantages=_spread([call.advantage for call in chosen], counts, logprobs),
                weights=weights,
                normaliser=normaliser,
                clip_low=self.settings.clip_low,
                clip_high=self.settings.clip_high,
                reference_logprobs=self._reference([call.sampled for call in chosen]),
                kl_coefficient=self.settings.kl_coefficient,
            )

    def _reference(self, sampled: Sequence[Sampled]) -> torch.Tensor | None:
        """Log-probabilities under the start, in the order of the calls; None without a reference."""
        if self.reference is None:
            return None
        by_call: dict[int, torch.Tensor] = {}
        with torch.no_grad():
            for indices, logprobs, _ in self._logprobs(self.reference, sampled):
                counts = [len(sampled[index].token_ids) for index in indices]
                by_call.update(zip(indices, torch.split(logprobs, counts), strict=True))
        return torch.cat([by_call[index] for index in range(len(sampled))])

    def _logprobs(
        self, policy: Policy, sampled: Sequence[Sampled]
    ) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
        return response_logprobs(
            policy,
            sampled,
            temperature=self.settings.temperature,
            micro_batch_tokens=self.settings.micro_batch_tokens,
        )


class _Tally:
    """Sums over the micro-batches of one update."""

    def __init__(self) -> None:
        self.loss = self.clipped = self.divergence = self.weight = self.entropy = self.gap = 0.0
        self.tokens = 0
        self.grad_norms: list[float] = []

    def see(
        self, logprobs: torch.Tensor, old: torch.Tensor, entropies: torch.Tensor, weights: torch.Tensor, *, first: bool
    ) -> None:
        self.entropy += float((entropies * weights).sum())
        self.tokens += len(logprobs)
        if first:
            self.gap = max(self.gap, float((logprobs.detach() - old).abs().max()))

    def add(self, terms: LossTerms) -> None:
        self.loss += float(terms.loss.detach())
        self.clipped += float(terms.clipped)
        self.divergence += float(terms.divergence)
        self.weight += float(terms.weight)

    def stats(self, rate: float) -> UpdateMetrics:
        """Means, weighted as the loss is; all 0 where nothing was trained."""
        steps, weight = len(self.grad_norms), self.weight
        return {
            "loss": self.loss / (steps or 1),
            "grad_norm": sum(self.grad_norms) / (steps or 1),
            "clip_fraction": self.clipped / (weight or 1.0),
            "kl_start": self.divergence / (weight or 1.0),
            "entropy": self.entropy / (weight or 1.0),
            "logprob_gap": self.gap,
            "learning_rate": rate,
            "optimiser_steps": steps,
            "trained_tokens": self.tokens,
        }


def _tensor(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _spread(values: Sequence[float], counts: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """Each value once per token."""
    return _tensor(values, like).repeat_interleave(torch.tensor(counts, device=like.device))
