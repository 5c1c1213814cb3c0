"""The limits of the house: no file over 400 lines, no function over 60 (package, benchmarks, tests), no circle of imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "wattscribe"
MOST_FILE_LINES, MOST_FUNCTION_LINES = 400, 60


def sources() -> Iterator[Path]:
    for room in ("src", "benchmarks", "tests"):
        yield from sorted((ROOT / room).rglob("*.py"))


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Each function with its lines, decorators and docstring included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            yield node.name, (node.end_lineno or first) - first + 1


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lines = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8").count("\n") for path in sources()}
    assert len(lines) > 100
    assert [name for name, count in lines.items() if count > MOST_FILE_LINES] == []


def test_no_function_is_longer_than_a_page() -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), name)
        for path in sources()
        for name, count in functions(path.read_text("utf-8"))
        if count > MOST_FUNCTION_LINES
    ]
    assert found == []


@pytest.mark.parametrize(("body", "count"), [(57, 60), (58, 61)])
def test_decorators_and_docstrings_count(body: int, count: int) -> None:
    text = "@decorated\ndef long():\n    '''Why.'''\n" + "    pass\n" * body
    assert list(functions(text)) == [("long", count)]


def _imports(path: Path, modules: set[str]) -> set[str]:
    """The modules of the package that a file names in an import, wherever in it: also for types alone, also on first use."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            whole = {f"{node.module}.{alias.name}" for alias in node.names} & modules
            named |= whole or {node.module}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
    return (named & modules) - {"wattscribe"}  # the door opens on everything, on first use


def test_no_file_is_imported_by_what_it_imports() -> None:
    paths = {
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCE.rglob("*.py")
    }
    graph = {module: _imports(path, set(paths)) - {module} for module, path in paths.items()}
    assert len(graph) > 300
    assert tuple(TopologicalSorter(graph).static_order())  # CycleError names the circle
