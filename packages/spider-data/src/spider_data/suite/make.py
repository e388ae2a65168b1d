"""Make the test suite of one database: make many candidate variants, and keep those that refute most wrong queries.

The method follows the distilled test suites of Zhong et al. (2020): make random databases around the constants of the
gold queries, and keep the few that together refute most one-change mutants of the gold queries.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from spider_data.errors import GoldFailsError, TargetOccupiedError
from spider_data.readonly import quoted
from spider_data.storage import StrPath, new_file, require_file
from spider_data.suite.attempts import Attempts
from spider_data.suite.power import Power, Tally, choose
from spider_data.suite.recipe import Recipe, make_recipe
from spider_data.suite.schema import read_schema, reading
from spider_data.suite.trials import GoldStoppedError, prepare, tied_golds
from spider_data.suite.variant import VARIANT_MARK

YARDSTICK = 40
"""Further variants that are never chosen. They help to decide which mutants are not equivalent to their gold query."""
TIE_COST = 0.5
"""A variant with one more tied gold query must refute this many more mutants to be chosen."""
SETTLED_TIE_COST = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteReport:
    """The suite of one database, with its figures."""

    db_id: str
    variants: tuple[Path, ...]
    tally: Tally
    broken_golds: tuple[str, ...]
    """Gold queries that already fail on the main file; they are left out."""
    tied_golds: frozenset[str]
    """Gold queries whose answer depends on the order of equal rows, on the main file or on a variant."""

    @property
    def power(self) -> Power:
        """The figures over all gold queries."""
        return self.tally.power()


def make_suite(
    main: StrPath,
    golds: Iterable[str],
    *,
    variants: int = 10,
    seed: int = 0,
    into: StrPath | None = None,
    candidates: int | None = None,
    yardstick: int = YARDSTICK,
    settled: bool = False,
    force: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> SuiteReport:
    """Write `<db_id>_v1.sqlite` … beside the main file, or into another folder.

    The main file is opened read-only. Variants of an earlier call are replaced after all new ones are complete. The
    variants are chosen among `candidates` (six times `variants` by default). `settled` avoids variants on which ties
    leave the answer of a gold query open, and accepts that the suite then refutes less. `on_step` receives (done, all).

    Raises:
        SourceNotFoundError, DatabaseUnreadableError: the main file is missing or not a SQLite file.
        TargetOccupiedError: the folder has variants that this package did not make; `force` replaces them.
        GoldFailsError: a gold query runs on the main file but on no variant; this package is at fault.
        DiskFullError, TargetUnwritableError: the files cannot be written there.
    """
    main = Path(main)
    require_file(main, wanted="database file", advice="name a SQLite file")
    folder = main.parent if into is None else Path(into)
    stale = _earlier_variants(folder, main.stem, force=force)
    texts = tuple(dict.fromkeys(golds))
    recipe = make_recipe(read_schema(main), texts, settled=settled)
    with reading(main) as connection:
        trials = prepare(recipe, texts, connection)
    untried = ((1 << len(trials.kinds)) - 1) & ~trials.refuted_by_main
    count = candidates or 6 * variants
    refuted: list[int] = []
    has_empty: list[bool] = []
    tied: list[set[str]] = []
    contents: list[bytes] = []
    everything = trials.refuted_by_main
    attempts = Attempts(recipe=recipe, trials=trials, label=f"{main.stem}|{seed}")
    failing = ""
    for number in range(count + yardstick):
        wanted = untried if number < count else untried & ~everything
        with ExitStack() as stack:
            try:
                variant, found = attempts.variant(number, wanted)
            except GoldStoppedError as stopped:
                failing = str(stopped)
                continue
            stack.enter_context(closing(variant))
            everything |= found
            if number < count:
                refuted.append(found)
                tied.append(tied_golds(trials, variant))
                has_empty.append(_has_empty_table(recipe, variant))
                contents.append(variant.serialize())
        if on_step:
            on_step(number + 1, count + yardstick)
    if not contents:
        raise GoldFailsError(path=main, query=failing)
    cost = SETTLED_TIE_COST if settled else TIE_COST
    chosen = choose(refuted, variants, must=has_empty, ties=[len(golds) for golds in tied], tie_cost=cost)
    return SuiteReport(
        db_id=main.stem,
        variants=_write([contents[number] for number in chosen], folder, main.stem, stale),
        tally=Tally(
            trials=trials,
            suite=_union([trials.refuted_by_main, *(refuted[number] for number in chosen)]),
            everything=everything,
            pool=1 + count + yardstick,
        ),
        broken_golds=tuple(trials.broken),
        tied_golds=frozenset(trials.tied_on_main.union(*(tied[number] for number in chosen))),
    )


def _union(bit_sets: Iterable[int]) -> int:
    union = 0
    for bits in bit_sets:
        union |= bits
    return union


def _has_empty_table(recipe: Recipe, connection: sqlite3.Connection) -> bool:
    counts = (
        connection.execute(f"SELECT EXISTS (SELECT 1 FROM {quoted(table.name)})").fetchone()[0]
        for table in recipe.schema.tables
    )
    return not all(counts)


def _earlier_variants(folder: Path, db_id: str, *, force: bool) -> list[Path]:
    """Our own variants in the folder.

    Raises:
        TargetOccupiedError: a file that is not ours has such a name.
    """
    pattern = re.compile(re.escape(db_id) + r"_v\d+\.sqlite")
    found = sorted(file for file in folder.glob("*.sqlite") if pattern.fullmatch(file.name)) if folder.is_dir() else []
    foreign = [file for file in found if not file.is_file() or not is_ours(file)]
    if foreign and not force:
        reason = f"and {len(foreign) - 1} more variants were not made by this command; replace them with --force"
        raise TargetOccupiedError(path=foreign[0], reason=f"{reason} or keep them")
    return found


def is_ours(file: Path) -> bool:
    """Whether a SQLite file has the mark of a generated variant (bytes 68 to 71 of its header)."""
    with file.open("rb") as handle:
        header = handle.read(72)
    return header[68:72] == VARIANT_MARK.to_bytes(4, "big")


def _write(contents: list[bytes], folder: Path, db_id: str, stale: list[Path]) -> tuple[Path, ...]:
    """Write all variants under temporary names, then rename them all; after an error, leave none."""
    written = tuple(folder / f"{db_id}_v{place}.sqlite" for place in range(1, len(contents) + 1))
    with ExitStack() as stack:
        for target, content in zip(written, contents, strict=True):
            stack.enter_context(new_file(target)).write_bytes(content)
    for file in stale:
        if file not in written:
            file.unlink()
    return written
