"""Compose the page: one HTML text with its style, script, charts and tables, which needs no network.

Templates compose the page and escape their values: only the package's own style, script and pictures are markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from lit_sql_trainer.report import curves, palette, svg, words
from lit_sql_trainer.report.data import RunData

MAX_ALARMS = 50
MAX_REASONS = 20
MAX_SQL = 1500
"""Characters of a query that are shown."""
PICTURE_CSS = ".paper{fill:var(--panel)}svg .caption{fill:var(--ink);font-size:14px;font-weight:600}"

HELPERS = {
    "facts": words.facts,
    "interval": words.interval,
    "groups": words.groups,
    "turns": words.turns,
    "letter": curves.letter,
    "WIDTH": svg.WIDTH,
    "HEIGHT": svg.HEIGHT,
    "MAX_ALARMS": MAX_ALARMS,
    "MAX_REASONS": MAX_REASONS,
    "MAX_SQL": MAX_SQL,
}
"""Functions and sizes for the templates."""


def page(runs: Sequence[RunData]) -> str:
    """The report of these runs, as HTML.

    A content security policy forbids every request, and every script except the page's own, whatever a question holds.
    """
    script = _own("report.js")
    template = _templates().get_template("page.html.jinja")
    return template.render(
        runs=runs,
        several=len(runs) > 1,
        title=runs[0].name if len(runs) == 1 else f"{len(runs)} runs",
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_digest(script)}'",
        style=palette.css_variables() + _own("report.css") + _own("chart.css"),
        script=script,
        charts=curves.charts(runs),
        zero=curves.always_zero(runs),
        settings=words.settings(runs),
        **HELPERS,
    )


def picture(run: RunData) -> str:
    """The curves of the report alone, as one SVG file."""
    style = palette.without_variables(_own("chart.css") + PICTURE_CSS)
    template = _templates().get_template("curves.svg.jinja")
    return template.render(name=run.name, charts=curves.charts([run]), style=style, **HELPERS)


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("lit_sql_trainer.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cut": words.cut, "spaced": words.spaced}
    return environment


def _own(name: str) -> str:
    """A file of this package."""
    return (files("lit_sql_trainer.report") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
