"""The command `spider-data`: parse, call the library, print.

Every import of the library happens inside a command, so that `--help` answers at once. Exit code 0 means
done and fine, 1 that `check` found faults, 2 that the command could not be carried out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from spider_data.manifest import Manifest

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
    from spider_data.convert import convert_spider
    from spider_data.layout import ConvertOptions

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
    _print_made(target, manifest)


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


@main.command()
@click.argument(
    "target", required=False, envvar="VERL_SPIDER_DATA_DIR", default="data", type=click.Path(path_type=Path)
)
@click.option(
    "--bundle", type=click.Choice(["tutorial", "official"]), default="tutorial", show_default=True, help="Which one."
)
@click.option("--from", "from_file", type=click.Path(path_type=Path), help="Take this zip; download nothing.")
@click.option("--url", help="Another http(s) address that has the same zip, such as a mirror of your own.")
@click.option("--sha256", help="Refuse the zip unless it has this checksum.")
@click.option("--keep-zip", is_flag=True, help="Leave the zip beside TARGET.")
@click.option("--validation-share", default=0.1, show_default=True, help="Part of the training rows held out.")
@click.option("--seed", default=0, show_default=True, help="Chooses the databases held out.")
@click.option("--keep-empty", is_flag=True, help="Train also on official databases without a single row.")
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

    A broken download goes on where it stopped when the command is run again.

    Example: spider-data download data --from spider-data.zip
    """
    from spider_data.bundle import Bundle, download_bundle
    from spider_data.fetch import fetch_drive
    from spider_data.layout import ConvertOptions
    from spider_data.render import fetch_with_bar

    options = ConvertOptions(validation_share=validation_share, seed=seed, keep_empty=keep_empty)
    manifest = download_bundle(
        target,
        bundle=Bundle(bundle),
        from_file=from_file,
        url=url,
        sha256=sha256,
        keep_zip=keep_zip,
        fetch=fetch_with_bar if url else fetch_drive,
        options=options,
    )
    _print_made(target, manifest)


@main.command("import")
@click.option("--db", "databases", required=True, type=click.Path(path_type=Path), help="A SQLite file or a folder.")
@click.option("--questions", required=True, type=click.Path(path_type=Path), help="Question file, .jsonl or .csv.")
@click.argument(
    "target", required=False, envvar="VERL_SPIDER_DATA_DIR", default="data", type=click.Path(path_type=Path)
)
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

    A row has question, query (or sql), and db_id unless there is one database. Each query is run first.

    Example: spider-data import --db shop.sqlite --questions questions.jsonl data
    """
    from rich.console import Console

    from spider_data.own_data import ImportOptions, SplitBy, import_data

    options = ImportOptions(
        split_by=SplitBy(split_by),
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        copy=copy,
        deadline_s=deadline_s,
    )
    with Console(stderr=True).status("") as status:
        manifest = import_data(
            databases,
            questions,
            target,
            options=options,
            on_query=lambda done, total: status.update(f"running query {done + 1} of {total}"),
        )
    _print_made(target, manifest)


@main.command()
@DATA_DIR
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the figures to this PNG (extra: plot).")
def stats(data: Path, as_json: bool, plot: Path | None) -> None:
    """Count tasks by split, hardness, database and table count, and measure texts.

    Example: spider-data stats data --plot data.png
    """
    import json

    from rich.console import Console

    from spider_data.plot import plot_stats
    from spider_data.render import print_stats
    from spider_data.stats import data_stats

    figures = data_stats(data)
    if plot is not None:
        plot_stats(figures, plot)
    if as_json:
        click.echo(json.dumps(figures.to_dict(), ensure_ascii=False))
    else:
        print_stats(figures, Console())


@main.command()
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def mini(target: Path, as_json: bool) -> None:
    """Build the embedded benchmark in DIR: ten small databases with suites, 2,600 questions. No download.

    Example: spider-data mini mini-data
    """
    import json

    from spider_data.mini import build_mini
    from spider_data.suite.table import power_dict, power_line

    report = build_mini(target)
    if as_json:
        made = {"folder": str(report.folder), "tasks": report.tasks, "databases": report.databases}
        click.echo(json.dumps({**made, "variants": report.variants, "power": power_dict(report.power)}))
        return
    for split, count in report.tasks.items():
        click.echo(f"{split:24} {count:6,} tasks")
    click.echo(f"{report.databases} databases, {report.variants} variants each: {power_line(report.power)}")
    click.echo(f"{target} is ready; next: spider-data stats {target}")


@main.command()
@DATA_DIR
@click.option("--variants", default=10, show_default=True, type=click.IntRange(1, 200), help="Files per database.")
@click.option("--seed", default=0, show_default=True, help="Another seed, other variants.")
@click.option(
    "--golds", multiple=True, type=click.Path(path_type=Path), help="Queries: Parquet or query<TAB>db_id lines."
)
@click.option("--only", multiple=True, metavar="DB_ID", help="Only this database; may be repeated.")
@click.option("--into", type=click.Path(path_type=Path), help="Write to INTO/<db_id>/ instead, beside links.")
@click.option("--force", is_flag=True, help="Replace variants that this command did not make.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def suite(
    data: Path,
    variants: int,
    seed: int,
    golds: tuple[Path, ...],
    only: tuple[str, ...],
    into: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make test suites: variants of each database on which wrong queries show.

    Example: spider-data suite data --variants 10 --seed 0
    """
    import json

    from rich.console import Console

    from spider_data.suite import make_suites
    from spider_data.suite.progress import suite_progress
    from spider_data.suite.table import power_dict, print_reports, report_dict, total

    with suite_progress(Console(stderr=True)) as on_step:
        reports = make_suites(
            data, variants=variants, seed=seed, golds=golds, only=only, into=into, force=force, on_step=on_step
        )
    if as_json:
        rows = [report_dict(report) for report in reports]
        click.echo(json.dumps({"total": power_dict(total(reports)), "databases": rows}, ensure_ascii=False))
    else:
        print_reports(reports, Console())


def _print_made(target: Path, manifest: Manifest) -> None:
    for name, rows in manifest.rows.items():
        click.echo(f"{name:24} {rows:6,} tasks")
    for note in manifest.notes:
        click.echo(f"note: {note}")
    click.echo(f"{target} is ready; next: spider-data check {target}")


if __name__ == "__main__":
    main()
