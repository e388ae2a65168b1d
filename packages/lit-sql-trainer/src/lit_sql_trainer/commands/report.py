"""`lit-sql report`: a run, or several, as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from lit_sql_trainer.commands.failures import told


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write; by default report.html, in the folder of a single run.",
)
@click.option(
    "--runs",
    "root",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where runs given by name are looked for.",
)
def report_command(runs: Sequence[str], out: Path | None, root: Path) -> None:
    """Write one HTML file about a run, running or ended, or about several overlaid.

    Example: lit-sql report runs/tiny-20260101-120000 runs/tiny-20260102-120000 --out both.html

    The file opens from disk and needs no network.
    """
    from lit_sql_trainer.report import write_report
    from lit_sql_trainer.runs.folder import open_run

    with told():
        folders = [open_run(run, root=root) for run in runs]
        default = folders[0].report_file if len(folders) == 1 else Path("report.html")
        click.echo(write_report(folders, out or default))
