"""The command `sql-reward`: score prediction files, judge pairs, compare two sets of verdicts.

Exit codes of all commands: 0 everything was judged; 1 some pairs could not be judged, which is not the predictions'
fault (the files and the tables say which and why); 2 wrong usage or a file that cannot be used; 3 the workers
cannot start; 130 interrupted by Ctrl-C and 143 by SIGTERM, after writing what was known. `judge` and `compare` end with
one line of JSON on standard output; `score` prints JSON only with `--json`, and then nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import click

from sql_reward.console import Commands, Seconds
from sql_reward.exact.schema import read_schemas
from sql_reward.rules.modes import Rules
from sql_reward.sandbox.limits import Limits
from sql_reward.scoring.command_run import SOME_NOT_JUDGED, explained_errors, refuse_overwriting, run_pairs
from sql_reward.scoring.level import wrong_level
from sql_reward.scoring.official import read_official
from sql_reward.scoring.pairs import Pair, read_pairs
from sql_reward.scoring.records import compare_files, detailed_record_of, record_of
from sql_reward.scoring.report import WIDTH, ScoreReport
from sql_reward.scoring.score import ScoreOptions

SHOWN_IDS = 20
"""Ids that `compare` prints of each kind; the JSON line has them all."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OUTPUT = click.Path(dir_okay=False, path_type=Path)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _db_ids(pairs: Sequence[Pair]) -> list[str]:
    return list(dict.fromkeys(pair.db_id for pair in pairs))


_jobs = click.option(
    "--jobs", type=click.IntRange(min=1), default=_processors, show_default="all processors", help="Worker processes."
)
_deadline = click.option(
    "--deadline",
    "deadline_s",
    type=Seconds(),
    default=Limits().deadline_s,
    show_default=True,
    help="Processor seconds one prediction may take, over all its databases.",
)
_rules = click.option(
    "--rules",
    type=click.Choice([str(rule) for rule in Rules]),
    default=str(Rules.OFFICIAL),
    show_default=True,
    help="Official: Spider's test-suite evaluator. Strict: DISTINCT and order count. Bird: equal sets of rows.",
)
_keep_distinct = click.option(
    "--keep-distinct", "--keep_distinct", is_flag=True, help="Compare with DISTINCT instead of without."
)


@click.group(
    cls=Commands,
    epilog="Exit codes: 0 all judged, 1 some not judged, 2 bad input, 3 no workers, 130 or 143 interrupted.",
)
@click.version_option(package_name="sql-reward")
def main() -> None:
    """Judge SQL against gold queries, by the rules of Spider's official evaluator."""


@main.command()
@click.option("--gold", required=True, type=_FILE, help="Lines of gold SQL, a tab, and the db_id; or BIRD's JSON.")
@click.option("--pred", required=True, type=_FILE, help="Lines of predicted SQL, empty for no answer; or BIRD's JSON.")
@click.option("--db", required=True, type=_FOLDER, help="Folder of <db_id>/*.sqlite.")
@click.option("--table", type=_FILE, help="Spider's tables.json; else the foreign keys of the databases count.")
@click.option("--etype", type=click.Choice(["exec", "match", "all"]), default="exec", show_default=True)
@click.option("--plug_value", "--plug-value", is_flag=True, help="Try the gold's values in the prediction's places.")
@_keep_distinct
@_rules
@_deadline
@_jobs
@click.option("--json", "only_json", is_flag=True, help="Print one line of JSON instead of the table.")
@click.option("--out", type=_OUTPUT, help="Write one verdict per pair to this JSON-lines file.")
@click.option("--progress_bar_for_each_datapoint", is_flag=True, hidden=True, expose_value=False)
def score(
    gold: Path,
    pred: Path,
    db: Path,
    table: Path | None,
    etype: str,
    plug_value: bool,
    keep_distinct: bool,
    rules: str,
    deadline_s: float,
    jobs: int,
    only_json: bool,
    out: Path | None,
) -> None:
    """Score a file of predictions against a file of gold queries.

    Takes the files and flags of Spider's evaluation.py and gives its figures. Departures: `value` in a prediction is
    not replaced by 1; an empty prediction counts as no SQL; files of unequal length are refused; a tab inside a
    prediction is white space. BIRD's predict_dev.json is read as it is, as are UTF-16 and any line breaks.

    Example: sql-reward score --gold dev_gold.sql --pred pred.sql --db database --table tables.json --etype all
    """
    with explained_errors():
        options = ScoreOptions(
            db_root=db,
            execution=etype != "match",
            exact=True,
            tables=table,
            rules=Rules(rules),
            keep_distinct=keep_distinct,
            plug_value=plug_value,
            limits=Limits(deadline_s=deadline_s),
        )
        refuse_overwriting(out, gold, pred, table)
        if table is not None:
            read_schemas(table)  # a file that is no tables.json is told before any work
        files = read_official(gold, pred)
        pairs = files.pairs
        if (options.execution or table is None) and (wrong := wrong_level(db, _db_ids(pairs))):
            raise wrong
        for note in files.notes:
            click.echo(f"Note: {note}", err=True)
        run = run_pairs(pairs, options, jobs=jobs, out=out, to_record=detailed_record_of)
    report = ScoreReport.of(run.results, execution=etype != "match", exact=etype != "exec")
    click.echo(run.summary_line({"pairs": len(pairs), **report.to_json()}) if only_json else report.table())
    run.finish(unjudged=report.not_judged + report.unread_golds)


