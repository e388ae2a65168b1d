"""`lit-sql profiles` and `lit-sql settings`: list what `train` accepts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from lit_sql_trainer.commands.failures import exit_on_error


@click.command()
@click.argument("profile")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
@click.option("--json-schema", is_flag=True, help="Print types, bounds, defaults and meanings as a JSON schema.")
def settings_command(profile: str, settings: Sequence[str], json_schema: bool) -> None:
    """Print every setting of a profile as KEY=VALUE, ready for --set, with its meaning.

    Example: lit-sql settings tiny
    """
    from lit_sql_trainer.profile.checked import schema_of
    from lit_sql_trainer.profile.named import profile_named
    from lit_sql_trainer.profile.overrides import apply_assignments, explained

    with exit_on_error():
        chosen = apply_assignments(profile_named(profile), settings)
    if json_schema:
        click.echo(json.dumps(schema_of(type(chosen)), indent=2, ensure_ascii=False))
        return
    for line in explained(chosen):
        click.echo(line)


@click.command()
def profiles_command() -> None:
    """List the profiles that `train` accepts.

    Example: lit-sql profiles
    """
    from lit_sql_trainer.profile.named import PROFILES

    for profile in PROFILES.values():
        click.echo(f"{profile.name:10} {profile.summary}")
