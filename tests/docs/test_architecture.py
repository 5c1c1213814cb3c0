"""docs/architecture.md names packages and files that are there, and none is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/wattscribe"
TEXT = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
WAYS = re.findall(r"(?ms)^## (The path [^\n]*)\n(.*?)(?=^## |\Z)", TEXT)
PATHS = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}


def named(text: str) -> list[str]:
    return re.findall(r"`([a-z0-9_/]+\.py)`", text)


def places(name: str) -> list[str]:
    """The files that a name may mean: a path below the package, or the end of one."""
    return sorted(path for path in PATHS if f"/{path}".endswith(f"/{name}"))


@pytest.mark.parametrize("name", sorted(set(named(TEXT))))
def test_a_file_that_is_named_is_there(name: str) -> None:
    assert places(name), f"{name} is no file of the package"


def test_every_package_is_named() -> None:
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert packages - set(re.findall(r"`([a-z0-9_]+)/", TEXT)) == set()


@pytest.mark.parametrize(("title", "way"), WAYS, ids=[title for title, _ in WAYS])
def test_a_path_goes_forward(title: str, way: str) -> None:
    """No step returns to a file of an earlier one. A name alone (`model.py`) continues the package before it."""
    steps = [set(named(step)) for step in re.split(r"(?m)^\d+\. ", way)[1:]]
    assert len(steps) > 4
    seen: set[str] = set()
    for number, step in enumerate(steps, start=1):
        again = {name for name in step & seen if "/" in name}
        assert not again, f"{title}, step {number} comes back to {again}"
        seen |= step


def test_there_are_three_paths() -> None:
    assert len(WAYS) == 3
