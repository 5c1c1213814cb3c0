"""The examples of docs/api.md, run as they are written, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "docs/api.md"


def test_every_example_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```\n(?:```text\n(.*?)```\n)?", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, Any] = {}
    for code, stated in blocks:
        exec(compile(code, str(PAGE), "exec"), names)
        printed = capsys.readouterr().out
        if "unavailable" in stated and "unavailable" not in printed:
            assert re.fullmatch(r"[\d.]+ measured\n", printed), "a machine with a sensor"
            continue
        assert _shape(printed) == _shape(stated), code


def _shape(text: str) -> list[str]:
    """The lines without their figures, which time and machine decide."""
    return [re.sub(r"[-\d.,()\s–%]+", " ", line).strip() for line in text.splitlines() if line.strip()]
