"""Judge one prediction against its gold query over one database or a suite of them.

Never raises on anything a prediction says; raises only for our own faults (a broken gold query, a database that is
missing or unreadable, a stalled machine). Stops at the first database that tells the two apart.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from time import thread_time

from sql_reward.errors import DatabaseNotFoundError, GoldSqlError
from sql_reward.gold import GoldCache
from sql_reward.paths import PathLike, as_path
from sql_reward.rules.modes import BirdExpected, Expected, OfficialExpected, Rules
from sql_reward.rules.normalize import fix_current_year, official_text, order_matters
from sql_reward.rules.plug import filled_predictions
from sql_reward.sandbox.connections import Session, session_for
from sql_reward.sandbox.execute import DEFAULT_LIMITS, Rows, SqlFailure, execute, is_too_long
from sql_reward.sandbox.identity import FileIdentity, identify
from sql_reward.sandbox.limits import Limits
from sql_reward.sandbox.overlap import overlap_of
from sql_reward.verdict import Outcome, SchemaOverlap, Verdict


def judge(
    predicted: str | None,
    gold: str,
    databases: PathLike | Sequence[PathLike],
    *,
    rules: Rules = Rules.OFFICIAL,
    keep_distinct: bool = False,
    plug_value: bool = False,
    overlap: bool = False,
    limits: Limits | None = None,
    cache: GoldCache | None = None,
) -> Verdict:
    """Whether the prediction answers as the gold query does, on every database.

    `databases` is a SQLite file, a folder (its `*.sqlite` files are a test suite), or the files themselves, the main
    one first. `keep_distinct` and `plug_value` are the official evaluator's flags and act under `Rules.OFFICIAL`
    only. `overlap` also compares the tables and columns that the two queries read, for a shaped reward.

    Raises:
        GoldSqlError: the gold query fails, or does not finish within `limits.gold_deadline_s`.
        DatabaseNotFoundError: a file is missing, or the folder holds no database.
        DatabaseUnreadableError: a file is no file, damaged, locked, or half written.
        MachineError: a disk is full, memory ended, a temporary file cannot be made, or no process starts.
        StalledError: the machine gave a statement too little processor time to say anything about it.
    """
    limits = limits or DEFAULT_LIMITS
    files = suite(databases)
    identities = tuple([identify(file) for file in files])
    key = None
    if cache is not None:
        key = ("verdict", identities, gold, predicted, rules, keep_distinct, plug_value, overlap, limits)
        if isinstance(known := cache.get(key), Verdict):
            return known
    case = _Case(files=files, identities=identities, gold=gold, rules=rules, limits=limits, cache=cache)
    verdict = case.judge(predicted or "", keep_distinct=keep_distinct, plug_value=plug_value, overlap=overlap)
    if cache is not None and key is not None:
        cache.put(key, verdict, size_bytes=len(gold) + len(predicted or ""))
    return verdict


def suite(databases: PathLike | Sequence[PathLike]) -> tuple[Path, ...]:
    """The database files to judge on, main file first.

    In a folder these are its `*.sqlite` files; the main one bears the folder's name, and the others follow in the order
    of the numbers in their names. Journals, logs and backups are none.

    Raises:
        DatabaseNotFoundError: nothing is there.
    """
    if not isinstance(databases, (str, os.PathLike)):
        if not databases:
            raise DatabaseNotFoundError(Path(), "at least one SQLite file in the sequence given")
        return tuple([as_path(database) for database in databases])
    place = as_path(databases)
    try:
        return _files_in(str(place), os.stat(place).st_mtime_ns)  # noqa: PTH116  Path.stat is slower
    except (OSError, ValueError) as error:
        raise DatabaseNotFoundError(place, "a SQLite file, or a folder with *.sqlite files") from error


@lru_cache(maxsize=4096)
def _files_in(place: str, _changed_ns: int) -> tuple[Path, ...]:
    databases = Path(place)
    if not databases.is_dir():
        return (databases,)
    main = f"{databases.absolute().name}.sqlite"
    files = [file for file in databases.glob("*.sqlite") if file.is_file()]
    if not files:
        raise DatabaseNotFoundError(databases, "a folder with *.sqlite files")
    return tuple(sorted(files, key=lambda file: (file.name != main, _natural(file.name))))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts the numbers in names by value, as the catalogue of databases does."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]+)", name)]


@lru_cache(maxsize=4096)
def _official_gold(gold: str, keep_distinct: bool) -> tuple[str, str]:
    """The gold query by the official rules: its text, and the statement that runs."""
    text = official_text(gold, keep_distinct=keep_distinct)
    return text, fix_current_year(text)


@lru_cache(maxsize=4096)
def _is_ordered(gold_sql: str) -> bool:
    return order_matters(gold_sql)


@lru_cache(maxsize=64)
def _gold_limits(limits: Limits) -> Limits:
    """The limits of a gold query."""
    return replace(limits, deadline_s=limits.gold_deadline_s)


class _OutOfTimeError(Exception):
    """The deadline passed while rows were compared."""


@dataclass(slots=True, kw_only=True)
class _Case:
    """One gold query on its databases."""

    files: tuple[Path, ...]
    identities: tuple[FileIdentity, ...]
    gold: str
    rules: Rules
    limits: Limits
    cache: GoldCache | None

    def judge(self, predicted: str, *, keep_distinct: bool, plug_value: bool, overlap: bool) -> Verdict:
        official = self.rules is Rules.OFFICIAL
        gold_text, gold_sql = _official_gold(self.gold, keep_distinct) if official else (self.gold, self.gold)
        main = self._expected(0, gold_sql)
        started = thread_time()
        if is_too_long(predicted, self.limits):
            return self._verdict(Outcome.TOO_LARGE, f"longer than {self.limits.max_sql_bytes} bytes", main=main)
        text = official_text(predicted, keep_distinct=keep_distinct) if official else predicted
        candidates: Iterable[str] = (text,)
        if official and plug_value:
            candidates = chain(candidates, filled_predictions(gold_text, text))
        verdict: Verdict | None = None
        for candidate in candidates:
            if verdict is not None and thread_time() >= started + self.limits.deadline_s:
                verdict = replace(
                    verdict, outcome=Outcome.TIMEOUT, detail="stopped at the deadline among plugged values"
                )
                break
            sql = fix_current_year(candidate) if official else candidate
            found = self._run(sql, gold_sql, main=main, started=started)
            if verdict is None or found.matched:
                verdict = found
            if found.matched or found.outcome is Outcome.TIMEOUT:
                break
        assert verdict is not None, "the prediction itself is always a candidate"
        if overlap:
            verdict = replace(verdict, overlap=self._overlap(gold_sql, fix_current_year(text) if official else text))
        return verdict

    def _run(self, sql: str, gold_sql: str, *, main: Expected, started: float) -> Verdict:
        """The verdict on one text, which must be done `deadline_s` after `started` on the clock of this thread."""
        cpu_end = started + self.limits.deadline_s
        gold_s = 0.0

        def tick() -> None:
            if thread_time() >= cpu_end + gold_s:
                raise _OutOfTimeError

        empty = True
        for passed in range(len(self.files)):
            expected = main
            if passed:
                before = thread_time()
                expected = self._expected(passed, gold_sql)
                gold_s += thread_time() - before
            empty = empty and expected.empty
            session = self._session(passed)
            rows = execute(session, sql, limits=self.limits, cpu_end=cpu_end + gold_s, expected=expected.shape)
            outcome = Outcome.MISMATCH
            if isinstance(rows, SqlFailure):
                outcome, detail = rows.outcome, rows.message
            else:
                try:
                    detail = expected.difference(rows, tick)
                except _OutOfTimeError:
                    outcome, detail = Outcome.TIMEOUT, "stopped at the deadline while comparing rows"
            if detail:
                seconds = thread_time() - started - gold_s
                return self._verdict(outcome, detail, main=main, passed=passed, seconds=seconds, empty=empty)
        seconds = thread_time() - started - gold_s
        return self._verdict(Outcome.MATCH, "", main=main, passed=len(self.files), seconds=seconds, empty=empty)

    def _verdict(
        self,
        outcome: Outcome,
        detail: str,
        *,
        main: Expected,
        passed: int = 0,
        seconds: float = 0.0,
        empty: bool | None = None,
    ) -> Verdict:
        return Verdict(
            outcome=outcome,
            databases_passed=passed,
            databases_total=len(self.files),
            detail=detail,
            seconds=seconds,
            gold_empty=main.empty if empty is None else empty,
        )

    def _session(self, index: int) -> Session:
        return session_for(self.files[index], self.identities[index])

    def _expected(self, index: int, gold_sql: str) -> Expected:
        key = ("gold", self.identities[index], gold_sql, self.rules, self.limits)
        expected = self.cache.get(key) if self.cache is not None else None
        if expected is None:
            expected = self._run_gold(index, gold_sql)
            if self.cache is not None and not (isinstance(expected, SqlFailure) and expected.out_of_memory):
                self.cache.put(key, expected, size_bytes=0 if isinstance(expected, SqlFailure) else expected.size_bytes)
        if isinstance(expected, SqlFailure):
            raise GoldSqlError(self.files[index], gold_sql, expected.message)
        return expected  # pyright: ignore[reportReturnType]  nothing else is put under a "gold" key

    def _run_gold(self, index: int, gold_sql: str) -> Expected | SqlFailure:
        limits = _gold_limits(self.limits)

        def rows_of(sql: str) -> Rows | SqlFailure:
            return execute(self._session(index), sql, limits=limits, cpu_end=thread_time() + limits.deadline_s)

        if self.rules is Rules.STRICT:
            from sql_reward.rules.order import strict_expected  # sqlglot takes longer to load than the rest together

            gold = strict_expected(gold_sql, rows_of)
        else:
            gold = rows_of(gold_sql)
        if not isinstance(gold, Rows):
            return gold
        if self.rules is Rules.BIRD:
            return BirdExpected(gold)
        return OfficialExpected(gold, ordered=_is_ordered(gold_sql))

    def _overlap(self, gold_sql: str, sql: str) -> SchemaOverlap:
        return overlap_of(self._session(0), gold_sql, sql, limits=self.limits)
