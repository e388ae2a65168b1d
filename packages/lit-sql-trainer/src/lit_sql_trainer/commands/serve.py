"""`lit-sql serve`: serves a trained model at an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH

if TYPE_CHECKING:
    from lit_sql_trainer.serving.serve import Endpoint


@click.command()
@click.argument("model", metavar="RUN|FOLDER")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=8000, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True, help="Checkpoint of a run."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "vllm", "local"]),
    default="auto",
    show_default=True,
    help="Engine that generates.",
)
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are found by name.")
def serve_command(model: str, host: str, port: int, checkpoint: str, engine: str, runs: Path) -> None:
    """Serve a trained model, and print the `sql-graph ask` line that uses it.

    Example: lit-sql serve exported

    vLLM serves the model where vLLM is installed and there is a GPU; elsewhere the local server of training does. The
    local server checks no key: keep it on the loopback interface. Ctrl-C ends the command with exit code 130.
    """
    from lit_sql_trainer.models.checkpoints import Checkpoint
    from lit_sql_trainer.models.source import find_model
    from lit_sql_trainer.serving.serve import Engine, serve

    def ready(endpoint: Endpoint) -> None:
        click.echo(f"{found.name} at {endpoint.url} ({endpoint.engine}); Ctrl-C ends it. Ask it in another terminal:")
        click.echo(endpoint.ask)

    with exit_on_error():
        found = find_model(model, runs=runs, checkpoint=Checkpoint(checkpoint))
        click.echo(f"loading {found.folder}", err=True)
        serve(found, host=host, port=port, engine=Engine(engine), on_ready=ready)
