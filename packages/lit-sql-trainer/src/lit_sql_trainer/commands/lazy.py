"""A click group that imports a command only when it is called, so that `--help` answers at once."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True, kw_only=True)
class LazyCommand:
    """Where a command is defined, and its line in the list of commands."""

    target: str
    """`package.module:attribute`"""
    help: str


class LazyGroup(click.Group):
    """A group that knows the names and lines of its commands, and imports a command when it is asked for."""

    def __init__(self, *, lazy: dict[str, LazyCommand], **attributes: object) -> None:
        super().__init__(**attributes)  # pyright: ignore[reportArgumentType]  click's own keyword arguments
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._lazy.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = entry.target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self._lazy.items()])
