"""What must have happened in a proof run, worked out anew from what the runners and the traces wrote down.

Independent of the code that trained: the expected rows come from `rollouts.jsonl` (written by the runners) and
`calls.jsonl` (every model call of every trace), with means and deviations from Python's `statistics`.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lit_sql_trainer.runs.folder import RunFolder, read_lines

TRAINED = ("write_query", "rewrite_query")
EPSILON = 1e-6  # what VERL and the local algorithm add to a standard deviation
TOLERANCE = 1e-6

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must hold."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The files of a proof run."""

    metrics: Sequence[Record]
    rollouts: Sequence[Record]
    calls: Sequence[Record]
    rows: Sequence[Record]
    gradients: Sequence[Record]
    """Norms of the optimiser steps' gradients, in order."""

    @classmethod
    def of(cls, run: RunFolder) -> Evidence:
        """Read them."""
        folder = run.path / "proof"
        return cls(
            metrics=run.metrics(),
            rollouts=list(read_lines(run.rollouts_file)),
            calls=list(read_lines(folder / "calls.jsonl")),
            rows=list(read_lines(folder / "rows.jsonl")),
            gradients=list(read_lines(folder / "gradients.jsonl")),
        )

    def steps(self) -> list[Record]:
        """The metric lines of the updates."""
        return [line for line in self.metrics if line["event"] == "step"]

    def validations(self) -> list[Record]:
        """The metric lines of the validations."""
        return [line for line in self.metrics if line["event"] == "validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRow:
    """One model call that must be trained, by the hand computation."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    advantage: float
    weight: float


def check_numbers(evidence: Evidence, *, groups: int, rollouts: int, parts: int, factor: float) -> Iterator[Check]:
    """Samples, drops, weights and loss of each step against the hand computation."""
    for line in evidence.steps():
        step = int(line["step"])
        done = [record for record in evidence.rollouts if record["mode"] == "train" and record["step"] == step]
        counted = [record for record in done if not record["failed"]]
        asked = (groups + line["refilled_groups"]) * rollouts
        lost = asked - len(counted)
        yield Check(
            name=f"step {step}: samples",
            holds=line["rollouts"] == len(counted) and line["dropped"] == lost and lost + len(counted) == asked,
            detail=f"{asked} asked, {line['rollouts']} counted, {line['dropped']} dropped, {len(done)} recorded",
        )
        expected, tokens = expected_rows(counted, evidence.calls)
        found = [row for row in evidence.rows if row["step"] == step]
        yield _same_rows(f"step {step}: rows and weights", expected, found)
        yield _scaled(f"step {step}: loss scale", found, tokens=tokens, parts=parts, factor=factor)


def expected_rows(counted: Sequence[Record], calls: Sequence[Record]) -> tuple[list[ExpectedRow], float]:
    """The rows of a step, and its weighted tokens, from the rollouts that count."""
    by_rollout = {
        record["rollout_id"]: [call for call in record["calls"] if call["node"] in TRAINED] for record in calls
    }
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in counted:
        groups[record["task_id"]].append(record)
    rows: list[ExpectedRow] = []
    tokens = 0.0
    for group in groups.values():
        rewards = [record["reward"] for record in group]
        contrast = 0 < sum(reward >= 1.0 for reward in rewards) < len(rewards)
        for record in group:
            trained = by_rollout[record["rollout_id"]]
            weight = 1.0 / len(trained)
            tokens += weight * sum(len(call["token_ids"]) for call in trained)
            if contrast:
                advantage = (record["reward"] - statistics.mean(rewards)) / (statistics.stdev(rewards) + EPSILON)
                rows += [
                    ExpectedRow(
                        prompt_ids=tuple(call["prompt_ids"]),
                        token_ids=tuple(call["token_ids"]),
                        advantage=advantage,
                        weight=weight,
                    )
                    for call in trained
                ]
    return rows, tokens


def check_nodes(evidence: Evidence) -> Check:
    """Whether checking calls were made and none of them was trained, and whether no call escaped the record."""
    nodes = Counter(call["node"] for record in evidence.calls for call in record["calls"])
    checks = {
        (tuple(call["prompt_ids"]), tuple(call["token_ids"]))
        for record in evidence.calls
        for call in record["calls"]
        if call["node"] not in TRAINED
    }
    trained = {(tuple(row["prompt_ids"]), tuple(row["token_ids"])) for row in evidence.rows}
    unseen = sum(record["model_calls"] - len(record["calls"]) for record in evidence.calls)
    return Check(
        name="only trained nodes carry loss",
        holds=nodes["check_query"] > 0 and bool(trained) and not checks & trained and unseen == 0,
        detail=f"{dict(nodes)}, {len(checks & trained)} checks among {len(trained)} trained, {unseen} calls unseen",
    )


def check_drops(evidence: Evidence, *, expected: Mapping[int, int]) -> Check:
    """Whether each step dropped as many rollouts as were broken in it, and no failed rollout has a reward."""
    dropped = {int(line["step"]): int(line["dropped"]) for line in evidence.steps()}
    invented = [record for record in evidence.rollouts if record["failed"] and record["reward"] is not None]
    reasons = sorted({reason for line in evidence.steps() for reason in line["drop_reasons"]})
    return Check(
        name="broken rollouts are dropped, not rewarded",
        holds=dropped == dict(expected) and not invented,
        detail=f"dropped {dropped}, expected {dict(expected)}, rewards invented {len(invented)}: {'; '.join(reasons)}",
    )


def check_validations(evidence: Evidence, *, steps: Sequence[int], tasks: int) -> Check:
    """Whether validation ran after the given steps, over all tasks, with numbers per hardness that add up."""
    lines = evidence.validations()
    found = [int(line["step"]) for line in lines]
    whole = all(
        line["rollouts"] == tasks == sum(level["rollouts"] for level in line["hardness"].values()) for line in lines
    )
    return Check(
        name="validation",
        holds=found == list(steps) and whole,
        detail=", ".join(f"step {line['step']}: {line['reward']}" for line in lines),
    )


def first_replies(evidence: Evidence, *, step: int) -> dict[tuple[int, ...], tuple[int, ...]]:
    """vLLM's greedy replies in a validation: prompt tokens → reply tokens."""
    return {
        tuple(call["prompt_ids"]): tuple(call["token_ids"])
        for record in evidence.calls
        if record["mode"] == "val" and record["step"] == step
        for call in record["calls"]
        if call["node"] == "write_query"
    }


def batch_order(evidence: Evidence) -> list[list[Any]]:
    """The sampled batches in order: for each row what it is of, not what it weighs."""
    return [[row["step"], row["part"], row["group"], row["sample"], row["turn"]] for row in evidence.rows]


def _same_rows(name: str, expected: Sequence[ExpectedRow], found: Sequence[Record]) -> Check:
    wanted = sorted((row.prompt_ids, row.token_ids, row.advantage, row.weight) for row in expected)
    got = sorted((tuple(r["prompt_ids"]), tuple(r["token_ids"]), r["advantage"], r["weight"]) for r in found)
    same = len(wanted) == len(got) and all(
        a[:2] == b[:2] and abs(a[2] - b[2]) < TOLERANCE and abs(a[3] - b[3]) < TOLERANCE
        for a, b in zip(wanted, got, strict=True)
    )
    return Check(name=name, holds=same, detail=f"{len(got)} rows trained, {len(wanted)} by hand")


def _scaled(name: str, found: Sequence[Record], *, tokens: float, parts: int, factor: float) -> Check:
    groups = {row["group"] for row in found}
    normaliser = tokens / min(parts, len(groups)) if groups else 0.0
    worst = max(
        (abs(row["coefficient"] - row["advantage"] * row["weight"] * factor / normaliser) for row in found), default=0.0
    )
    return Check(name=name, holds=worst < 1e-5, detail=f"largest difference {worst:.1e}, weighted tokens {tokens:.2f}")


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """Each check's verdict by name."""
    return json.loads(json.dumps({check.name: check.holds for check in checks}))
