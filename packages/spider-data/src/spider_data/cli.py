"""The command `spider-data`: parse, call the library, print.

Every import of the library happens inside a command, so that `--help` answers at once. Exit code 0 means
done and fine, 1 that `check` found faults, 2 that the command could not be carried out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

DATA_DIR = click.argument(
    "data",
    metavar="[DIR]",
    required=False,
    envvar="VERL_SPIDER_DATA_DIR",
    default="data",
    type=click.Path(path_type=Path),
)
"""A data folder: the argument, else `$VERL_SPIDER_DATA_DIR`, else `data`."""


class _Refusal(click.ClickException):
    exit_code = 2


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        from spider_data.errors import SpiderDataError

        try:
            return super().invoke(ctx)
        except SpiderDataError as error:
            raise _Refusal(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spider-data")
def main() -> None:
    """Spider's tasks and database files, your own data, and a benchmark that needs no download.

    DIR is a data folder; without it, $VERL_SPIDER_DATA_DIR is used, then ./data.
    """


if __name__ == "__main__":
    main()
