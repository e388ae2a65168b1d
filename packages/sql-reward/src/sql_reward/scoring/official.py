"""Files of golds and predictions in the forms of the benchmarks: Spider's lines and BIRD's JSON.

Spider: a line is `SQL<TAB>db_id` in the gold file and SQL in the predictions. BIRD: one JSON object, from the index of
a question to `SQL<TAB>----- bird -----<TAB>db_id`. Both are read for golds and for predictions, in any combination. A
JSON list of texts, or of objects with the SQL under `SQL` or `query`, is read too.
"""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, cast

from sql_reward.errors import InputError
from sql_reward.scoring.pairs import Pair
from sql_reward.scoring.texts import read_lines

BIRD_SEPARATOR: Final = "\t----- bird -----\t"
SHOWN: Final = 5
"""Indices that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialFiles:
    """What two files hold together."""

    pairs: list[Pair]
    notes: list[str]
    """Sentences for the user: how something was read that the official evaluator reads otherwise, or not at all."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One query of a file."""

    sql: str
    db_id: str = ""
    """'' where the file does not say."""
    line: int = 0
    """The line it stands on; 0 in JSON."""


_Entries = dict[int, _Entry]
"""By place in the file from 0, or by BIRD's index."""


def read_official_pairs(gold: Path, predictions: Path) -> list[Pair]:
    """The pairs of a gold file and a prediction file, in the forms of Spider or BIRD (see `read_official`)."""
    return read_official(gold, predictions).pairs


def read_official(gold: Path, predictions: Path) -> OfficialFiles:
    """The pairs of a gold file and a prediction file, and how they were read.

    In lines, an empty prediction is an answer without SQL and not a break. Tabs inside a query are white space; a last
    field that is the gold's db_id, or that no SQL could be, is left out. The id of a pair is its place from 1, or
    BIRD's index if the golds are indexed.

    Raises:
        InputError: a file cannot be read or is empty, a gold has no db_id, or the files do not hold the same questions.
    """
    golds, gold_is_json = _entries(gold, blanks_end=True)
    found, predicted_is_json = _entries(predictions)
    if not gold_is_json:
        golds = {place: _with_db_id(entry, gold) for place, entry in golds.items()}
    for place, entry in golds.items():
        if not entry.db_id:
            raise InputError(gold, f"query {place} has no db_id", f"write it as 'SQL{BIRD_SEPARATOR}db_id'")
    _refuse_other_questions(golds, gold, found, predictions, as_lines=not predicted_is_json)
    with_tabs = 0
    pairs: list[Pair] = []
    for place, entry in golds.items():
        predicted = found[place]
        if predicted.db_id and predicted.db_id != entry.db_id:
            raise InputError(
                predictions,
                f"query {place} is for the database {predicted.db_id!r}, and its gold for {entry.db_id!r}",
                "give the two files of one benchmark",
            )
        sql = predicted.sql if predicted_is_json else _without_last_field(predicted.sql, entry.db_id)
        with_tabs += "\t" in sql and not predicted_is_json
        number = place if gold_is_json else place + 1
        pairs.append(Pair(id=number, db_id=entry.db_id, gold=entry.sql, predicted=sql))
    notes = [
        f"{str(path)!r} is read as JSON with {len(entries):,} queries"
        for path, entries, is_json in ((gold, golds, gold_is_json), (predictions, found, predicted_is_json))
        if is_json
    ]
    if with_tabs:
        notes.append(
            f"{with_tabs:,} of {len(pairs):,} predictions hold tabs, read as white space; evaluation.py cuts there"
        )
    return OfficialFiles(pairs=pairs, notes=notes)


def _entries(path: Path, *, blanks_end: bool = False) -> tuple[_Entries, bool]:
    """The queries of a file, and whether it is JSON. With `blanks_end`, blank lines at its end are no queries."""
    lines = read_lines(path)
    start = next((line.strip() for line in lines if line.strip()), "")
    if not start:
        raise InputError(path, "it is empty", "give a file with one query per line, or BIRD's JSON")
    while blanks_end and not lines[-1].strip():
        lines.pop()
    if not start.startswith(("{", "[")):
        return {place: _Entry(line, line=place + 1) for place, line in enumerate(lines)}, False
    try:
        value: object = json.loads("\n".join(lines))
    except (ValueError, RecursionError) as error:
        raise InputError(
            path,
            f"it begins like JSON and is none ({error})",
            "give lines of SQL or BIRD's JSON; JSON lines of pairs go to `sql-reward judge --pairs`",
        ) from error
    if isinstance(value, dict):
        return _of_object(cast("Mapping[str, object]", value), path), True
    return {place: _of_value(each, path, place) for place, each in enumerate(cast("list[object]", value))}, True


