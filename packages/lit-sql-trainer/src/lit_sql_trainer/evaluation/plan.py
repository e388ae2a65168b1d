"""Writes down what decides the numbers of an evaluation, before the first question is asked.

Two evaluations with equal plans measure the same thing. An evaluation resumes only under the plan that it began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from lit_sql_trainer.errors import ConfigError, RunError
from lit_sql_trainer.evaluation.questions import Questions
from lit_sql_trainer.evaluation.records import VERSION, Plan, Votes
from lit_sql_trainer.evaluation.targets import Target
from lit_sql_trainer.local.hosted import serving_settings
from lit_sql_trainer.profile.overrides import to_plain
from sql_reward import Rules

PLACES = frozenset({"label", "data", "model_path"})
"""Keys that name places: they may differ as long as the content is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How many samples of each question the model gives, and at which temperature."""

    samples: int = 1
    temperature: float | None = None
    """None is greedy for one sample and 1 for several. With votes, of the samples after the greedy one."""
    seed: int = 0
    votes: int = 1
    """Samples that vote on each answer, at most; 1 answers greedily. See `sql_graph.agent.voting`."""

    def __post_init__(self) -> None:
        if self.votes < 1:
            raise ConfigError(f"there must be at least one vote on each answer, got {self.votes}")
        if self.votes > 1 and self.samples > 1:
            raise ConfigError(
                "-k judges every sample and --votes only the answer that the samples elect: give one of the two"
            )
        if self.samples < 1:
            raise ConfigError(f"there must be at least one sample of each question, got {self.samples}")
        if self.temperature is not None and self.temperature < 0:
            raise ConfigError(f"the temperature must not be negative, got {self.temperature:g}")
        if self.samples > 1 and self.temperature == 0:
            raise ConfigError(
                f"{self.samples} samples at temperature 0 are {self.samples} times the same reply: leave out -k, or "
                f"raise --temperature"
            )

    @property
    def heat(self) -> float:
        """The temperature that each request asks for."""
        if self.temperature is not None:
            return self.temperature
        return 0.0 if self.samples == 1 else 1.0


def make_plan(target: Target, questions: Questions, sampling: Sampling) -> Plan:
    """The plan as JSON values."""
    votes: Votes = {"votes": sampling.votes} if sampling.votes > 1 else {}
    return {
        "version": VERSION,
        "label": target.label,
        "model": target.model if target.endpoint or not target.weights else "",
        "model_path": target.model,
        "endpoint": target.endpoint or "",
        "weights": target.weights,
        "data": str(questions.folder.resolve()),
        "split": questions.split,
        "questions": len(questions.tasks),
        "questions_digest": questions.digest(),
        "databases": len(questions.db_ids),
        "databases_digest": questions.databases_digest(),
        "unseen": sorted(questions.unseen() or ()),
        "rules": str(Rules.OFFICIAL),
        "samples": sampling.samples,
        "temperature": sampling.heat,
        "seed": sampling.seed,
        "rollout": to_plain(target.profile.rollout),
        "context_tokens": None if target.endpoint else serving_settings(target.profile).context_tokens,
        **votes,
    }


def check_same(plan: Plan, begun: Plan, *, where: str) -> None:
    """Refuse to resume an evaluation whose plan has changed.

    Raises:
        RunError: the plans differ; the error names what differs.
    """
    changed = differences(begun, plan)
    if changed:
        raise RunError(
            f"{where!r} holds an evaluation with another {', another '.join(changed)}: choose another folder with "
            f"--out, or resume it with the command that began it"
        )


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """What differs between two plans, each with both values; places (`PLACES`) do not count."""
    found: list[str] = []
    for key in dict.fromkeys([*one, *other]):
        if key in PLACES or one.get(key) == other.get(key):
            continue
        if key == "rollout":
            rollouts = [cast("Mapping[str, object]", each.get(key) or {}) for each in (one, other)]
            found += [f"rollout.{name}" for name in differences(*rollouts)]
        else:
            found.append(f"{key} ({_short(one.get(key))}, now {_short(other.get(key))})")
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
