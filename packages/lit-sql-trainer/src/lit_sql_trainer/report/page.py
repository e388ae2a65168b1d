"""The whole page: one HTML text with its style, script, charts and tables, that asks nothing of a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from lit_sql_trainer.report import curves, palette, words
from lit_sql_trainer.report.data import RunData


def page(runs: Sequence[RunData]) -> str:
    """The report of these runs, as HTML.

    A content security policy forbids every request, and every script but the page's own, whatever a question holds.
    """
    folder = files("lit_sql_trainer.report")
    script = (folder / "report.js").read_text(encoding="utf-8")
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    going = "" if all(run.done for run in runs) else "Written while a run went on: it grows with the run."
    zero = curves.always_zero(runs)
    return Template((folder / "report.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_digest(script)}'",
        style=palette.css_variables() + (folder / "report.css").read_text(encoding="utf-8"),
        script=script,
        going=f"<p class='quiet'>{going}</p>" if going else "",
        cards=words.cards(runs),
        legend=words.legend(runs),
        charts="".join(curves.charts(runs)),
        zero=f"<p class='quiet'>0 at every step: {escape('; '.join(zero))}.</p>" if zero else "",
        alarms=words.alarms(runs),
        rollouts=words.rollouts(runs),
        drops=words.drops(runs),
        settings=words.settings(runs),
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