def _of_object(value: Mapping[str, object], path: Path) -> _Entries:
    entries: _Entries = {}
    for key, each in value.items():
        if not key.isdecimal():
            raise InputError(path, f"expected indices of questions as keys, got {key!r}", "give BIRD's JSON")
        entries[int(key)] = _of_value(each, path, int(key))
    return dict(sorted(entries.items()))


def _of_value(value: object, path: Path, place: int) -> _Entry:
    """A query in JSON. Null, and numbers as BIRD's evaluator has it, are answers without SQL."""
    if value is None or isinstance(value, (int, float)):
        return _Entry("")
    if isinstance(value, dict):
        fields = cast("Mapping[str, object]", value)
        sql = next((fields[key] for key in ("SQL", "query") if key in fields), None)
        if isinstance(sql, str):
            return _Entry(sql.strip(), db_id=str(fields.get("db_id", "")).strip())
    if not isinstance(value, str):
        raise InputError(
            path, f"query {place} is {repr(cast('object', value))[:60]}", "give a text, or an object with SQL and db_id"
        )
    sql, _, db_id = value.partition(BIRD_SEPARATOR)
    return _Entry(sql.strip(), db_id=db_id.strip())


def _with_db_id(entry: _Entry, path: Path) -> _Entry:
    sql, tab, db_id = entry.sql.strip().rpartition("\t")
    sql = sql.removesuffix(BIRD_SEPARATOR.rstrip("\t")).strip()
    if not tab or not sql or not db_id.strip():
        raise InputError(
            path,
            f"expected SQL, a tab, and a db_id, got {entry.sql[:80]!r}",
            "correct the line",
            line=entry.line,
        )
    return _Entry(sql, db_id=db_id.strip(), line=entry.line)


def _refuse_other_questions(golds: _Entries, gold: Path, found: _Entries, path: Path, *, as_lines: bool) -> None:
    """Both files have to hold the same places. Blank lines behind the last gold are none."""
    if golds.keys() == found.keys():
        return
    if as_lines and list(golds) == list(range(len(golds))):
        blank = " (the last one is blank)" if len(found) > len(golds) and not found[len(found) - 1].sql.strip() else ""
        raise InputError(
            path,
            f"it has {len(found):,} lines{blank} and {str(gold)!r} has {len(golds):,}",
            "give one prediction per gold query, an empty line for none",
        )
    missing, surplus = _some(golds.keys() - found.keys()), _some(found.keys() - golds.keys())
    raise InputError(
        path,
        f"it lacks the questions {missing} of {str(gold)!r} and has {surplus} beside them",
        "give one prediction per gold query, null for none",
    )


def _some(places: AbstractSet[int]) -> str:
    shown = ", ".join(map(str, islice(sorted(places), SHOWN)))
    return f"{shown} and {len(places) - SHOWN:,} more" if len(places) > SHOWN else shown or "none"


def _without_last_field(line: str, db_id: str) -> str:
    """The SQL of a prediction line: without a field behind a tab that is the db_id or cannot belong to the SQL."""
    line = line.strip()
    if "\t" not in line:
        return line
    sql, _, last = line.rpartition("\t")
    if last.strip() == db_id:
        return sql.removesuffix(BIRD_SEPARATOR.rstrip("\t")).strip()
    first = line.partition("\t")[0].strip()
    return first if not _reads(line) and _reads(first) else line


def _reads(sql: str) -> bool:
    """Whether this is SQL, as far as its words go."""
    import sqlglot  # takes longer to load than the rest together, and few files need it
    from sqlglot.errors import SqlglotError

    try:
        return len(sqlglot.parse(sql, read="sqlite")) == 1
    except (SqlglotError, RecursionError):
        return False
