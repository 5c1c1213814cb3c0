"""What a recognizer's children spend is the recognizer's: CPU seconds and memory, of those that live and of those that ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import wattscribe
from wattscribe.metering import memory, processes
from wattscribe.records import TrialFacts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CPU clocks and lists of children are Linux's")
BURN_S, HELD_BYTES = 0.3, 200 << 20
BURN = f"import time\nheld = bytearray({HELD_BYTES})\nwhile time.process_time() < {BURN_S}: pass\n"
LIVING = f"""import json, sys, time
held = bytearray({HELD_BYTES})
for line in sys.stdin:
    end = time.process_time() + {BURN_S}
    while time.process_time() < end: pass
    print(json.dumps(dict(text="x")), flush=True)
"""
ENDED = f'while read -r line; do {sys.executable} burn.py; echo \'{{"text": "x"}}\'; done\n'


def benched(model: str, out: Path) -> TrialFacts:
    facts = wattscribe.bench({"models": [model], "data": ["bundled"], "limit": 2, "idle_s": 0.0}, out)
    (trial,) = facts.trials
    assert trial.status == "done", trial.reason
    return trial


@pytest.mark.parametrize(("name", "text"), [("asr.py", LIVING), ("asr.sh", ENDED)])
def test_a_command_is_counted_with_what_it_starts(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    (tmp_path / "burn.py").write_text(BURN)
    trial = benched(f"cmd:{sys.executable if name.endswith('.py') else 'sh'} {name}", tmp_path / "run")
    assert trial.cpu_s is not None
    assert 2 * BURN_S < trial.cpu_s < 2 * BURN_S + 2.0
    assert all(BURN_S < (each.cpu_s or 0.0) < BURN_S + 1.0 for each in trial.utterances)
    assert trial.peak_memory_bytes is not None
    assert HELD_BYTES < trial.peak_memory_bytes < 1.5 * HELD_BYTES


def test_nobody_elses_work_is_counted(tmp_path: Path) -> None:
    trial = benched("fake:x?text=a", tmp_path / "run")
    assert trial.cpu_s is not None
    assert trial.cpu_s < BURN_S


def test_a_copy_that_has_started_no_program_is_no_memory_of_its_own() -> None:
    """What a fork makes shows its parent's size until it becomes another program."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        assert child in processes.descendants()
        assert processes.is_copy(child)
        assert memory.descendants_peak_bytes() < (memory.rss_bytes() or 0)
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(child, 0)
    assert child not in processes.descendants()


def test_seconds_of_a_child_stay_when_it_has_ended() -> None:
    before_s = processes.descendants_cpu_s()
    code = f"import time\nwhile time.process_time() < {BURN_S}: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        living_s = processes.descendants_cpu_s() - before_s
        assert (processes.cpu_clock_s(child.pid) or 0.0) >= BURN_S
    ended_s = processes.descendants_cpu_s() - before_s
    assert BURN_S <= living_s <= ended_s < BURN_S + 1.0
    assert processes.cpu_clock_s(child.pid) is None


def test_looking_costs_next_to_nothing() -> None:
    start_s = time.process_time()
    for _ in range(100):
        processes.descendants_cpu_s()
    assert time.process_time() - start_s < 0.2
