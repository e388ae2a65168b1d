"""What generated test suites catch, held against a given suite.

On the 20 dev databases: pairs of gold and prediction that the official evaluator accepts on the single database (from
the parity file), judged again on ten generated variants. A refuted pair is a reward that would have been wrong.
Compared with the recorded verdicts on the suite that lies beside the data. The suites are made from the dev golds
alone; no prediction is looked at. `esm_false_negative` pairs are right by construction of the source, so each of
those refuted is a false alarm, except where the source left placeholders for values.

Run: PYTHONPATH=packages/sql-reward/src python benchmarks/suite_power.py [--variants 10] [--seed 0] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

from spider_data.suite import make_suites
from spider_data.suite.table import total
from sql_reward import Outcome, judge

ROOT = Path(__file__).resolve().parents[1]


def kind(source: str) -> str:
    """The group of a pair: a model's answer, a mutant of a gold, or an answer that exact match wrongly rejects."""
    return "model answers" if source.startswith("model") else source.split(":")[0]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--variants", type=int, default=10)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--keep", type=Path, help="put the suites here instead of a temporary folder")
    chosen = options.parse_args()
    data = Path(os.environ.get("SQL_TEST_DATA", ROOT.parent / "shared" / "data"))
    rows = [json.loads(line) for line in (data / "parity_public.jsonl").open()]
    pairs = [row for row in rows if row["official_exec"] == 1 and row["official_exec_minisuite"] is not None]
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        started = time.perf_counter()
        reports = make_suites(
            data / "spider",
            golds=[data / "spider" / "dev_gold.sql"],
            variants=chosen.variants,
            seed=chosen.seed,
            into=folder,
        )
        seconds = time.perf_counter() - started
        power = total(reports)
        ours = {row["id"] for row in pairs if refuted(row, folder / row["db_id"])}
    given = {row["id"] for row in pairs if row["official_exec_minisuite"] == 0}
    print(f"{len(reports)} suites of {chosen.variants} variants, seed {chosen.seed}: {seconds:.1f} s")
    print(f"mutants of the dev golds: {power.refuted} of {power.non_equivalent} refuted ({power.share:.1%})")
    print(f"pairs accepted on the single database: {len(pairs)}; refuted by")
    print(f"  {'':22}{'pairs':>7}{'given':>7}{'ours':>7}{'both':>7}")
    groups = Counter(kind(row["source"]) for row in pairs)
    figures = {}
    for name in [*groups, "all"]:
        ids = {row["id"] for row in pairs if name in ("all", kind(row["source"]))}
        figures[name] = (len(ids), len(given & ids), len(ours & ids), len(given & ours & ids))
        print(f"  {name:22}" + "".join(f"{count:7}" for count in figures[name]))
    result = {
        "bench": "suite_power",
        "variants": chosen.variants,
        "seed": chosen.seed,
        "generate_s": round(seconds, 1),
        "mutants_refuted": power.refuted,
        "mutants_non_equivalent": power.non_equivalent,
        "refuted": {name: {"pairs": p, "given": g, "ours": o, "both": b} for name, (p, g, o, b) in figures.items()},
    }
    print(json.dumps(result))


def refuted(row: dict[str, str], suite: Path) -> bool:
    """Whether the official rules tell prediction and gold apart on some variant; the main file is known to agree."""
    files = sorted(suite.glob("*_v*.sqlite"))
    outcome = judge(row["pred"], row["gold"], files).outcome
    if outcome in (Outcome.NO_SQL, Outcome.FORBIDDEN):
        return False  # refused by policy, not told apart by the data
    return outcome is not Outcome.MATCH


if __name__ == "__main__":
    main()
