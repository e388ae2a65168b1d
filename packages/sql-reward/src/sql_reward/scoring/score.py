"""Judge many pairs at once: in worker processes, each pair by itself, results in the order of the input.

A fault of ours (a gold query that fails, a database that is missing, a worker that was killed from outside) is kept
with its pair as `error`; it is never counted as a wrong answer. See `report` for what the results add up to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from sql_reward.errors import DatabaseNotFoundError, SqlRewardError
from sql_reward.exact.levels import Hardness, hardness
from sql_reward.exact.match import ExactMatch, exact_match
from sql_reward.exact.parser import UnparsableSqlError
from sql_reward.exact.schema import Schema, read_schema, read_schemas
from sql_reward.gold import GoldCache
from sql_reward.judging import judge
from sql_reward.paths import PathLike, as_path
from sql_reward.rules.modes import Rules
from sql_reward.sandbox.limits import Limits
from sql_reward.scoring.pairs import BadRow, JsonId, Pair
from sql_reward.scoring.worker_process import LossReason, WorkerLoss
from sql_reward.scoring.workers import WINDOW, Patience, WorkersFailedError, run_in_workers
from sql_reward.verdict import Outcome, Verdict

GRACE_S = 5.0
"""Processor seconds a worker may take beyond all deadlines of its pair before it is killed."""
CACHE_BYTES = 64 * 1024 * 1024
"""Memory of one worker for gold results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """What to find out about each pair, and by which rules."""

    db_root: PathLike
    """Holds `<db_id>/*.sqlite`; several files of one folder are a test suite."""
    execution: bool = True
    """Run both queries and compare their rows."""
    exact: bool = False
    """Compare the parts of both queries (exact set match), and tell the gold's hardness."""
    tables: PathLike | None = None
    """Spider's `tables.json`, for the foreign keys of exact match; without it those of the database files count."""
    rules: Rules = Rules.OFFICIAL
    keep_distinct: bool = False
    plug_value: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        object.__setattr__(self, "db_root", as_path(self.db_root))  # whatever stands for a path may not reach a worker
        object.__setattr__(self, "tables", None if self.tables is None else as_path(self.tables))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """What was found out about one pair."""

    id: JsonId
    db_id: str = ""
    verdict: Verdict | None = None
    """None where execution was not asked for, or `error` says why there is none."""
    exact: ExactMatch | None = None
    """None where it was not asked for, or the official grammar cannot read the gold query."""
    hardness: Hardness | None = None
    """None where it was not asked for, or the official grammar cannot read the gold query."""
    error: str = ""
    """Why the pair could not be judged by execution: our fault, not the prediction's."""


def score_pairs(
    rows: Sequence[Pair | BadRow],
    options: ScoreOptions,
    *,
    jobs: int,
    stop: Callable[[], bool] = lambda: False,
    done: Callable[[], object] = lambda: None,
) -> Iterator[PairResult]:
    """Yield the result of each row, in order, as soon as those before it are known.

    `done` is called once per finished row, in whatever order they finish. When `stop` says yes, what is known is
    yielded in order, with gaps, and that is all.

    Raises:
        WorkersFailedError: no worker process can start. What is known has been yielded before.
    """
    known = {place: PairResult(id=row.id, error=row.error) for place, row in enumerate(rows) if isinstance(row, BadRow)}
    places = _order_of_work(rows)
    pairs = [row for row in map(rows.__getitem__, places) if isinstance(row, Pair)]
    for _ in known:
        done()
    answers = run_in_workers(
        partial(score_pair, options),
        pairs,
        workers=min(jobs, len(pairs)) or 1,
        patience=partial(_patience, options),
        group=_db_id,
        stop=stop,
    )
    turn = 0
    failure: WorkersFailedError | None = None
    while True:
        while turn in known:
            yield known.pop(turn)
            turn += 1
        try:
            position, answer = next(answers)
        except StopIteration:
            break
        except WorkersFailedError as error:
            failure = error
            break
        done()
        place = places[position]
        known[place] = _result_of_loss(pairs[position], answer) if isinstance(answer, WorkerLoss) else answer
    yield from (known[place] for place in sorted(known))
    if failure is not None:
        raise failure


