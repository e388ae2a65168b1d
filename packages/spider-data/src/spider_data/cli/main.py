"""The command `spider-data`: parse, call the library, print.

Every import of the library happens inside a command, so that `--help` answers at once. Exit code 0 means
done and fine, 1 that `check` found faults, 2 that the command could not be carried out, 130 Ctrl-C.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import click

from spider_data.cli.make import convert, download, import_command
from spider_data.cli.progress import Working, suite_progress

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
        from dataclasses import replace

        from spider_data.errors import MissingExtraError, OptionInvalidError, SpiderDataError

        try:
            return super().invoke(ctx)
        except (OptionInvalidError, MissingExtraError) as error:
            raise _Refusal(str(replace(error, option=self._option(ctx, error.option)))) from error
        except SpiderDataError as error:
            raise _Refusal(str(error)) from error

    def _option(self, ctx: click.Context, name: str) -> str:
        """What the user types for a parameter of the library: `--validation-share` for `validation_share`."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        options = {parameter.name: parameter.opts[0] for parameter in command.params} if command else {}
        return options.get(name, name)


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
    with Working(f"checking {data}") as working:
        from spider_data.check.folder import check_data
        from spider_data.cli.render import output, print_check, print_json

        report = check_data(data, official=official, deep=deep, on_file=lambda name: working.update(f"reading {name}"))
    if as_json:
        print_json(report.to_dict())
    else:
        print_check(report, output())
    raise SystemExit(0 if report.ok else 1)


@main.command()
@DATA_DIR
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the figures to this PNG (extra: plot).")
def stats(data: Path, as_json: bool, plot: Path | None) -> None:
    """Count tasks by split, hardness, database and table count, and measure texts.

    Example: spider-data stats data --plot data.png
    """
    with Working(f"counting {data}") as working:
        from spider_data.cli.render import output, print_json, print_stats
        from spider_data.plot import plot_stats
        from spider_data.stats import data_stats

        figures = data_stats(data)
        if plot is not None:
            working.update(f"drawing {plot}")
            plot_stats(figures, plot)
    if as_json:
        print_json(figures.to_dict())
    else:
        print_stats(figures, output())


@main.command()
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def mini(target: Path, as_json: bool) -> None:
    """Build the embedded benchmark in DIR: ten small databases with suites, 2,600 questions. No download.

    Example: spider-data mini mini-data
    """
    with Working(f"building {target}") as working:
        from spider_data.cli.render import output, print_json, print_text
        from spider_data.mini import build_mini
        from spider_data.suite.table import power_dict, power_line

        report = build_mini(
            target, on_step=lambda done, total: working.update(f"building {target}: {done} of {total} databases")
        )
    if as_json:
        made = {"folder": str(report.folder), "tasks": report.tasks, "databases": report.databases}
        print_json({**made, "variants": report.variants, "power": power_dict(report.power)})
        return
    for split, count in report.tasks.items():
        click.echo(f"{split:24} {count:6,} tasks")
    print_text(f"{report.databases} databases, {report.variants} variants each: {power_line(report.power)}", output())
    click.echo(f"{target} is ready; next: spider-data stats {quote(str(target))}")


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
    with suite_progress() as on_step:
        from spider_data.cli.render import output, print_json
        from spider_data.cli.reports import print_reports
        from spider_data.suite import make_suites
        from spider_data.suite.table import power_dict, report_dict, total

        reports = make_suites(
            data, variants=variants, seed=seed, golds=golds, only=only, into=into, force=force, on_step=on_step
        )
    if as_json:
        rows = [report_dict(report) for report in reports]
        print_json({"total": power_dict(total(reports)), "databases": rows})
    else:
        print_reports(reports, output())
