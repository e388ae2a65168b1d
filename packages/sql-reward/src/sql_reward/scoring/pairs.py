"""Pairs to judge, and files of them: JSON lines. The files of Spider and BIRD are read in `official`.

A row that cannot be used is data (`BadRow`), so that one broken line costs one verdict and not the run. A file that
cannot be used at all is an `InputError`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sql_reward.scoring.texts import read_bytes

JsonId = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A prediction and the gold query it is held against."""

    id: JsonId
    db_id: str
    gold: str
    predicted: str | None
    """None where the model gave no SQL at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A line that holds no pair."""

    id: JsonId
    """None where it could not be read."""
    error: str


def read_pairs(path: Path) -> list[Pair | BadRow]:
    """The rows `{"id", "db_id", "gold", "pred"}` of a JSON-lines file, in order. Blank lines are skipped.

    Raises:
        InputError: the file cannot be opened, or is UTF-16 that breaks off.
    """
    lines = read_bytes(path).split(b"\n")
    return [_pair_of(line, number) for number, line in enumerate(lines, start=1) if line.strip()]


def _pair_of(line: bytes, number: int) -> Pair | BadRow:
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return BadRow(id=None, error=f"line {number} is not JSON: {error}")
    if not isinstance(row, dict):
        return BadRow(id=None, error=f"line {number} is not a JSON object with id, db_id, gold and pred")
    fields = cast("Mapping[str, object]", row)
    row_id = fields.get("id")
    if not isinstance(row_id, JsonId):
        return BadRow(id=None, error=f"line {number}: the id is neither a text nor a number")
    missing = [key for key in ("id", "db_id", "gold", "pred") if key not in fields]
    if missing:
        return BadRow(id=row_id, error=f"line {number} lacks {', '.join(missing)}")
    db_id, gold, predicted = fields["db_id"], fields["gold"], fields["pred"]
    if not isinstance(db_id, str) or not isinstance(gold, str):
        return BadRow(id=row_id, error=f"line {number}: db_id and gold have to be texts")
    if not (predicted is None or isinstance(predicted, str)):
        return BadRow(id=row_id, error=f"line {number}: pred has to be a text, or null for no SQL")
    return Pair(id=row_id, db_id=db_id, gold=gold, predicted=predicted)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")
