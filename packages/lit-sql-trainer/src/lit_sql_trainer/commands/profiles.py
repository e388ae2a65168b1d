"""`lit-sql profiles` and `lit-sql settings`: what `train` can be told."""

from __future__ import annotations

from collections.abc import Sequence

import click

from lit_sql_trainer.commands.failures import exit_on_error


@click.command()
@click.argument("profile")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
def settings_command(profile: str, settings: Sequence[str]) -> None:
    """Print every setting of a profile as KEY=VALUE, ready for --set.

    Example: lit-sql settings tiny
    """
    from lit_sql_trainer.profile.named import profile_named
    from lit_sql_trainer.profile.overrides import apply_assignments, assignments

    with exit_on_error():
        for line in assignments(apply_assignments(profile_named(profile), settings)):
            click.echo(line)


@click.command()
def profiles_command() -> None:
    """List the profiles that `train` accepts.

    Example: lit-sql profiles
    """
    from lit_sql_trainer.profile.named import PROFILES

    for profile in PROFILES.values():
        click.echo(f"{profile.name:10} {profile.summary}")
