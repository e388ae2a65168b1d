"""What `sql-graph` runs: the command, with Ctrl-C obeyed from the first import on.

Imports nothing but the standard library, so that an interruption has a door to leave by before the rest is there.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run `sql-graph`; an interruption is one line and exit code 130, whatever was being done."""
    try:
        code = _run()
    except KeyboardInterrupt:
        code = _interrupted()
    sys.exit(code)


def _run() -> int | None:
    """Run the command and give its exit code."""
    import click  # here, so that an interruption of the import is caught

    from sql_graph.cli import main as command

    try:
        return command(standalone_mode=False)
    except click.Abort:  # click's word for an interruption
        return _interrupted()
    except click.ClickException as error:
        error.show()
        return error.exit_code


def _interrupted() -> int:
    sys.stderr.write("sql-graph: interrupted\n")
    return INTERRUPTED
