"""A click group that imports a command only when it is called, so that `--help` answers at once."""

from __future__ import annotations

import importlib

import click


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for.

    Args:
        lazy: name of a command → its module, its attribute there, and its line in the list of commands.
    """

    def __init__(self, *, lazy: dict[str, tuple[str, str, str]], **attributes: object) -> None:
        super().__init__(**attributes)  # pyright: ignore[reportArgumentType]  click's own keyword arguments
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._lazy.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = entry
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in self._lazy.items()])
