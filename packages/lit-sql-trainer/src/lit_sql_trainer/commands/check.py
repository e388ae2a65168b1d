"""`lit-sql check`: finds what is wrong before training begins."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lit_sql_trainer.commands.failures import exit_on_error
from lit_sql_trainer.commands.options import PATH
from lit_sql_trainer.errors import ConfigError

if TYPE_CHECKING:
    from lit_sql_trainer.preflight import Family
    from lit_sql_trainer.preflight.subject import Progress


@click.command()
@click.argument("profile")
@click.option("--model", help="Folder or Hugging Face id of an instruct model; by default the profile's own.")
@click.option("--data", type=PATH, help="Data folder; by default the profile's own.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
@click.option("--quick", is_flag=True, help="Only the instant checks: no gold query, no prompt, no rollout.")
@click.option("--only", metavar="PART", multiple=True, help="Check one part: versions, ports, …; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Folder of the run folders.")
@click.option("--port", type=int, help="Port of the rollout store; by default any free one.")
@click.option("--gold-seconds", default=100.0, show_default=True, help="Seconds for running gold queries.")
def check_command(
    profile: str,
    model: str | None,
    data: Path | None,
    settings: Sequence[str],
    quick: bool,
    only: Sequence[str],
    as_json: bool,
    runs: Path,
    port: int | None,
    gold_seconds: float,
) -> None:
    """Check a profile before training: versions, memory, disk, ports, model, data, prompts, one real rollout.

    Example: lit-sql check tiny

    Each line is pass, warn or fail, with what to do about it. Exit code 0 when nothing failed, 1 when something did,
    2 when the options make no sense. The command writes nothing; after Ctrl-C run it again.
    """
    from lit_sql_trainer.profile.named import profile_named
    from lit_sql_trainer.training.train import configure

    with exit_on_error():
        chosen = configure(profile_named(profile), settings, model=model, data=data)
        from lit_sql_trainer.preflight import preflight
        from lit_sql_trainer.preflight.table import print_finding, print_summary

        with _progress(shown=not as_json) as progress:
            report = preflight(
                chosen,
                runs=runs,
                port=port,
                quick=quick,
                only=_families(only),
                gold_seconds=gold_seconds,
                on_finding=(lambda finding: None) if as_json else print_finding,
                progress=progress,
            )
        if as_json:
            click.echo(json.dumps(report.to_dict(), ensure_ascii=False))
        else:
            print_summary(report)
    sys.exit(0 if report.ok else 1)


def _families(names: Sequence[str]) -> list[Family]:
    from lit_sql_trainer.preflight import Family

    unknown = sorted(set(names) - set(Family))
    if unknown:
        raise ConfigError(f"--only {unknown[0]!r} is not a part of the check: choose from {', '.join(Family)}")
    return [Family(name) for name in names]


@contextmanager
def _progress(*, shown: bool) -> Generator[Progress]:
    """Show the check in progress on a terminal's stderr; show nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        yield lambda doing: None
        return
    with console.status("") as status:
        yield lambda doing: status.update(doing)
