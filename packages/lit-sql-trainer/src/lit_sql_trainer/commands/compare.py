"""`lit-sql compare`: says whether one model is better than another, or whether the difference may be chance."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH


@click.command("compare")
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@click.option("--show-gold", is_flag=True, help="Show the gold query beside the two answers.")
@click.option("--all", "everything", is_flag=True, help="Show every question won and lost instead of the first ten.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with everything.")
def compare_command(first: Path, second: Path, show_gold: bool, everything: bool, as_json: bool) -> None:
    """Compare two evaluations of the same questions, question by question.

    Example: lit-sql compare runs/before/evaluations/best-test runs/after/evaluations/best-test

    FIRST and SECOND are folders that `lit-sql eval` made, or runs with one evaluation each. The difference is SECOND
    minus FIRST, with Newcombe's paired interval and McNemar's exact test. The command refuses evaluations of different
    questions, databases, rules, samples or temperatures.
    """
    from lit_sql_trainer.evaluation.compare import compare
    from lit_sql_trainer.evaluation.compare_table import SHOWN, describe_comparison

    with exit_on_error():
        comparison = compare(first, second, show_gold=show_gold)
    if as_json:
        click.echo(json.dumps(comparison.to_dict(), ensure_ascii=False))
    else:
        click.echo(describe_comparison(comparison, shown=None if everything else SHOWN))
