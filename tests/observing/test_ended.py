"""A simulation that is ended leaves nothing behind: no folder, no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

WAIT_S = 300.0
"""Two seconds of work, on a machine that gives it one part in a hundred."""
SIMULATE = """
from wattscribe.observing.memory import cache_of
from wattscribe.observing.simulate import simulate
simulate("nowhere", {}, [], [], cache_of(65536), print)
"""
HANDLED = """
import signal
def end(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, end)
"""


@pytest.mark.parametrize(("script", "status"), [(SIMULATE, -signal.SIGTERM), (HANDLED + SIMULATE, -signal.SIGINT)])
def test_term_clears_away_folder_and_process(tmp_path: Path, script: str, status: int) -> None:
    programs, room, started = tmp_path / "bin", tmp_path / "tmp", tmp_path / "started"
    programs.mkdir()
    room.mkdir()
    for name in ("valgrind", "vgdb"):  # one that never gets ready
        (programs / name).write_text(
            f'#!/bin/sh\necho $$ > "{started}.new"\nmv "{started}.new" "{started}"\nexec sleep 600\n'
        )
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(room)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    _until(started.exists)
    simulated = int(started.read_text(encoding="ascii"))
    assert list(room.iterdir())
    process.terminate()
    assert process.wait(WAIT_S) == status
    assert not list(room.iterdir())
    _until(lambda: not Path(f"/proc/{simulated}").exists())


def _until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.02)
