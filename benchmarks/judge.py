"""How long a verdict takes, beside Spider's official evaluator in the same process when a folder with it is given.

Pairs of the parity corpus are drawn at random, from databases drawn at random, without those that the official
evaluator or the deadline stopped. In each round every pair is judged in a new random order: by `judge` with the gold
query run each time, by `judge` with the gold result cached (a prediction is never taken from the cache), and by the
official `eval_exec_match`. Which of them goes first is random too. The first round is cold: there the first pair of
each database is what counts. The other rounds are warm, as in training. Last, the whole corpus goes through worker
processes, which lists the pairs whose verdict the deadline changed.

    python benchmarks/judge.py [--official FOLDER] [--pairs 300] [--databases 20] [--rounds 5] [--seed 1]
                               [--deadline 2] [--jobs 2]

FOLDER is a checkout of https://github.com/taoyds/test-suite-sql-eval, which is not shipped here. It imports sqlparse
and tqdm: `uv run --with sqlparse --with tqdm python benchmarks/judge.py --official FOLDER`. `--jobs 0` leaves the
whole corpus out. Needs the Spider data under SQL_TEST_DATA (default `../shared/data`). On a shared machine trust the
ratios, and processor time rather than the clock.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import resource
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

from sql_reward import GoldCache, Limits, Outcome, Verdict, judge
from sql_reward.scoring import Pair, ScoreOptions, score_pairs

DATA = Path(os.environ.get("SQL_TEST_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
DATABASES = DATA / "spider" / "database"
SLOWEST_S = 1.0
"""Pairs that took the official evaluator longer, when the corpus was recorded, are not drawn."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One pair, judged once."""

    wall_s: float
    processor_s: float
    first: bool
    """The first pair of its database in its round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """One way to judge a pair."""

    name: str
    run: Callable[[Row, int], bool]
    """Whether the prediction of this row is right; the number of the round makes its text a new one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="folder of the official evaluator")
    parser.add_argument("--pairs", type=int, default=300, help="pairs drawn")
    parser.add_argument("--databases", type=int, default=20, help="databases they are drawn from")
    parser.add_argument("--rounds", type=int, default=5, help="warm rounds, after the cold one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--deadline", type=float, default=2.0, help="processor seconds a prediction may take")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes for the whole corpus; 0 leaves it out")
    options = parser.parse_args()
    rows: list[Row] = [json.loads(line) for line in (DATA / "parity_public.jsonl").read_text().splitlines()]
    limits = Limits(deadline_s=options.deadline)
    drawing = random.Random(options.seed)
    drawn = draw(rows, drawing, pairs=options.pairs, databases=options.databases)
    print(
        f"judge, {len(drawn)} pairs of {options.databases} databases in random order, SQLite {sqlite3.sqlite_version}"
    )
    judges = ours(limits)
    if options.official is not None:
        judges.append(official(options.official))
    rounds = [one_round(drawn, judges, drawing, number) for number in range(options.rounds + 1)]
    figures = {judge.name: summary(judge.name, [each[judge.name] for each in rounds]) for judge in judges}
    ratios = ratios_of(figures) if options.official is not None else {}
    print(f"  memory of this process: {peak_mb():.0f} MB")
    whole = whole_corpus(rows, limits, jobs=options.jobs) if options.jobs else None
    setting = {"pairs": len(drawn), "databases": options.databases, "rounds": options.rounds, "seed": options.seed}
    print(json.dumps({"bench": "judge", **setting, **figures, **ratios, "memory_mb": round(peak_mb()), "whole": whole}))


def draw(rows: Sequence[Row], drawing: random.Random, *, pairs: int, databases: int) -> list[Row]:
    """Pairs that both evaluators judge without running out of time, each with the places of its database."""
    quick = [row for row in rows if row["official_exec_status"] == "ok" and row["official_seconds"] < SLOWEST_S]
    chosen = set(drawing.sample(sorted({row["db_id"] for row in quick}), databases))
    candidates = [row for row in quick if row["db_id"] in chosen]
    drawing.shuffle(candidates)
    drawn = candidates[:pairs]
    for row in drawn:  # joining paths is nobody's judging
        row["folder"] = str(DATABASES / row["db_id"])
        row["file"] = str(DATABASES / row["db_id"] / f"{row['db_id']}.sqlite")
    return drawn


def ours(limits: Limits) -> list[Judge]:
    """`judge` as an evaluation uses it, and as a training group does."""
    cache = GoldCache()

    def rerun(row: Row, number: int) -> bool:
        predicted = row["pred"] + "\n" * (number + 1)  # a new text, which no connection has kept compiled
        return judge(predicted, row["gold"], row["folder"], limits=limits).matched

    def cached(row: Row, number: int) -> bool:
        predicted = row["pred"] + " " * (number + 1)
        return judge(predicted, row["gold"], row["folder"], limits=limits, cache=cache).matched

    return [Judge(name="gold_each_time", run=rerun), Judge(name="gold_cached", run=cached)]


def official(folder: Path) -> Judge:
    """The official evaluator, from its own folder."""
    sys.path.insert(0, str(folder))
    eval_exec_match = importlib.import_module("exec_eval").eval_exec_match

    def run(row: Row, _number: int) -> bool:
        return bool(eval_exec_match(row["file"], row["pred"], row["gold"], False, False, False))

    return Judge(name="official", run=run)


