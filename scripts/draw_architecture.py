"""Draw the house: every package with its rooms, in the layers that import-linter holds, read from the code.

    python scripts/draw_architecture.py            write docs/architecture.svg and the tables of docs/architecture.md
    python scripts/draw_architecture.py --check    exit 1 when they are not what the code says

Needs the standard library only. A room is a folder of a package; what it does is the first line of its docstring.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "architecture.svg"
LEAVES = {"spider_data": "packages/spider-data", "sql_graph": "packages/sql-graph", "sql_reward": "packages/sql-reward"}
STEM = "lit_sql_trainer"
HOMES = {**LEAVES, STEM: "packages/lit-sql-trainer", "sql_train": "apps/train"}

WIDTH, BOX, GAP, PAD = 960, 34, 8, 12
LETTER = 6
"""Width of a letter of a note, with some room to spare."""
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1c1e21 }
  .small { font-size: 11px; fill: #5b6169 }
  .package { fill: #f4f5f7; stroke: #b8bec6 }
  .room { fill: #ffffff; stroke: #7b8794 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8eaed }
    .small { fill: #a8afb8 }
    .package { fill: #23262b; stroke: #555c66 }
    .room { fill: #2e3238; stroke: #8a93a0 }
  }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A folder of a package, or one of its loose modules."""

    package: str
    name: str
    line: str
    """What it does, in one line."""
    uses: frozenset[str]
    """Rooms of the same package that it imports from."""
    loose: bool


def rooms_of(package: str) -> list[Room]:
    """Every room of a package, in the order of its folder."""
    source = ROOT / HOMES[package] / "src" / package
    rooms: list[Room] = []
    for path in sorted(source.iterdir()):
        is_room = (path / "__init__.py").is_file()
        if not is_room and (path.suffix != ".py" or path.stem.startswith("__")):
            continue
        files = sorted(path.rglob("*.py")) if is_room else [path]
        uses = {name for file in files for name in _imported(file, package)} - {path.stem}
        line = _first_line(path / "__init__.py" if is_room else path)
        rooms.append(Room(package=package, name=path.stem, line=line, uses=frozenset(uses), loose=not is_room))
    return rooms


def layers() -> list[list[str]]:
    """The trainer's layers, top first, as the contract in pyproject.toml states them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    for contract in contracts:
        if contract["type"] == "layers" and contract.get("containers") == [STEM]:
            return [[name.strip(" ()") for name in re.split(r"[|:]", layer)] for layer in contract["layers"]]
    raise SystemExit(f"pyproject.toml has no import-linter contract with containers = [{STEM!r}]")


def _imported(file: Path, package: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return names


def _first_line(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0]


class Sheet:
    """An SVG that grows downwards."""

    def __init__(self) -> None:
        self.y = PAD
        self.parts: list[str] = []

    def package(self, x: int, width: int, title: str, note: str, rows: list[list[Room]]) -> int:
        """One package with its rows of rooms; its lower edge."""
        height = 30 + len(rows) * (BOX + GAP) + PAD // 2
        self.parts.append(f'<rect class="package" x="{x}" y="{self.y}" width="{width}" height="{height}" rx="6"/>')
        self._text(x + PAD, self.y + 20, f"<tspan font-weight='600'>{escape(title)}</tspan> ", note)
        for number, row in enumerate(rows):
            inner = width - 2 * PAD
            each = (inner - GAP * (len(row) - 1)) // len(row)
            for place, room in enumerate(row):
                self._room(x + PAD + place * (each + GAP), self.y + 30 + number * (BOX + GAP), each, room)
        return self.y + height

    def _room(self, x: int, y: int, width: int, room: Room) -> None:
        label = room.name + (".py" if room.loose else "/")
        words = re.split(r"[.:;] |\.$", room.line)[0].rstrip(".")
        note = textwrap.shorten(words.replace("`", ""), (width - len(label) * 8 - 3 * PAD) // LETTER, placeholder=" …")
        self.parts.append(
            f"<g><title>{escape(room.line)}</title>"
            f'<rect class="room" x="{x}" y="{y}" width="{width}" height="{BOX}" rx="4"/>'
            f'<text x="{x + PAD}" y="{y + 21}">{escape(label)} '
            f'<tspan class="small" dx="6">{escape(note)}</tspan></text></g>'
        )

    def _text(self, x: int, y: int, strong: str, note: str) -> None:
        self.parts.append(f'<text x="{x}" y="{y}">{strong}<tspan class="small">{escape(note)}</tspan></text>')

    def svg(self) -> str:
        """The whole picture."""
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.y}" role="img" '
            f'aria-label="The packages and their rooms; each may use what lies below it">\n'
            f"<style>{STYLE}</style>\n{body}\n</svg>\n"
        )


def draw() -> str:
    """The picture: the app, the trainer's layers, the three leaves."""
    sheet = Sheet()
    app = [room for room in rooms_of("sql_train") if not room.loose] or rooms_of("sql_train")
    sheet.y = (
        sheet.package(PAD, WIDTH - 2 * PAD, "apps/train", "the GPU stack and the proof", [app] if app else []) + GAP
    )
    trainer = {room.name: room for room in rooms_of(STEM)}
    rows = [[trainer[name] for name in layer if name in trainer] for layer in layers()]
    note = "each room may use the rows below it, never a row above"
    sheet.y = sheet.package(PAD, WIDTH - 2 * PAD, "lit-sql-trainer", note, [row for row in rows if row]) + GAP
    width = (WIDTH - 2 * PAD - 2 * GAP) // 3
    lowest = sheet.y
    for place, package in enumerate(LEAVES):
        rows = [[room] for room in rooms_of(package) if not room.loose]
        name = package.replace("_", "-")
        lowest = max(lowest, sheet.package(PAD + place * (width + GAP), width, name, "knows no sibling", rows))
    sheet.y = lowest + PAD
    return sheet.svg()


def tables() -> dict[str, str]:
    """One Markdown table a package: its rooms, what they do, what they use."""
    found: dict[str, str] = {}
    order = [name for layer in layers() for name in layer]
    for package in (STEM, *LEAVES, "sql_train"):
        rooms = rooms_of(package)
        if package == STEM:
            rooms.sort(key=lambda room: order.index(room.name) if room.name in order else len(order))
        lines = ["| room | what it does | uses |", "|---|---|---|"]
        for room in rooms:
            uses = ", ".join(f"`{name}`" for name in sorted(room.uses)) or "–"
            line = room.line.replace("|", "\\|")
            lines.append(f"| `{room.name}{'.py' if room.loose else '/'}` | {line} | {uses} |")
        found[package] = "\n".join(lines)
    return found


def page(text: str) -> str:
    """The page with its tables written anew between their markers."""
    for package, table in tables().items():
        begin, end = f"<!-- rooms of {package} -->", f"<!-- end of {package} -->"
        if begin not in text or end not in text:
            raise SystemExit(f"{PAGE.name} lacks the markers {begin!r} and {end!r}")
        head, rest = text.split(begin, 1)
        text = f"{head}{begin}\n\n{table}\n\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> int:
    """Write or check both files."""
    wanted = {PICTURE: draw(), PAGE: page(PAGE.read_text(encoding="utf-8"))}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the code says: run python scripts/draw_architecture.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
