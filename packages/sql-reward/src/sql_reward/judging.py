"""Judge one prediction against its gold query over one database or a suite of them.

Never raises on anything a prediction says; raises only for our own faults (a broken gold query, a database that is
missing or unreadable, a stalled machine). Stops at the first database that tells the two apart.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from time import thread_time

from sql_reward.errors import DatabaseNotFoundError, GoldSqlError
from sql_reward.gold import GoldCache
from sql_reward.paths import PathLike, as_file
from sql_reward.rules.modes import BirdExpected, Expected, OfficialExpected, Rules
from sql_reward.rules.normalize import fix_current_year, official_text, order_matters
from sql_reward.rules.plug import filled_predictions
from sql_reward.sandbox.connections import Session, session_for
from sql_reward.sandbox.execute import DEFAULT_LIMITS, Fetched, SqlFailure, execute, run_statement
from sql_reward.sandbox.identity import FileIdentity, identify
from sql_reward.sandbox.limits import Limits
from sql_reward.sandbox.overlap import overlap_of
from sql_reward.sandbox.statement import Statement, is_too_long
from sql_reward.verdict import Outcome, Verdict


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
    terms = _terms_of(rules, limits or DEFAULT_LIMITS)
    files = suite(databases)
    identities = tuple(map(identify, files))
    key = None
    if cache is not None:
        key = (terms, identities, gold, predicted, keep_distinct, plug_value, overlap)
        if isinstance(known := cache.get(key), Verdict):
            return known
    query = _gold_query(gold, terms, keep_distinct)
    case = _Case(files, identities, query, terms, cache)
    verdict = case.judge(predicted or "", keep_distinct, plug_value, overlap)
    if cache is not None:
        cache.put(key, verdict, size_bytes=len(gold) + len(predicted or ""))
    return verdict


def suite(databases: PathLike | Sequence[PathLike]) -> tuple[str, ...]:
    """The database files to judge on, main file first.

    In a folder these are its `*.sqlite` files; the main one bears the folder's name, and the others follow in the order
    of the numbers in their names. Journals, logs and backups are none.

    Raises:
        DatabaseNotFoundError: nothing is there.
    """
    if not isinstance(databases, (str, Path, os.PathLike)):  # Path: os.PathLike takes longer to answer
        if not databases:
            raise DatabaseNotFoundError(Path(), "at least one SQLite file in the sequence given")
        return tuple(map(as_file, databases))
    place = os.fspath(databases) or "."
    try:
        return _files_in(place, os.stat(place).st_mtime_ns)  # noqa: PTH116  Path.stat is slower
    except (OSError, ValueError) as error:
        raise DatabaseNotFoundError(Path(place), "a SQLite file, or a folder with *.sqlite files") from error


@lru_cache(maxsize=4096)
def _files_in(place: str, _changed_ns: int) -> tuple[str, ...]:
    databases = Path(place)
    if not databases.is_dir():
        return (place,)
    main = f"{databases.absolute().name}.sqlite"
    files = [file for file in databases.glob("*.sqlite") if file.is_file()]
    if not files:
        raise DatabaseNotFoundError(databases, "a folder with *.sqlite files")
    return tuple(map(str, sorted(files, key=lambda file: (file.name != main, _natural(file.name)))))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts the numbers in names by value, as the catalogue of databases does."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]+)", name)]


@dataclass(frozen=True, slots=True, eq=False)
class _Terms:
    """What stays the same from pair to pair. One object for equal terms, so that a key holds it cheaply."""

    rules: Rules
    official: bool
    limits: Limits
    gold_limits: Limits


@lru_cache(maxsize=256)
def _terms(rules: Rules, limits: Limits) -> _Terms:
    gold_limits = replace(limits, deadline_s=limits.gold_deadline_s)
    return _Terms(rules, rules is Rules.OFFICIAL, limits, gold_limits)


_latest = _terms(Rules.OFFICIAL, DEFAULT_LIMITS)


def _terms_of(rules: Rules, limits: Limits) -> _Terms:
    """As `_terms`, at once where the terms are those of the last call, as they mostly are."""
    global _latest
    latest = _latest
    if latest.limits is not limits or latest.rules is not rules:
        latest = _latest = _terms(rules, limits)
    return latest


@dataclass(frozen=True, slots=True, eq=False)
class _GoldQuery:
    """A gold query by its rules."""

    text: str
    """Before the year is fixed."""
    statement: Statement
    """What runs."""
    ordered: bool
    """Whether the official rules compare rows in sequence."""


@lru_cache(maxsize=4096)
def _gold_query(gold: str, terms: _Terms, keep_distinct: bool) -> _GoldQuery:
    text = official_text(gold, keep_distinct=keep_distinct) if terms.official else gold
    sql = fix_current_year(text) if terms.official else text
    return _GoldQuery(text, Statement(sql, max_bytes=terms.limits.max_sql_bytes), order_matters(sql))


class _OutOfTimeError(Exception):
    """The deadline passed while rows were compared."""


def _tick(cpu_end: float) -> None:
    if thread_time() >= cpu_end:
        raise _OutOfTimeError


class _Case:
    """One gold query on its databases."""

    __slots__ = ("cache", "files", "gold", "identities", "terms")

    def __init__(
        self,
        files: tuple[str, ...],
        identities: tuple[FileIdentity, ...],
        gold: _GoldQuery,
        terms: _Terms,
        cache: GoldCache | None,
    ) -> None:
        self.files = files
        self.identities = identities
        self.gold = gold
        self.terms = terms
        self.cache = cache

    def judge(self, predicted: str, keep_distinct: bool, plug_value: bool, overlap: bool) -> Verdict:
        terms = self.terms
        session = session_for(self.files[0], self.identities[0])
        main = self._expected(session)
        started = thread_time()
        max_bytes = terms.limits.max_sql_bytes
        if 4 * len(predicted) > max_bytes and is_too_long(predicted, max_bytes):
            return self._verdict(Outcome.TOO_LARGE, f"longer than {max_bytes} bytes", 0, 0.0, main.empty)
        text = official_text(predicted, keep_distinct=keep_distinct) if terms.official else predicted
        statement = Statement(text, max_bytes=max_bytes)
        if terms.official and "curdate" in statement.lowered:
            statement = Statement(fix_current_year(text), max_bytes=max_bytes)
        verdict = self._run(statement, session, main, started)
        if plug_value and terms.official and verdict.outcome not in (Outcome.MATCH, Outcome.TIMEOUT):
            verdict = self._plugged(text, session, main, started, verdict)
        if overlap:
            shared = overlap_of(session, self.gold.statement, statement, limits=terms.limits)
            verdict = replace(verdict, overlap=shared)
        return verdict

    def _plugged(self, text: str, session: Session, main: Expected, started: float, verdict: Verdict) -> Verdict:
        """The verdict on the text with values of the gold query in it; the given one if none of them matches."""
        for candidate in filled_predictions(self.gold.text, text):
            if thread_time() >= started + self.terms.limits.deadline_s:
                reason = "stopped at the deadline among plugged values"
                return replace(verdict, outcome=Outcome.TIMEOUT, detail=reason)
            statement = Statement(fix_current_year(candidate), max_bytes=self.terms.limits.max_sql_bytes)
            found = self._run(statement, session, main, started)
            if found.matched:
                return found
            if found.outcome is Outcome.TIMEOUT:
                break
        return verdict

    def _run(self, statement: Statement, session: Session, expected: Expected, started: float) -> Verdict:
        """The verdict on one statement, which must be done `deadline_s` after `started` on the clock of this thread."""
        limits = self.terms.limits
        now = started
        cpu_end = started + limits.deadline_s
        empty = True
        for passed, file in enumerate(self.files):
            if passed:
                before = thread_time()
                session = session_for(file, self.identities[passed])
                expected = self._expected(session)
                now = thread_time()
                started += now - before  # the gold query's time is not the prediction's
                cpu_end += now - before
            empty = empty and expected.empty
            found = execute(session, statement, limits, started=now, cpu_end=cpu_end, model=expected.model)
            if isinstance(found, SqlFailure):
                outcome, detail = found.outcome, found.message
            elif expected.equals(found):
                continue
            else:
                outcome, detail = _difference(expected, found, cpu_end)
            if detail:
                return self._verdict(outcome, detail, passed, thread_time() - started, empty)
        return self._verdict(Outcome.MATCH, "", len(self.files), thread_time() - started, empty)

    def _verdict(self, outcome: Outcome, detail: str, passed: int, seconds: float, gold_empty: bool) -> Verdict:
        return Verdict(
            outcome=outcome,
            databases_passed=passed,
            databases_total=len(self.files),
            detail=detail,
            seconds=seconds,
            gold_empty=gold_empty,
        )

    def _expected(self, session: Session) -> Expected:
        """What the gold query expects on this database, from the cache or by running it."""
        cache = self.cache
        if cache is None:
            expected = self._run_gold(session)
        else:
            key = (self.terms, session.identity, self.gold.statement.sql)
            expected = cache.get(key)
            if expected is None:
                expected = self._run_gold(session)
                if not isinstance(expected, SqlFailure):
                    cache.put(key, expected, size_bytes=expected.size_bytes)
                elif not expected.out_of_memory:
                    cache.put(key, expected)
        if isinstance(expected, SqlFailure):
            raise GoldSqlError(session.path, self.gold.statement.sql, expected.message)
        return expected  # pyright: ignore[reportReturnType]  nothing else is put under such a key

    def _run_gold(self, session: Session) -> Expected | SqlFailure:
        limits = self.terms.gold_limits
        if self.terms.rules is Rules.STRICT:
            from sql_reward.rules.order import strict_expected  # sqlglot takes longer to load than the rest together

            def run(sql: str) -> Fetched | SqlFailure:
                return run_statement(session, Statement(sql, max_bytes=limits.max_sql_bytes), limits)

            return strict_expected(self.gold.statement.sql, run)
        gold = run_statement(session, self.gold.statement, limits)
        if isinstance(gold, SqlFailure):
            return gold
        if self.terms.rules is Rules.BIRD:
            return BirdExpected(gold)
        return OfficialExpected(gold, ordered=self.gold.ordered)


def _difference(expected: Expected, found: Fetched, cpu_end: float) -> tuple[Outcome, str]:
    """The outcome of comparing, and where the rows first differ; '' if they do not."""
    try:
        return Outcome.MISMATCH, expected.difference(found, partial(_tick, cpu_end))
    except _OutOfTimeError:
        return Outcome.TIMEOUT, "stopped at the deadline while comparing rows"
