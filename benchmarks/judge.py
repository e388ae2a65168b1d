"""How long a verdict takes: the pairs of the parity corpus through `judge`, and all of them through worker processes.

The first part runs in one process, warm (every database open, each gold result cached, as in training), without the
pairs that hit the deadline; it gives wall-clock and processor time per pair, and the ratio to the official
evaluator's recorded time of the same pairs. A prediction is never taken from the cache. The same without a cache runs
every gold query each time. The second part judges the whole corpus with worker processes and lists the pairs whose
verdict the deadline changed.

    python benchmarks/judge.py [--rounds 3] [--deadline 2] [--jobs 2] [--sample 1]

Needs the Spider data under SQL_TEST_DATA (default `../shared/data`). `--sample 6` takes every sixth pair.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

from sql_reward import GoldCache, GoldSqlError, Limits, Outcome, Verdict, judge
from sql_reward.scoring.pairs import Pair
from sql_reward.scoring.score import ScoreOptions, score_pairs

DATA = Path(os.environ.get("SQL_TEST_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
DATABASES = DATA / "spider" / "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One pair."""

    wall_s: float
    processor_s: float
    official_s: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times the first part is repeated")
    parser.add_argument("--deadline", type=float, default=2.0, help="processor seconds a prediction may take")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes of the second part")
    parser.add_argument("--sample", type=int, default=1, help="take every n-th pair")
    options = parser.parse_args()
    rows = [json.loads(line) for line in (DATA / "parity_public.jsonl").read_text().splitlines()][:: options.sample]
    limits = Limits(deadline_s=options.deadline)
    print(f"judge, {len(rows):,} pairs, SQLite {sqlite3.sqlite_version}, deadline {options.deadline} s")

    cache = GoldCache()
    first = timings(rows, limits, cache, suffix="")
    cached = [timings(rows, limits, cache, suffix=" " * (number + 1)) for number in range(options.rounds)]
    plain = [timings(rows, limits, None, suffix="") for _ in range(options.rounds)]
    figures = {
        "gold_cached": summary("gold cached", cached),
        "gold_rerun": summary("gold run each time", plain),
        "first_pass": summary("first pass, gold not yet cached", [first]),
    }
    print(f"  memory of this process: {peak_mb():.0f} MB")
    whole = whole_corpus(rows, limits, jobs=options.jobs)
    print(json.dumps({"bench": "judge", "pairs": len(rows), **figures, "memory_mb": round(peak_mb()), "whole": whole}))


def timings(rows: list[dict[str, Any]], limits: Limits, cache: GoldCache | None, *, suffix: str) -> list[Timing]:
    """Judge every pair once. A suffix of blanks makes each prediction a new text, which the cache has not seen."""
    found: list[Timing] = []
    for row in rows:
        wall, processor = perf_counter(), thread_time()
        try:
            verdict = judge(row["pred"] + suffix, row["gold"], DATABASES / row["db_id"], limits=limits, cache=cache)
        except GoldSqlError:
            continue
        wall, processor = perf_counter() - wall, thread_time() - processor
        if verdict.outcome is not Outcome.TIMEOUT:
            official_s = row["official_seconds"] if row["official_exec_status"] == "ok" else None
            found.append(Timing(wall_s=wall, processor_s=processor, official_s=official_s))
    return found


def summary(name: str, rounds: list[list[Timing]]) -> dict[str, float]:
    """Print and return the quantiles of one part, each the median over the rounds."""

    def quantile(part: float, field: str) -> float:
        return 1000 * statistics.median(
            sorted(getattr(timing, field) for timing in timings)[int(part * len(timings))] for timings in rounds
        )

    official = sorted(timing.official_s for timing in rounds[0] if timing.official_s)
    figures = {
        "median_ms": quantile(0.5, "wall_s"),
        "p90_ms": quantile(0.9, "wall_s"),
        "p99_ms": quantile(0.99, "wall_s"),
        "median_processor_ms": quantile(0.5, "processor_s"),
        "p90_processor_ms": quantile(0.9, "processor_s"),
        "official_median_ms": 1000 * official[len(official) // 2],
        "official_p90_ms": 1000 * official[int(0.9 * len(official))],
    }
    figures["official_ratio"] = figures["official_median_ms"] / figures["median_ms"]
    print(
        f"  {name:32} median {figures['median_ms']:.3f} ms, p90 {figures['p90_ms']:.3f}, p99 {figures['p99_ms']:.1f} "
        f"(processor: {figures['median_processor_ms']:.3f}, {figures['p90_processor_ms']:.3f}); "
        f"official median {figures['official_median_ms']:.2f} ms, ratio {figures['official_ratio']:.0f}"
    )
    return {key: round(value, 3) for key, value in figures.items()}


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
