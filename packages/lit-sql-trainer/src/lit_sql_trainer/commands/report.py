"""`lit-sql report`: shows a run, or several, as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH
from lit_sql_trainer.errors import RunError

if TYPE_CHECKING:
    from lit_sql_trainer.runs.folder import RunFolder


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=PATH, help="File to write; by default report.html, in the folder of a single run.")
@click.option(
    "--runs", "root", type=PATH, default=Path("runs"), show_default=True, help="Where runs are found by name."
)
def report_command(runs: Sequence[str], out: Path | None, root: Path) -> None:
    """Write one HTML file about a run, running or ended, or about several runs together.

    Example: lit-sql report runs/tiny-20260101-120000 runs/tiny-20260102-120000 --out both.html

    The file opens from disk and needs no network.
    """
    from lit_sql_trainer.report import write_report
    from lit_sql_trainer.runs.folder import open_run

    with exit_on_error():
        folders = _reportable(runs, root=root) if len(runs) > 1 else [open_run(runs[0], root=root)]
        default = folders[0].report_file if len(folders) == 1 else Path("report.html")
        click.echo(write_report(folders, out or default))


def _reportable(runs: Sequence[str], *, root: Path) -> list[RunFolder]:
    """The runs that a report can show, the first `MAX_RUNS` of them. A warning names each of the others.

    A pattern such as `runs/*` matches anything.

    Raises:
        RunError: the report can show none of them; the error says why it cannot show the first.
    """
    from lit_sql_trainer.report import MAX_RUNS, check_reportable
    from lit_sql_trainer.runs.folder import open_run

    found: list[RunFolder] = []
    reasons: list[RunError] = []
    for name in runs:
        try:
            run = open_run(name, root=root)
            check_reportable(run)
        except RunError as error:
            reasons.append(error)
            click.echo(f"left out {name}: {error}", err=True)
            continue
        if len(found) < MAX_RUNS:
            found.append(run)
        else:
            click.echo(f"left out {name}: a report shows {MAX_RUNS} runs at most; name this one earlier", err=True)
    if not found:
        raise reasons[0]
    return found
