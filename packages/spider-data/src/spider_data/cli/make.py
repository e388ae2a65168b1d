"""The commands that make a data folder: `download`, `convert`, `import`. See `cli` for their common rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from spider_data.cli.progress import Working

if TYPE_CHECKING:
    from spider_data.manifest import Manifest

TARGET = click.argument(
    "target",
    metavar="[TARGET]",
    required=False,
    envvar="VERL_SPIDER_DATA_DIR",
    default="data",
    type=click.Path(path_type=Path),
)
"""A data folder that is made; the same defaults."""


def carving(command: Callable[..., None]) -> Callable[..., None]:
    """The options of commands that hold a validation set out of Spider's training tasks."""
    for option in (
        click.option("--keep-empty", is_flag=True, help="Train also on official databases without a single row."),
        click.option("--seed", default=0, show_default=True, help="Chooses the databases held out."),
        click.option("--validation-share", default=0.1, show_default=True, help="Part of the training rows held out."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@TARGET
@click.option("--train-spider", help="Name or path of the training questions.  [default: train_spider.json]")
@click.option("--train-others", help="Name or path of the additional training questions.  [default: train_others.json]")
@click.option("--dev", help="Name or path of the dev questions.  [default: dev.json]")
@click.option("--test", help="Name or path of the test questions.  [default: test.json]")
@click.option("--databases", type=click.Path(path_type=Path), help="Folder of the databases.  [default: database]")
@click.option("--test-databases", type=click.Path(path_type=Path), help="The same for test.  [default: test_database]")
@carving
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
    """Turn the Spider folder or zip SOURCE, official or from a mirror, into the data folder TARGET.

    Databases are linked, not copied (from a zip they are extracted once). SOURCE may be TARGET.

    Example: spider-data convert spider_data.zip data
    """
    given = {"train_spider": train_spider, "train_others": train_others, "dev": dev, "test": test}
    with Working(f"converting {source}"):
        from spider_data.spider.convert import convert_spider
        from spider_data.spider.layout import ConvertOptions

        options = ConvertOptions(
            names={stem: name for stem, name in given.items() if name is not None},
            databases=databases,
            test_databases=test_databases,
            validation_share=validation_share,
            seed=seed,
            keep_empty=keep_empty,
        )
        manifest = convert_spider(source, target, options=options)
    _print_made(target, manifest)


@click.command()
@TARGET
@click.option(
    "--bundle", type=click.Choice(["tutorial", "official"]), default="tutorial", show_default=True, help="Which one."
)
@click.option("--from", "from_file", type=click.Path(path_type=Path), help="Take this zip; download nothing.")
@click.option("--url", help="Another http(s) address that has the same zip, such as a mirror of your own.")
@click.option("--sha256", help="Refuse the zip unless it has this checksum.")
@click.option("--keep-zip", is_flag=True, help="Leave the zip beside TARGET.")
@carving
def download(
    target: Path,
    bundle: str,
    from_file: Path | None,
    url: str | None,
    sha256: str | None,
    keep_zip: bool,
    validation_share: float,
    seed: int,
    keep_empty: bool,
) -> None:
    """Download Spider and make the data folder TARGET from it.

    After a broken download, run the command again: it resumes where it stopped.

    Example: spider-data download data --from spider-data.zip
    """
    with Working(f"downloading to {target}", held=True) as working:
        from spider_data.cli.render import fetch_with_bar
        from spider_data.spider.bundle import Bundle, download_bundle
        from spider_data.spider.fetch import fetch_drive
        from spider_data.spider.layout import ConvertOptions

        def fetch(address: str, path: Path) -> None:
            (fetch_with_bar if url else fetch_drive)(address, path)
            working.update(f"unpacking {path.name}")

        if from_file is not None:
            working.update(f"unpacking {from_file}")
        manifest = download_bundle(
            target,
            bundle=Bundle(bundle),
            from_file=from_file,
            url=url,
            sha256=sha256,
            keep_zip=keep_zip,
            fetch=fetch,
            options=ConvertOptions(validation_share=validation_share, seed=seed, keep_empty=keep_empty),
        )
    _print_made(target, manifest)


@click.command("import")
@click.option("--db", "databases", required=True, type=click.Path(path_type=Path), help="A SQLite file or a folder.")
@click.option("--questions", required=True, type=click.Path(path_type=Path), help="JSON, CSV, Excel or Parquet.")
@TARGET
@click.option(
    "--split-by", type=click.Choice(["question", "database"]), default="question", show_default=True, help="Hold out."
)
@click.option("--validation-share", default=0.1, show_default=True, help="Part of the rows for validation.")
@click.option("--test-share", default=0.1, show_default=True, help="Part of the rows for test.")
@click.option("--seed", default=0, show_default=True, help="Chooses what is held out.")
@click.option("--copy", is_flag=True, help="Copy the databases instead of linking them.")
@click.option("--deadline", "deadline_s", default=10.0, show_default=True, help="Seconds that each query may run.")
def import_command(
    databases: Path,
    questions: Path,
    target: Path,
    split_by: str,
    validation_share: float,
    test_share: float,
    seed: int,
    copy: bool,
    deadline_s: float,
) -> None:
    """Make the data folder TARGET from your own SQLite databases and questions.

    A row has question, query (or sql), and db_id unless there is one database. The file ends in .jsonl, .json,
    .csv, .tsv, .xlsx or .parquet. Each query is run first.

    Example: spider-data import --db shop.sqlite --questions questions.jsonl data
    """
    with Working(f"reading {questions}") as working:
        from spider_data.own.importing import ImportOptions, SplitBy, import_data

        options = ImportOptions(
            split_by=SplitBy(split_by),
            validation_share=validation_share,
            test_share=test_share,
            seed=seed,
            copy=copy,
            deadline_s=deadline_s,
        )
        manifest = import_data(
            databases,
            questions,
            target,
            options=options,
            on_query=lambda done, total: working.update(f"running query {done + 1} of {total}"),
        )
    _print_made(target, manifest)


def _print_made(target: Path, manifest: Manifest) -> None:
    for name, rows in manifest.rows.items():
        click.echo(f"{name:24} {rows:6,} tasks")
    from spider_data.cli.render import output, print_text  # here, so that `--help` needs no rich

    for note in manifest.notes:
        print_text(f"note: {note}", output())
    click.echo(f"{target} is ready; next: spider-data check {quote(str(target))}")