def one_round(
    rows: Sequence[Row], judges: Sequence[Judge], drawing: random.Random, number: int
) -> dict[str, list[Timing]]:
    """Judge every pair once by each judge, all in random order. They have to agree with what was recorded."""
    order = list(rows)
    drawing.shuffle(order)
    found: dict[str, list[Timing]] = {judge.name: [] for judge in judges}
    seen: set[str] = set()
    for row in order:
        for each in drawing.sample(judges, len(judges)):
            wall, processor = perf_counter(), thread_time()
            matched = each.run(row, number)
            wall, processor = perf_counter() - wall, thread_time() - processor
            assert matched == bool(row["official_exec"]), f"{each.name} disagrees on {row['id']}"
            found[each.name].append(Timing(wall_s=wall, processor_s=processor, first=row["db_id"] not in seen))
        seen.add(row["db_id"])
    return found


def summary(name: str, rounds: Sequence[Sequence[Timing]]) -> dict[str, float]:
    """Print and return the quantiles of one judge in milliseconds: the first round cold, the others warm."""
    cold = [timing for timing in rounds[0] if timing.first]
    warm = [timing for timings in rounds[1:] for timing in timings]
    figures = {
        "median_ms": quantile(0.5, [timing.wall_s for timing in warm]),
        "p90_ms": quantile(0.9, [timing.wall_s for timing in warm]),
        "processor_median_ms": quantile(0.5, [timing.processor_s for timing in warm]),
        "processor_p90_ms": quantile(0.9, [timing.processor_s for timing in warm]),
        "cold_median_ms": quantile(0.5, [timing.wall_s for timing in cold]),
        "cold_p90_ms": quantile(0.9, [timing.wall_s for timing in cold]),
    }
    print(
        f"  {name:15} warm: median {figures['median_ms']:.3f} ms, p90 {figures['p90_ms']:.3f} "
        f"(processor {figures['processor_median_ms']:.3f}, {figures['processor_p90_ms']:.3f}); "
        f"first of a database: {figures['cold_median_ms']:.2f}, p90 {figures['cold_p90_ms']:.2f}"
    )
    return {key: round(value, 4) for key, value in figures.items()}


def quantile(part: float, seconds: Sequence[float]) -> float:
    """In milliseconds."""
    return 1000 * sorted(seconds)[int(part * len(seconds))]


def ratios_of(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """How many times as long the official evaluator takes, in the same run."""
    ratios: dict[str, float] = {}
    for name in ("gold_each_time", "gold_cached"):
        for figure in ("median_ms", "processor_median_ms", "cold_median_ms"):
            ratio = figures["official"][figure] / figures[name][figure]
            ratios[f"official_over_{name}_{figure.removesuffix('_ms')}"] = round(ratio, 1)
    told = ", ".join(f"{name.removeprefix('official_over_')} {ratio:.1f}" for name, ratio in ratios.items())
    print(f"  official over ours: {told}")
    return ratios


def whole_corpus(rows: list[dict[str, Any]], limits: Limits, *, jobs: int) -> dict[str, Any]:
    """Judge every pair, those that hang officially included, by worker processes."""
    pairs = [Pair(id=row["id"], db_id=row["db_id"], gold=row["gold"], predicted=row["pred"]) for row in rows]
    started = perf_counter()
    results = list(score_pairs(pairs, ScoreOptions(db_root=DATABASES, limits=limits), jobs=jobs))
    seconds = perf_counter() - started
    verdicts = {result.id: result.verdict for result in results}
    outcomes = Counter("not judged" if verdict is None else str(verdict.outcome) for verdict in verdicts.values())
    known = [row for row in rows if row["official_exec_status"] == "ok"]
    changed = [row["id"] for row in known if changed_by_deadline(verdicts[row["id"]], row)]
    wrong = [row["id"] for row in known if disagrees(verdicts[row["id"]], row) and row["id"] not in changed]
    late = [verdict.seconds - limits.deadline_s for verdict in verdicts.values() if verdict is not None]
    print(f"  whole corpus, {jobs} processes: {seconds:.1f} s; {dict(outcomes)}")
    print(f"  latest verdict: {1000 * max(late):.1f} ms after its deadline; disagreements: {wrong or 'none'}")
    print(f"  verdicts that the deadline changed: {', '.join(changed) or 'none'}")
    return {
        "jobs": jobs,
        "seconds": round(seconds, 1),
        "outcomes": dict(outcomes),
        "changed_by_deadline": changed,
        "disagreements": wrong,
        "latest_ms_after_deadline": round(1000 * max(late), 1),
    }


def disagrees(verdict: Verdict | None, row: dict[str, Any]) -> bool:
    """Whether the verdict differs from the recorded official one."""
    return verdict is None or verdict.matched != bool(row["official_exec"])


def changed_by_deadline(verdict: Verdict | None, row: dict[str, Any]) -> bool:
    """Whether it differs because the prediction was not given more time."""
    return disagrees(verdict, row) and verdict is not None and verdict.outcome is Outcome.TIMEOUT


def peak_mb() -> float:
    """The most memory this process has held, in MB (Linux counts in kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
