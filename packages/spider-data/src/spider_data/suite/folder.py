"""Make suites for all databases of a data folder, with the gold queries of its task files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from spider_data.catalog import DatabaseCatalog
from spider_data.errors import GoldsInvalidError, SourceNotFoundError
from spider_data.parquet import read_tasks
from spider_data.records import decode
from spider_data.storage import StrPath, link_file, reading, require_file, writing
from spider_data.suite.make import SuiteReport, make_suite

OnStep = Callable[[str, int, int], None]
"""Receives the db_id, the steps done and the number of steps of that database."""


def make_suites(
    data: StrPath,
    *,
    variants: int = 10,
    seed: int = 0,
    golds: Sequence[StrPath] = (),
    only: Sequence[str] = (),
    into: StrPath | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
    on_report: Callable[[SuiteReport], None] | None = None,
) -> list[SuiteReport]:
    """Make a suite for every database of a data folder that has gold queries, in the order of their ids.

    The gold queries are those of all Parquet files in `data`, or of the files in `golds`: Parquet, or text like
    Spider's with `query<TAB>db_id` lines. `only` names the databases to work on. With `into`, variants go to
    `into/<db_id>/`, beside a link to the main file, and nothing is written to `data`.

    Raises:
        SourceNotFoundError: no data folder, no such file of gold queries, or no gold query at all.
        DatabaseNotFoundError: a gold query or `only` names a database that does not exist.
        GoldsInvalidError: a line of a text file has no database id.
        and the errors of `make_suite`.
    """
    catalog = DatabaseCatalog(data)
    files = [Path(file) for file in golds] or sorted(catalog.root.glob("*.parquet"))
    queries = read_golds(files)
    wanted = sorted(only or queries)
    if not wanted:
        advice = "expected *.parquet task files there; name the queries with --golds FILE"
        raise SourceNotFoundError(path=catalog.root, wanted="gold queries", inside=True, advice=advice)
    mains = {db_id: catalog.path(db_id) for db_id in wanted}
    reports: list[SuiteReport] = []
    for db_id, main in mains.items():
        home = None if into is None else Path(into) / db_id
        report = make_suite(
            main,
            queries.get(db_id, []),
            variants=variants,
            seed=seed,
            into=home,
            force=force,
            on_step=None if on_step is None else lambda done, steps, db_id=db_id: on_step(db_id, done, steps),
        )
        if home is not None and not (home / main.name).exists():
            with writing(home):
                (home / main.name).unlink(missing_ok=True)  # a link whose target no longer exists
                link_file(main, home / main.name)
        reports.append(report)
        if on_report:
            on_report(report)
    return reports


def read_golds(files: Iterable[Path]) -> dict[str, list[str]]:
    """Gold queries by database, from Parquet task files or `query<TAB>db_id` text files.

    Raises:
        SourceNotFoundError: no such file.
        GoldsInvalidError: a line has no database id.
    """
    found: dict[str, list[str]] = {}
    for file in files:
        pairs = [(task.db_id, task.query) for task in read_tasks(file)] if file.suffix == ".parquet" else _lines(file)
        for db_id, query in pairs:
            found.setdefault(db_id, []).append(query)
    return found


def _lines(file: Path) -> list[tuple[str, str]]:
    require_file(file, wanted="file of gold queries", advice="check the path given to --golds")
    try:
        with reading(file):
            text, _ = decode(file.read_bytes())
    except UnicodeDecodeError as error:
        raise GoldsInvalidError(path=file, line=0, reason=f"the file is not UTF-8 text ({error.reason})") from error
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        query, tab, db_id = line.rpartition("\t")
        if not tab or not query.strip() or not db_id.strip():
            reason = f"expected a query, a tab and a db_id, got {line[:80]!r}"
            raise GoldsInvalidError(path=file, line=number, reason=reason)
        pairs.append((db_id.strip(), query.strip()))
    return pairs
