"""`lit-sql curves`: draws the curves of a run's report as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH


@click.command()
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, help="File to write; by default curves.svg in the run's folder.")
def curves_command(run: Path, out: Path | None) -> None:
    """Write the curves of a run's report, running or ended, as one SVG file.

    Example: lit-sql curves runs/tiny-20260101-120000
    """
    from lit_sql_trainer.report import write_curves
    from lit_sql_trainer.runs.folder import open_run

    with exit_on_error():
        folder = open_run(run, root=Path("runs"))
        click.echo(write_curves(folder, out or folder.path / "curves.svg"))
