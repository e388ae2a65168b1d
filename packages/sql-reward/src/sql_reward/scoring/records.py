"""Files of verdicts: one JSON object a line, written as results come and compared afterwards."""

import json
from collections.abc import Callable, Generator, Iterable
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

from sql_reward.errors import InputError, OutputError
from sql_reward.scoring.score import PairResult
from sql_reward.scoring.texts import read_lines
from sql_reward.stats import PairedComparison, compare_paired

Record = dict[str, object]


def record_of(result: PairResult) -> Record:
    """`{"id", "outcome", "matched", "seconds", "detail"}`; without a verdict, outcome is null and `error` says why."""
    verdict = result.verdict
    if verdict is None:
        record: Record = {"id": result.id, "outcome": None, "matched": False, "seconds": 0.0, "detail": ""}
        return record | {"error": result.error} if result.error else record
    return {
        "id": result.id,
        "outcome": str(verdict.outcome),
        "matched": verdict.matched,
        "seconds": round(verdict.seconds, 6),
        "detail": verdict.detail,
    }


def detailed_record_of(result: PairResult) -> Record:
    """The same with `db_id`, `hardness` and `exact_match`; null where not asked for or not known."""
    exact = result.exact.matched if result.exact else None
    return record_of(result) | {"db_id": result.db_id, "hardness": result.hardness, "exact_match": exact}


@contextmanager
def record_file(path: Path | None) -> Generator[Callable[[Record], None]]:
    """A function that writes one record, a whole line at a time, so that the file is valid whenever one looks.

    When the disk is full, the line that does not fit is taken back. Without a path the function does nothing.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is None:
        yield lambda record: None
        return
    try:
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise OutputError(path, str(error.strerror), "give a file in a folder that can be written") from error
    whole = 0
    with file:

        def write(record: Record) -> None:
            nonlocal whole
            line = json.dumps(record).encode() + b"\n"
            written = 0
            try:
                while written < len(line):
                    written += file.write(line[written:])
            except OSError as error:
                with suppress(OSError):  # a device or a pipe has no length
                    file.truncate(whole)
                advice = f"make room; it holds {whole:,} bytes, whole lines only"
                raise OutputError(path, str(error.strerror), advice) from error
            whole += len(line)

        yield write


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two files of verdicts on the same questions."""

    paired: PairedComparison
    """Over the questions that have a verdict in both files."""
    won: list[str]
    """Ids, as JSON, of questions that only the second file has right."""
    lost: list[str]
    """Ids, as JSON, of questions that only the first file has right."""
    unjudged: list[str]
    """Ids, as JSON, of questions without a verdict in one of the files: left out."""


def compare_files(first: Path, second: Path) -> Comparison:
    """Compare two files of verdicts question by question; order does not matter.

    Raises:
        InputError: a file cannot be read, repeats an id, or the two hold different questions.
    """
    one, other = _read_verdicts(first), _read_verdicts(second)
    if one.keys() != other.keys():
        raise InputError(
            second,
            f"it holds other questions than {str(first)!r}: {_some(one.keys() - other.keys(), one)} only in the "
            f"first, {_some(other.keys() - one.keys(), other)} only in the second",
            "judge both on the same questions",
        )
    judged = [key for key in one if one[key] is not None and other[key] is not None]
    if not judged:
        raise InputError(second, f"no question has a verdict both there and in {str(first)!r}", "look at their errors")
    return Comparison(
        paired=compare_paired([bool(one[key]) for key in judged], [bool(other[key]) for key in judged]),
        won=[key for key in judged if other[key] and not one[key]],
        lost=[key for key in judged if one[key] and not other[key]],
        unjudged=[key for key in one if one[key] is None or other[key] is None],
    )


def _some(keys: AbstractSet[str], order: Iterable[str]) -> str:
    """Up to five ids, and how many there are."""
    if not keys:
        return "none"
    shown = ", ".join(islice((key for key in order if key in keys), 5))
    return f"{shown} and {len(keys) - 5:,} more" if len(keys) > 5 else shown


def _read_verdicts(path: Path) -> dict[str, bool | None]:
    """Whether each question was answered rightly, by its id as JSON; None where there is no verdict."""
    lines = read_lines(path)
    verdicts: dict[str, bool | None] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = cast("Record", json.loads(line))
            key, matched, outcome = json.dumps(record["id"]), record["matched"], record["outcome"]
        except (ValueError, LookupError, TypeError) as error:
            raise InputError(
                path,
                f"expected a JSON object with id, outcome and matched, got {line[:80]!r}",
                "give a file that `judge` or `score` wrote",
                line=number,
            ) from error
        if key in verdicts:
            raise InputError(path, f"it repeats the id {key}", "keep one verdict per question", line=number)
        verdicts[key] = None if outcome is None else bool(matched)
    return verdicts
