"""How a command tells what went wrong: one line and an exit code.

Exit codes: 0 done, 1 the work failed, 2 what was asked for makes no sense or cannot run here, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

from lit_sql_trainer.errors import ConfigError, DataError, ModelError, RunError, SetupError, TrainerError

USAGE_ERRORS = (ConfigError, DataError, ModelError, RunError, SetupError)
STOPPED = 130


class RefusalError(click.ClickException):
    """What was asked for makes no sense or cannot run here."""

    exit_code = 2


@contextmanager
def told(*, stopped: Callable[[], str] = lambda: "") -> Generator[None]:
    """Errors of ours leave the block as one line with their exit code, and so does Ctrl-C, with the line `stopped`."""
    try:
        yield
    except TrainerError as error:
        kind = RefusalError if isinstance(error, USAGE_ERRORS) else click.ClickException
        raise kind(str(error)) from error
    except KeyboardInterrupt:
        if line := stopped():
            click.echo(line, err=True)
        raise SystemExit(STOPPED) from None
