"""What the documentation tells people to type exists, and what it links to is there."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("packages/*/*.md"),
        *ROOT.glob("apps/*/*.md"),
    ]
    if page.name != "CHANGELOG.md"
)
COMMANDS = {
    "spider-data": ("spider_data.cli.main", "main"),
    "sql-graph": ("sql_graph.cli", "main"),
    "sql-reward": ("sql_reward.cli", "main"),
    "lit-sql": ("lit_sql_trainer.cli", "main"),
    "train": ("lit_sql_trainer.commands.train", "train_main"),
}
FENCE = re.compile(r"^```(?:bash|sh|console|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) | {
    f"test-{leaf}" for leaf in ("spider-data", "sql-graph", "sql-reward")
}


def lines_to_type() -> Iterator[tuple[str, list[str]]]:
    """Each command line in a shell block of a page: where it stands, and its words."""
    for page in PAGES:
        for block in FENCE.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words:
                    yield f"{page.relative_to(ROOT)}: {' '.join(words)}", words


TYPED = dict(lines_to_type())


def ours(words: list[str]) -> list[str] | None:
    """The words from one of our commands on, or None when the line calls something else."""
    if words[0] in COMMANDS:
        return words
    if words[:2] == ["uv", "run"]:
        return next(
            (
                words[at:]
                for at, word in enumerate(words)
                if at > 1 and words[at - 1] != "--package" and word in COMMANDS
            ),
            None,
        )
    return None


@pytest.mark.parametrize("typed", [name for name, words in TYPED.items() if ours(words)])
def test_command_exists(typed: str) -> None:
    """Every command line in the documentation names a command, a subcommand and options that exist."""
    words = ours(TYPED[typed])
    assert words
    module, attribute = COMMANDS[words[0]]
    command: click.Command = getattr(importlib.import_module(module), attribute)
    rest = words[1:]
    context = click.Context(command)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        assert found, f"no subcommand {rest[0]!r}"
        command, rest, context = found, rest[1:], click.Context(found, parent=context)
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "--version"}
    used = {word.partition("=")[0] for word in rest if word.startswith("--")}
    assert used <= known, f"unknown options {sorted(used - known)}"


@pytest.mark.parametrize("typed", [name for name, words in TYPED.items() if words[0] == "make"])
def test_make_target_exists(typed: str) -> None:
    """Every `make` line in the documentation names a target of the Makefile."""
    targets = {word for word in TYPED[typed][1:] if "=" not in word}
    assert targets <= MAKE_TARGETS


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link in the documentation names a file that exists."""
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link and not link.startswith("mailto:")]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_every_member_is_documented() -> None:
    """Each package has a README, a changelog, a licence and a marker for type checkers."""
    for member in [*ROOT.glob("packages/*"), *ROOT.glob("apps/*")]:
        for name in ("README.md", "CHANGELOG.md", "LICENSE"):
            assert (member / name).stat().st_size > 80, f"{member.name}: {name}"
        assert list(member.glob("src/*/py.typed")), member.name
