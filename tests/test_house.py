"""The limits of the house: no file over 400 lines, no function over 60, in the package, its benchmarks and its tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
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
