"""The house stands as docs/decisions/0003 says: no circles, rooms instead of loose modules, modules of a readable size.

import-linter (`make borders`) holds the floors; here the syntax trees are walked, because a circle inside one room, or
one that an import inside a function hides, is a circle too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = {
    path.name: path
    for path in sorted((Path(__file__).parents[1] / "packages").glob("*/src/*"))
    if (path / "__init__.py").is_file()
}
MOST_LINES = 350
MOST_ROOMS, MOST_LOOSE = 25, 8
"""Of the trainer."""


def modules(package: Path) -> dict[str, Path]:
    """Every module of a package by its full name."""
    found: dict[str, Path] = {}
    for file in package.rglob("*.py"):
        parts = file.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules that a file imports anywhere in it: at the top, inside functions, under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively: name the whole module"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else str(node.module) for name in names)


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Every set of modules that reach one another (Tarjan's strongly connected components of more than one)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = low[module] = len(number)
        path.append(module)
        for other in arrows[module]:
            if other not in number:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in path:
                low[module] = min(low[module], number[other])
        if low[module] == number[module]:
            circle = path[path.index(module) :]
            del path[path.index(module) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for module in arrows:
        if module not in number:
            visit(module)
    return found


def test_a_circle_is_found() -> None:
    """Two modules that import each other are one circle, and what they both use is none."""
    assert circles({"a": {"b", "c"}, "b": {"a", "c"}, "c": set()}) == [["a", "b"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle(package: str) -> None:
    """No module reaches itself through others, imports inside functions counted."""
    known = modules(PACKAGES[package])
    arrows = {
        module: {other for other in imported(file, known) if other in known and other != module}
        for module, file in known.items()
    }
    assert circles(arrows) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_readable(package: str) -> None:
    """No module is longer than a reader takes in at once."""
    long = {
        name: lines
        for name, file in modules(PACKAGES[package]).items()
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long


def test_rooms_of_the_trainer() -> None:
    """Everything in the trainer has a room; few modules stand beside them."""
    trainer = PACKAGES["lit_sql_trainer"]
    assert len(list(trainer.glob("*.py"))) <= MOST_LOOSE
    assert len({file.parent for file in trainer.glob("*/*.py")}) <= MOST_ROOMS


def given_by_faces() -> dict[tuple[str, str], str]:
    """For every (module, name) that the `__init__` of a package or a room imports: that package or room."""
    given: dict[tuple[str, str], str] = {}
    for package in PACKAGES.values():
        for face in sorted(package.rglob("__init__.py"), reverse=True):  # the package itself last: it wins
            tree = ast.parse(face.read_text(encoding="utf-8"))
            door = ".".join(face.parent.relative_to(package.parent).parts)
            typed = [line for node in tree.body if isinstance(node, ast.If) for line in node.body]
            for node in [*tree.body, *typed]:
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{door}."):
                    given.update({(str(node.module), alias.name): door for alias in node.names})
    return given


def test_tests_use_the_faces() -> None:
    """No test imports a name from inside a room when the package's or the room's face gives it."""
    given = given_by_faces()
    assert given["lit_sql_trainer.runs.folder", "RunFolder"] == "lit_sql_trainer.runs"
    assert given["lit_sql_trainer.profile.named", "PROFILES"] == "lit_sql_trainer"
    root = Path(__file__).parents[1]
    files = [
        file for pattern in ("packages/*/tests", "apps/*/tests", "tests") for file in root.glob(f"{pattern}/**/*.py")
    ]
    past = [
        f"{file}:{node.lineno} takes {alias.name} from {node.module}, not {given[node.module, alias.name]}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if (node.module, alias.name) in given
    ]
    assert len(files) > 100
    assert not past, "\n".join(past)
