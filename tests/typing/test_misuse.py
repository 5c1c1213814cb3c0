"""mypy finds every line of intended misuse, and nothing in the right uses beside them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

MISUSE = Path(__file__).with_name("misuse.py")
ROOT = MISUSE.parents[2]


@pytest.mark.timeout(900)  # without a cache mypy reads the whole package
def test_mypy_finds_every_line_of_misuse() -> None:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", str(MISUSE)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    marked = {at for at, line in enumerate(MISUSE.read_text("utf-8").splitlines(), 1) if line.endswith("# wrong")}
    lines = {int(at) for at in re.findall(r"misuse\.py:(\d+): error", found.stdout)}
    assert marked, "the file marks nothing"
    assert lines == marked, found.stdout + found.stderr
