"""`lit-sql curves`: the pictures of a run."""

from __future__ import annotations

from pathlib import Path

import click

from lit_sql_trainer.commands.failures import told

EXISTING = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=EXISTING)
def curves_command(run: Path) -> None:
    """Draw the curves of a run, running or ended, into its folder.

    Example: lit-sql curves runs/tiny-20260101-120000
    """
    from lit_sql_trainer.runs.folder import open_run
    from lit_sql_trainer.runs.png import draw_curves

    with told():
        click.echo(draw_curves(open_run(run, root=Path("runs"))))
