"""The command `spider-data`: parse, call the library, print.

Every import of the library happens inside a command, so that `--help` answers at once. Exit code 0 means
done and fine, 1 that `check` found faults, 2 that the command could not be carried out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spider_data.cli.make import convert, download, import_command

DATA_DIR = click.argument(
    "data",
    metavar="[DIR]",
    required=False,
    envvar="VERL_SPIDER_DATA_DIR",
    default="data",
    type=click.Path(path_type=Path),
)
"""A data folder that is read: the argument, else `$VERL_SPIDER_DATA_DIR`, else `data`."""


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


main.add_command(download)
main.add_command(convert)
main.add_command(import_command)


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

    from spider_data.check.folder import check_data
    from spider_data.cli.render import print_check

    with Console(stderr=True).status("") as status:
        report = check_data(data, official=official, deep=deep, on_file=lambda name: status.update(f"reading {name}"))
    if as_json:
        click.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        print_check(report, Console())
    raise SystemExit(0 if report.ok else 1)


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

    from spider_data.cli.render import print_stats
    from spider_data.plot import plot_stats
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


if __name__ == "__main__":
    main()
