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


@main.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument(
    "target", required=False, envvar="VERL_SPIDER_DATA_DIR", default="data", type=click.Path(path_type=Path)
)
@click.option("--train-spider", help="Name or path of the training questions.  [default: train_spider.json]")
@click.option("--train-others", help="Name or path of the additional training questions.  [default: train_others.json]")
@click.option("--dev", help="Name or path of the dev questions.  [default: dev.json]")
@click.option("--test", help="Name or path of the test questions.  [default: test.json]")
@click.option("--databases", type=click.Path(path_type=Path), help="Folder of the databases.  [default: database]")
@click.option("--test-databases", type=click.Path(path_type=Path), help="The same for test.  [default: test_database]")
@click.option("--validation-share", default=0.1, show_default=True, help="Part of the training rows held out.")
@click.option("--seed", default=0, show_default=True, help="Chooses the databases held out.")
@click.option("--keep-empty", is_flag=True, help="Train also on official databases without a single row.")
def convert(
    source: Path,
    target: Path,
    train_spider: str | None,
    train_others: str | None,
    dev: str | None,
    test: str | None,
    databases: Path | None,
    test_databases: Path | None,
    validation_share: float,
    seed: int,
    keep_empty: bool,
) -> None:
    """Turn the official Spider folder or zip SOURCE into the data folder TARGET.

    Databases are linked, not copied (from a zip they are extracted once). SOURCE may be TARGET.

    Example: spider-data convert spider_data.zip data
    """
    from spider_data.convert import ConvertOptions, convert_spider

    given = {"train_spider": train_spider, "train_others": train_others, "dev": dev, "test": test}
    options = ConvertOptions(
        names={stem: name for stem, name in given.items() if name is not None},
        databases=databases,
        test_databases=test_databases,
        validation_share=validation_share,
        seed=seed,
        keep_empty=keep_empty,
    )
    manifest = convert_spider(source, target, options=options)
    for name, rows in manifest.rows.items():
        click.echo(f"{name:24} {rows:6,} tasks")
    for note in manifest.notes:
        click.echo(f"note: {note}")
    click.echo(f"{target} is ready; next: spider-data check {target}")


@main.command()
@DATA_DIR
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--official/--no-official", default=None, help="Apply the official checksums or not.  [default: guess]")
@click.option("--deep", is_flag=True, help="Search official files for damage too, not only by checksum.")
def check(data: Path, as_json: bool, official: bool | None, deep: bool) -> None:
    """Check a data folder: databases, task files, splits. Exit code 1 when there are faults.

    Example: spider-data check data --json
    """
    import json

    from rich.console import Console

    from spider_data.check import check_data
    from spider_data.render import print_check

    with Console(stderr=True).status("") as status:
        report = check_data(data, official=official, deep=deep, on_file=lambda name: status.update(f"reading {name}"))
    if as_json:
        click.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        print_check(report, Console())
    raise SystemExit(0 if report.ok else 1)


if __name__ == "__main__":
    main()
