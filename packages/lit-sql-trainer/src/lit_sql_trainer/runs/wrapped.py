"""Lines that a terminal breaks between words; where the output is no terminal they stay as they are."""

from __future__ import annotations

import shutil
import sys
import textwrap

import click

WIDEST = 120
"""Longer lines are hard to read, however wide the terminal."""


def wrapped(text: str, *, hang: int | None = None) -> str:
    """The same text, each of its lines broken at spaces for the terminal's width; words and numbers stay whole.

    Args:
        hang: where a broken line goes on; by default below its first word, a little further in.
    """
    if not sys.stdout.isatty():
        return text
    width = min(shutil.get_terminal_size().columns, WIDEST)
    return "\n".join(_broken(line, width, hang) for line in text.split("\n"))


def echo(text: str) -> None:
    """Print a text, wrapped."""
    click.echo(wrapped(text))


def _broken(line: str, width: int, hang: int | None) -> str:
    further = len(line) - len(line.lstrip()) + 2 if hang is None else hang
    return textwrap.fill(line, width, subsequent_indent=" " * further, break_long_words=False, break_on_hyphens=False)