@main.command()
@click.option("--pairs", "pairs_file", required=True, type=_FILE, help='JSON lines {"id", "db_id", "gold", "pred"}.')
@click.option("--db-root", required=True, type=_FOLDER, help="Folder of <db_id>/*.sqlite.")
@click.option("--out", required=True, type=_OUTPUT, help="JSON lines of verdicts, in the order of the pairs.")
@_keep_distinct
@_rules
@_deadline
@_jobs
def judge(
    pairs_file: Path, db_root: Path, out: Path, keep_distinct: bool, rules: str, deadline_s: float, jobs: int
) -> None:
    """Judge pairs of queries; never stops at a bad one.

    Writes {"id", "outcome", "matched", "seconds", "detail"} for each pair. Where there can be no verdict, outcome is
    null and "error" says why: the row is broken, its database is missing, its gold query fails.

    Example: sql-reward judge --pairs pairs.jsonl --db-root database --out verdicts.jsonl --deadline 2
    """
    with explained_errors():
        refuse_overwriting(out, pairs_file)
        options = ScoreOptions(
            db_root=db_root, rules=Rules(rules), keep_distinct=keep_distinct, limits=Limits(deadline_s=deadline_s)
        )
        rows = read_pairs(pairs_file)
        if wrong := wrong_level(db_root, _db_ids([row for row in rows if isinstance(row, Pair)])):
            click.echo(f"Note: {wrong}", err=True)
        run = run_pairs(rows, options, jobs=jobs, out=out, to_record=record_of)
    verdicts = [result.verdict for result in run.results if result.verdict]
    unjudged = len(run.results) - len(verdicts)
    outcomes = Counter(str(verdict.outcome) for verdict in verdicts)
    summary = {
        "pairs": len(rows),
        "matched": sum(verdict.matched for verdict in verdicts),
        "outcomes": dict(outcomes.most_common()),
        "not_judged": unjudged,
        "out": str(out),
    }
    click.echo(run.summary_line(summary))
    run.finish(unjudged=unjudged)


@main.command()
@click.argument("first", type=_FILE)
@click.argument("second", type=_FILE)
def compare(first: Path, second: Path) -> None:
    """Tell whether the verdicts in SECOND are better than those in FIRST, question by question.

    Both files come from `judge` or `score --out` and hold the same questions. Prints the paired difference with its
    95 % interval (Newcombe 1998, method 10), the exact McNemar test, and the questions won and lost.

    Example: sql-reward compare before.jsonl after.jsonl
    """
    with explained_errors():
        comparison = compare_files(first, second)
    paired = comparison.paired
    click.echo(f"{paired.total:,} questions: both right {paired.both:,}, both wrong {paired.neither:,}")
    for title, ids in (("won", comparison.won), ("lost", comparison.lost), ("not judged", comparison.unjudged)):
        more = f" and {len(ids) - SHOWN_IDS:,} more" if len(ids) > SHOWN_IDS else ""
        line = f"{title} {len(ids):,}: {', '.join(ids[:SHOWN_IDS]) or '–'}{more}"
        click.echo(fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
    interval = paired.interval
    click.echo(
        f"difference {paired.difference:+.4f} (95 % interval {interval.low:+.4f} to {interval.high:+.4f}), "
        f"McNemar p = {paired.p_value:.4g}"
    )
    summary = {
        "questions": paired.total,
        "both": paired.both,
        "won": [json.loads(key) for key in comparison.won],
        "lost": [json.loads(key) for key in comparison.lost],
        "neither": paired.neither,
        "not_judged": [json.loads(key) for key in comparison.unjudged],
        "difference": paired.difference,
        "low": interval.low,
        "high": interval.high,
        "p_value": paired.p_value,
    }
    click.echo(json.dumps(summary))
    sys.exit(SOME_NOT_JUDGED if comparison.unjudged else 0)
