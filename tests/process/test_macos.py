"""The package where Linux's own calls and files are not there: as far as it can be shown without a Mac.

`macos/sitecustomize.py` hides them in every process that a test starts, workers among them. What it does not show: macOS's own
libraries, its /bin/sh, and the real counters of an M-series chip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wattscribe
from wattscribe.journal import read_run
from wattscribe.metering import window

HERE = Path(__file__).with_name("macos")
SOURCE = Path(wattscribe.__file__).parents[1]

IMPORTS = """
import importlib, pkgutil, sys, wattscribe
missing = {}
for module in pkgutil.walk_packages(wattscribe.__path__, "wattscribe."):
    if module.name.startswith(("wattscribe.training", "wattscribe.compression", "wattscribe.__main__", "wattscribe.api")):
        continue  # they begin with torch or onnx, whose Linux builds are here
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        missing[module.name] = str(error.name)
own = {name: lacking for name, lacking in missing.items() if lacking.startswith("wattscribe")}
assert sys.platform == "darwin" and not own, own
assert len(sys.modules) > 200
print("imported")
"""


def mac(*arguments: str, timeout_s: float = 280) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(SOURCE)])}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def test_the_hiding_hides() -> None:
    code = (
        "import os, signal, sys, platform; print(sys.platform, platform.system(), hasattr(os, 'sched_getaffinity'), "
        "hasattr(signal, 'sigwaitinfo'))\ntry:\n    open('/proc/self/status')\nexcept OSError as e:\n    print(e.errno)"
    )
    assert mac("-c", code).stdout.split() == ["darwin", "Darwin", "False", "False", "2"]


def test_every_module_is_imported() -> None:
    done = mac("-c", IMPORTS)
    assert done.stdout.strip() == "imported", done.stderr[-3000:]


@pytest.mark.alone
def test_a_bench_runs_to_its_page_with_the_chip_s_joules(tmp_path: Path) -> None:
    """Marks, a worker, idle baselines and peak memory included."""
    run = tmp_path / "run"
    done = mac(
        "-m", "wattscribe", "bench", "--model", "fake:a?text=x&cpu=0.02", "--data", "bundled", "--limit", "4", "--idle", "1",
        "--mark", "--mark-unit", "0.2", "--out", str(run),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (run / "report.html").is_file()
    facts = read_run(run)
    (trial,) = facts.trials
    assert trial.status == "done"
    assert trial.peak_memory_bytes is not None
    assert trial.window is not None
    soc = next(trace for trace in trial.traces if trace.channel == "apple.soc")
    reading = window.energy(soc, trial.window)
    assert reading.energy_ci95_j is not None  # a third of a second: reads that a busy machine delays move its ends
    low_j, high_j = reading.energy_ci95_j
    assert low_j <= 5.0 * trial.window.duration_s <= high_j
    assert high_j - low_j < 0.5 * 5.0 * trial.window.duration_s
    assert reading.evidence == "measured"
    assert facts.machine["cpu_usable"] == os.cpu_count()


def test_any_command_is_measured_and_its_status_handed_on(tmp_path: Path) -> None:
    out = tmp_path / "energy.json"
    done = mac(
        "-m", "wattscribe", "measure", "--idle", "0.5", "--json", "--out", str(out), "--meter", "cmd:part -- echo 2.5 W", "--",
        sys.executable, "-S", "-c", "import time; time.sleep(1); raise SystemExit(9)",
    )  # fmt: skip
    assert done.returncode == 9, done.stderr[-3000:]
    facts = json.loads(out.read_text())
    assert facts["channel"] == "apple.soc"
    low_w, high_w = facts["power_ci95_w"]
    assert low_w <= 5.0 <= high_w
    assert facts["power_w"] == pytest.approx(5.0, rel=0.1)
    assert facts["idle_power_w"] == pytest.approx(5.0, rel=0.3)


def test_a_memory_limit_that_cannot_hold_is_refused(tmp_path: Path) -> None:
    done = mac(
        "-m", "wattscribe", "bench", "--model", "fake:a?text=x", "--data", "bundled", "--limit", "1", "--idle", "0",
        "--memory-limit", "1000000000", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "a memory limit can be set under Linux only" in done.stdout + done.stderr
