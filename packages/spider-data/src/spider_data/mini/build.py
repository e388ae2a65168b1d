"""Assemble the mini benchmark: choose the candidates that become tasks, and their splits.

For each database, pattern and columns, wordings and constants are split by hash. So a validation question uses a
wording that training never uses for those columns, and constants that training never uses there. When a query has no
constant, training may hold the same query under another wording.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass

from spider_data.mini.quality import says_something
from spider_data.mini.schema import UNSEEN, MiniDatabase
from spider_data.mini.templates import Candidate, Pattern, candidates, spread
from spider_data.task import Hardness, SpiderTask, Split

SIZES = {Split.TRAIN: 2000, Split.VALIDATION: 240, Split.TEST: 240}
"""Tasks of each split on the databases that training uses."""
UNSEEN_SIZE = 120
"""Test tasks on the databases that training never uses."""
_SPARE = 1.06
"""Tasks chosen at first, divided by tasks kept: tasks whose answer is open because of ties on a variant are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The candidates of one database that pass the checks."""

    database: MiniDatabase
    candidates: tuple[Candidate, ...]


def open_pool(database: MiniDatabase, patterns: tuple[Pattern, ...]) -> Pool:
    """Fill one database in memory and keep every candidate with a useful gold answer (see `quality`)."""
    connection = sqlite3.connect(":memory:")
    database.fill(connection)
    good: dict[str, bool] = {}
    kept: list[Candidate] = []
    for candidate in candidates(database, patterns, connection):
        if candidate.query not in good:
            rows = connection.execute(candidate.query).fetchall()
            good[candidate.query] = says_something(rows)
        if good[candidate.query]:
            kept.append(candidate)
    connection.close()
    return Pool(database=database, candidates=tuple(kept))


Picked = dict[Split, list[list[Candidate]]]
"""For each split, one list for the databases that training uses, then one for the unseen databases; best first."""


def pick(pools: Iterable[Pool], patterns: tuple[Pattern, ...]) -> Picked:
    """Choose somewhat more candidates than tasks are needed; equal input gives the same choice in the same order."""
    seen: dict[Split, list[Candidate]] = defaultdict(list)
    unseen: list[Candidate] = []
    for pool in pools:
        for candidate in pool.candidates:
            if pool.database.db_id in UNSEEN:
                unseen.append(candidate)
            elif (split := split_of(candidate)) is not None:
                seen[split].append(candidate)
    picked = {split: [choose(seen[split], patterns, round(size * _SPARE))] for split, size in SIZES.items()}
    picked[Split.TEST].append(choose(unseen, patterns, round(UNSEEN_SIZE * _SPARE)))
    return picked


def finish(picked: Picked, *, open_golds: Container[tuple[str, str]]) -> dict[Split, list[SpiderTask]]:
    """The tasks of every split: the first chosen candidates outside `open_golds` (pairs of db_id and query)."""
    tasks: dict[Split, list[SpiderTask]] = {}
    for split, groups in picked.items():
        kept: list[Candidate] = []
        for group, size in zip(groups, (SIZES[split], UNSEEN_SIZE), strict=False):
            kept += [c for c in group if (c.db_id, c.query) not in open_golds][:size]
        tasks[split] = _tasks(split, kept)
    return tasks


def split_of(candidate: Candidate) -> Split | None:
    """The only split that a candidate may belong to; None when its wording and its constants belong to different
    splits."""
    by_wording = _part(candidate.wording_key)
    if not candidate.values:
        return by_wording
    return by_wording if _part(candidate.values_key) is by_wording else None


def choose(found: Iterable[Candidate], patterns: tuple[Pattern, ...], size: int) -> list[Candidate]:
    """Choose `size` candidates: each pattern by its share, spread evenly over databases, columns and wordings."""
    queues = {pattern.name: _fair_order([c for c in found if c.pattern is pattern]) for pattern in patterns}
    total = sum(pattern.share for pattern in patterns)
    picked: list[Candidate] = []
    credit = dict.fromkeys(queues, 0.0)
    while len(picked) < size and any(queues.values()):
        for pattern in patterns:
            credit[pattern.name] += size * pattern.share / total / 20
            while credit[pattern.name] >= 1 and queues[pattern.name] and len(picked) < size:
                credit[pattern.name] -= 1
                picked.append(queues[pattern.name].pop())
    return picked


def _part(key: str) -> Split:
    where = spread(key)
    return Split.VALIDATION if where < 0.15 else Split.TEST if where < 0.3 else Split.TRAIN


def _fair_order(found: list[Candidate]) -> list[Candidate]:
    """In reverse order: one question of each database in turn, then of each set of columns, never the same question
    twice."""
    unique = {(c.db_id, c.question): c for c in found}
    order = sorted(unique.values(), key=lambda c: spread(f"{c.db_id}|{c.question}|{c.query}"))
    for name in ("columns", "db_id"):
        seen: dict[tuple[str, str], int] = defaultdict(int)
        ranked: list[tuple[int, int, Candidate]] = []
        for position, candidate in enumerate(order):
            group = (candidate.db_id, candidate.columns if name == "columns" else "")
            ranked.append((seen[group], position, candidate))
            seen[group] += 1
        order = [candidate for _, _, candidate in sorted(ranked, key=lambda entry: entry[:2])]
    return order[::-1]


def _tasks(split: Split, picked: list[Candidate]) -> list[SpiderTask]:
    order = sorted(picked, key=lambda c: spread(f"{split}|{c.db_id}|{c.question}|{c.query}"))
    return [
        SpiderTask(
            task_id=f"mini-{split}-{row:04d}-{candidate.pattern.name}",
            db_id=candidate.db_id,
            question=candidate.question,
            query=candidate.query,
            split=split,
            hardness=Hardness(candidate.pattern.hardness),
        )
        for row, candidate in enumerate(order)
    ]
