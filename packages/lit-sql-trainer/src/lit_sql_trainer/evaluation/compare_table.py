"""Formats a comparison as text: the difference with its interval and test, then the questions that decided it."""

from __future__ import annotations

from collections.abc import Sequence

from lit_sql_trainer.evaluation.compare import Comparison, Decided
from sql_reward.stats import PairedComparison

SHOWN = 10


def describe_comparison(comparison: Comparison, *, shown: int | None = SHOWN) -> str:
    """The whole comparison as text, with at most `shown` questions won and as many lost (None: all)."""
    suite = comparison.suite
    lines = [
        f"A  {comparison.first.plan['label']}  ({comparison.first.folder.path})",
        f"B  {comparison.second.plan['label']}  ({comparison.second.folder.path})",
        f"{suite.total} questions of {comparison.first.plan['split']}"
        + (f", {comparison.left_out} left out: one of the two has no answer" if comparison.left_out else ""),
        "",
        f"{'':20}{'A':>7}{'B':>7}{'B - A':>9}{'95 % interval':>18}{'McNemar p':>12}{'only A':>8}{'only B':>8}{'of':>6}",
        _row("suite of databases", suite),
        _row("one database", comparison.single),
    ]
    lines += [_row(f"  {level or 'unknown'}", paired) for level, paired in comparison.hardness.items()]
    if comparison.differs:
        lines += ["", "what differs: " + "; ".join(comparison.differs)]
    lines += _decided("won by B", comparison.won, shown)
    lines += _decided("lost by B", comparison.lost, shown)
    return "\n".join(lines)


def _row(name: str, paired: PairedComparison) -> str:
    first, second = (100 * (paired.both + only) / paired.total for only in (paired.only_first, paired.only_second))
    interval = f"[{100 * paired.interval.low:+.1f}, {100 * paired.interval.high:+.1f}]"
    return (
        f"{name:20}{first:7.1f}{second:7.1f}{100 * paired.difference:+9.1f}{interval:>18}{_p(paired.p_value):>12}"
        f"{paired.only_first:8}{paired.only_second:8}{paired.total:6}"
    )


def _p(value: float) -> str:
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def _decided(title: str, questions: Sequence[Decided], shown: int | None) -> list[str]:
    if not questions:
        return ["", f"{title}: none"]
    lines = ["", f"{title}: {len(questions)}"]
    for each in questions[:shown]:
        lines += [
            f"  {each.task_id} on {each.db_id}{f', {each.hardness}' if each.hardness else ''}: {each.question}",
            f"    A {each.first_outcome:10} {_sql(each.first_sql)}",
            f"    B {each.second_outcome:10} {_sql(each.second_sql)}",
        ]
        if each.gold_sql is not None:
            lines.append(f"    gold         {_sql(each.gold_sql)}")
    if shown is not None and len(questions) > shown:
        lines.append(f"  … and {len(questions) - shown} more, with --all")
    return lines


def _sql(sql: str | None) -> str:
    return " ".join(sql.split()) if sql else "(no SQL)"
