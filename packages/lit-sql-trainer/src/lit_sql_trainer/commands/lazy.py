"""A click group whose commands are imported when they are called: `--help` answers at once."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True, kw_only=True)
class LazyCommand:
    """Where a command lives, and the line that stands for it in the list."""

    target: str
    """`package.module:attribute`"""
    help: str


class LazyGroup(click.Group):
    """A group that knows its commands by name and line, and imports one when it is asked for."""

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
