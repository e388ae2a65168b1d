"""Hold out tasks with a seed: the same tasks and seed give the same sets on any machine.

Hold out by database to test a model on unseen schemas, and by question otherwise.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from spider_data.errors import OptionInvalidError
from spider_data.task import SpiderTask, Split


def carve_by_database(
    tasks: Sequence[SpiderTask], *, share: float, seed: int, split: Split = Split.VALIDATION, option: str = "share"
) -> tuple[list[SpiderTask], list[SpiderTask]]:
    """Two lists, the rest and the held-out: whole databases go to the second until it has `share` of the rows.

    Both keep the order of `tasks`; the held-out ones get `split`. At least one database stays on each side.
    `option` is the name under which the caller takes the share, for the error.

    Raises:
        OptionInvalidError: `share` is not between 0 and 1, or there is only one database.
    """
    check_share(share, option=option)
    sizes = Counter(task.db_id for task in tasks)
    if share == 0 or not tasks:
        return list(tasks), []
    if len(sizes) < 2:
        reason = f"there is one database, {next(iter(sizes))!r}, and none of it can be held out whole; give 0"
        raise OptionInvalidError(option=option, reason=f"{reason} to train on all of it")
    order = sorted(sizes)
    random.Random(seed).shuffle(order)  # noqa: S311  a split must be repeatable, not secret
    held: set[str] = set()
    rows = 0
    for db_id in order[:-1]:
        if rows >= share * len(tasks):
            break
        held.add(db_id)
        rows += sizes[db_id]
    return _part(tasks, [task.db_id in held for task in tasks], split)


def carve_by_question(
    tasks: Sequence[SpiderTask], *, share: float, seed: int, split: Split = Split.VALIDATION, option: str = "share"
) -> tuple[list[SpiderTask], list[SpiderTask]]:
    """Two lists, the rest and the held-out: about `share` of the questions of each database go to the second.

    Tasks of one database with the same question or the same gold query stay together, so no held-out answer
    was trained on. Both lists keep the order of `tasks`; the held-out ones get `split`. With two such groups or
    more and a share above 0, neither list is empty.

    Raises:
        OptionInvalidError: `share` is not between 0 and 1.
    """
    check_share(share, option=option)
    groups = _kin(tasks)
    random.Random(seed).shuffle(groups)  # noqa: S311  a split must be repeatable, not secret
    total = Counter(task.db_id for task in tasks)
    rows: Counter[str] = Counter()
    held: set[int] = set()
    for group in groups:
        db_id = tasks[group[0]].db_id
        # A group is held out when that brings the database nearer to its share, but never a whole database.
        if 0 < rows[db_id] + len(group) < total[db_id] and rows[db_id] + len(group) / 2 <= share * total[db_id]:
            held.update(group)
            rows[db_id] += len(group)
    if not held and share > 0 and len(groups) > 1:
        held.update(groups[0])
    return _part(tasks, [index in held for index in range(len(tasks))], split)


def _kin(tasks: Sequence[SpiderTask]) -> list[list[int]]:
    """Positions grouped so that tasks sharing a database and a question or a query are in one group."""
    leader = list(range(len(tasks)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    first: dict[tuple[str, str, str], int] = {}
    for index, task in enumerate(tasks):
        for kind, text in (("question", task.question.casefold()), ("query", task.query)):
            earlier = first.setdefault((task.db_id, kind, " ".join(text.split())), index)
            leader[find(index)] = find(earlier)
    groups: dict[int, list[int]] = {}
    for index in range(len(tasks)):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())


def _part(tasks: Sequence[SpiderTask], held: Sequence[bool], split: Split) -> tuple[list[SpiderTask], list[SpiderTask]]:
    rest = [task for task, out in zip(tasks, held, strict=True) if not out]
    return rest, [replace(task, split=split) for task, out in zip(tasks, held, strict=True) if out]


def check_share(share: float, *, option: str) -> None:
    """Check that a share to hold out is a part of one.

    Raises:
        OptionInvalidError: it is not.
    """
    if not 0 <= share < 1:
        raise OptionInvalidError(option=option, reason=f"expected at least 0 and below 1, such as 0.1; got {share!r}")
