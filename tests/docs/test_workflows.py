"""CI's workflows are valid, run commands that exist, and cover every Python and processor that is promised."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra hf")
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def read(path: Path) -> dict[Any, Any]:
    value: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return value


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_is_there(path: Path) -> None:
    workflow = read(path)
    assert {"name", True, "jobs"} <= workflow.keys(), "YAML 1.1 reads the key `on` as true"
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    for job in workflow["jobs"].values():
        assert {"runs-on", "steps", "timeout-minutes"} <= job.keys()
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert set(re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))) <= targets
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))
            for name in re.findall(r"matrix\.(\w+)", str(step)):
                assert name in job["strategy"]["matrix"]


def test_ci_runs_every_promised_python_on_both_processors() -> None:
    matrix = read(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"], "in quotes, or 3.10 is 3.1"
    assert 'requires-python = ">=3.10"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert any(name.endswith("-arm") for name in matrix["os"])
    assert any("arm" not in name for name in matrix["os"])


def test_clean_keeps_what_was_measured() -> None:
    """`make clean` once removed runs/, hours of measurements."""
    rules = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nclean:")[2]
    assert "rm -rf" in rules
    assert not re.search(r"\bruns\b", rules.split("\n\n")[0])
