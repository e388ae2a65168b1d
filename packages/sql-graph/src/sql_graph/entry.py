"""Start the command `sql-graph`, so that Ctrl-C ends it from the first import on.

This module imports only the standard library, so that it handles Ctrl-C before anything else is imported.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run `sql-graph`; Ctrl-C prints one line and gives exit code 130 at any moment."""
    try:
        code = _run()
    except KeyboardInterrupt:
        code = _interrupted()
    sys.exit(code)


def _run() -> int | None:
    """Run the command and give its exit code."""
    import click  # imported here, so that Ctrl-C during the import is caught

    from sql_graph.cli import main as command

    try:
        return command(standalone_mode=False)
    except click.Abort:  # how click reports Ctrl-C
        return _interrupted()
    except click.ClickException as error:
        error.show()
        return error.exit_code


def _interrupted() -> int:
    sys.stderr.write("sql-graph: interrupted\n")
    return INTERRUPTED