def score_pair(options: ScoreOptions, pair: Pair) -> PairResult:
    """Everything that `options` ask about one pair. Runs inside a worker; raises nothing that its SQL could cause."""
    level, match, verdict, error = None, None, None, ""
    try:
        if options.exact:
            level, match = _compare_parts(pair, _schema(options.tables, options.db_root, pair.db_id))
        if options.execution:
            verdict = judge(
                pair.predicted,
                pair.gold,
                database_folder(options.db_root, pair.db_id),
                rules=options.rules,
                keep_distinct=options.keep_distinct,
                plug_value=options.plug_value,
                limits=options.limits,
                cache=_cache(),
            )
    except SqlRewardError as problem:
        error = f"{type(problem).__name__}: {problem}"
    return PairResult(id=pair.id, db_id=pair.db_id, verdict=verdict, exact=match, hardness=level, error=error)


def database_folder(root: PathLike, db_id: str) -> Path:
    """The folder of one database.

    Raises:
        DatabaseNotFoundError: there is none of that name directly in `root`.
    """
    folder = as_path(root) / db_id
    if not database_folder_exists(root, db_id):
        raise DatabaseNotFoundError(folder, f"a folder of *.sqlite files for the db_id {db_id!r}")
    return folder


def database_folder_exists(root: PathLike, db_id: str) -> bool:
    """Whether a folder of this name is directly in `root`."""
    place = as_path(root)
    folder = place / db_id
    # os.path.isdir, unlike Path.is_dir, takes a name that no file can have for an absent one.
    return folder.parent == place and db_id != ".." and os.path.isdir(folder)  # noqa: PTH112


def _order_of_work(rows: Sequence[Pair | BadRow]) -> list[int]:
    """Places of the pairs, window by window; in a window pairs of one database and one gold query are neighbours.

    So a worker's gold results are at hand when they are needed again, and no result waits long for its turn.
    """

    def key(place: int) -> tuple[int, str, str, str]:
        row = rows[place]
        assert isinstance(row, Pair)
        return (place // WINDOW, row.db_id, row.gold, row.predicted or "")

    return sorted((place for place, row in enumerate(rows) if isinstance(row, Pair)), key=key)


def _db_id(pair: Pair) -> str:
    return pair.db_id


def _patience(options: ScoreOptions, pair: Pair) -> Patience:
    """Beyond all that the limits allow on all databases of the pair."""
    limits = options.limits
    try:
        databases = len(list(database_folder(options.db_root, pair.db_id).glob("*.sqlite")))
    except DatabaseNotFoundError:
        databases = 0
    cpu_s = GRACE_S + limits.deadline_s + databases * limits.gold_deadline_s
    return Patience(cpu_s=cpu_s, wall_s=limits.stall_factor * cpu_s)


def _result_of_loss(pair: Pair, loss: WorkerLoss) -> PairResult:
    if loss.reason is LossReason.OVERRAN:
        verdict = Verdict(outcome=Outcome.TIMEOUT, detail=loss.detail, seconds=loss.seconds)
        return PairResult(id=pair.id, db_id=pair.db_id, verdict=verdict)
    return PairResult(id=pair.id, db_id=pair.db_id, error=f"worker {loss.reason}: {loss.detail}")


def _compare_parts(pair: Pair, schema: Schema) -> tuple[Hardness | None, ExactMatch | None]:
    try:
        return hardness(pair.gold, schema), exact_match(pair.predicted, pair.gold, schema)
    except UnparsableSqlError:
        return None, None


@lru_cache(maxsize=1)
def _cache() -> GoldCache:
    """The gold results of this worker process."""
    return GoldCache(max_bytes=CACHE_BYTES)


@lru_cache(maxsize=512)
def _schema(tables: PathLike | None, db_root: PathLike, db_id: str) -> Schema:
    """Tables and columns of the database file, foreign keys of `tables.json`. Either alone will do."""
    listed = _listed_schemas(tables).get(db_id) if tables else None
    try:
        folder = database_folder(db_root, db_id)
    except DatabaseNotFoundError:
        if listed is None:
            raise
        return listed
    file = folder / f"{db_id}.sqlite"
    schema = read_schema(file if file.is_file() else min(folder.glob("*.sqlite"), default=file))
    if listed is None:
        return schema
    return schema.with_keys_of(listed) if schema.tables else listed


@lru_cache(maxsize=1)
def _listed_schemas(tables: PathLike) -> dict[str, Schema]:
    return read_schemas(tables)
