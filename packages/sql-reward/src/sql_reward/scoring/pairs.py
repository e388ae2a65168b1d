"""Files of pairs to judge: JSON lines of our own, and the two text files of Spider's `evaluation.py`.

A row that cannot be used is data (`BadRow`), so that one broken line costs one verdict and not the run. A file that
cannot be used at all is an `InputError`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sql_reward.errors import InputError

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
        InputError: the file cannot be opened.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise InputError(path, f"{error.strerror}", "give a file of JSON lines") from error
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


def read_official_pairs(gold: Path, predictions: Path) -> list[Pair]:
    """Pairs from the files of Spider's `evaluation.py`: gold lines `SQL<TAB>db_id`, predictions line by line.

    A prediction is cut at its first tab, as officially; an empty line is an empty prediction, not a break. The id of a
    pair is the number of its line, from 1.

    Raises:
        InputError: a file cannot be read, a gold line has no db_id, or the files differ in length.
    """
    gold_lines, predicted_lines = _lines(gold), _lines(predictions)
    while gold_lines and not gold_lines[-1].strip():
        gold_lines.pop()
    if len(gold_lines) != len(predicted_lines):
        blank = " (the last one is blank)" if predicted_lines and not predicted_lines[-1].strip() else ""
        raise InputError(
            predictions,
            f"it has {len(predicted_lines)} lines{blank} and {str(gold)!r} has {len(gold_lines)}",
            "give one prediction per gold query, an empty line for none",
        )
    pairs: list[Pair] = []
    for number, (gold_line, predicted) in enumerate(zip(gold_lines, predicted_lines, strict=True), start=1):
        sql, tab, db_id = gold_line.strip().rpartition("\t")
        if not tab or not sql.strip():
            raise InputError(
                gold, f"expected SQL, a tab, and a db_id, got {gold_line!r}", "correct the line", line=number
            )
        pairs.append(Pair(id=number, db_id=db_id.strip(), gold=sql.strip(), predicted=predicted.strip().split("\t")[0]))
    return pairs


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(path, f"{error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(path, str(error), "save it as UTF-8") from error
    if lines[-1] == "":
        lines.pop()  # what follows the last line break is no line
    return lines
