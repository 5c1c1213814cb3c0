"""What pages begin with: a recording, a folder of a board's sensor files, a run. Each is made once and copied."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from tests.docs.blocks import blocks
from tests.docs.session import Page
from wattscribe.corpora.open import BUNDLED_DIRECTORY
from wattscribe.testing import hwmon_trees, sensor_trees
from wattscribe.testing.recorded import TEGRASTATS


def speech(path: Path) -> None:
    shutil.copy(BUNDLED_DIRECTORY / "audio" / "slt-00.flac", path)


def usb(path: Path) -> None:
    """As fnirsi_logger writes it: 100 samples a second at 5 V and 58 mA."""
    rows = (f"{1774531584 + at / 100:.3f} 0 5.00000 0.05802 3.035 0.072 28.200 0.002901 0.000578" for at in range(300))
    header = "timestamp sample_in_packet voltage_V current_A dp_V dn_V temp_C_ema energy_Ws capacity_As"
    path.write_text("\n".join(["", header, *rows, ""]), encoding="utf-8")


def ppk2(path: Path) -> None:
    rows = (f"{at / 100:.2f},50000,00000000" for at in range(3999))
    path.write_text("\n".join(["Timestamp(ms),Current(uA),D0-D7", *rows, ""]), encoding="utf-8")


def tegrastats(path: Path) -> None:
    """A line every 1.02 s, stamped in whole seconds, with 29 lines missing in the middle."""
    line = TEGRASTATS["orin_dated"].split(" ", 2)[2]
    start = datetime(2026, 11, 28, 12, 0, 0)
    times = (start + timedelta(seconds=1.02 * at) for at in range(600) if not 300 <= at < 329)
    path.write_text("".join(f"{time:%m-%d-%Y %H:%M:%S} {line}\n" for time in times), encoding="utf-8")


def board(tree: Callable[[Path], object]) -> Callable[[Path], None]:
    """Sensor files of a board in a folder of their own."""

    def make(path: Path) -> None:
        path.mkdir()
        tree(path)

    return make


def common_voice(path: Path) -> None:
    (path / "en").mkdir(parents=True)
    for name in ("dev", "test"):
        (path / "en" / f"{name}.tsv").write_text("client_id\tpath\tsentence\na\tx.mp3\thello\n", encoding="utf-8")


FILES: dict[str, Callable[[Path], None]] = {
    "speech.flac": speech,
    "call.wav": speech,
    "usb.txt": usb,
    "ppk2.csv": ppk2,
    "tegra.log": tegrastats,
    "agx-orin": board(sensor_trees.agx_orin),
    "orin-nano": board(sensor_trees.orin_nano),
    "intel-laptop": board(sensor_trees.intel_laptop),
    "monitor-hat": board(hwmon_trees.monitor_hat),
    "cv-corpus": common_voice,
}
FIRST = "runs/first"
RUNS = {FIRST: FIRST, "runs/base": FIRST, "runs/new": FIRST}
"""Runs of pages, all of them the one with which README begins."""


class Given:
    """Puts what a block needs into a page's folder; README's first command is run once for all pages."""

    def __init__(self, store: Path) -> None:
        self.store, self.cache = store, store / "graphs"

    def __call__(self, name: str, folder: Path) -> None:
        target = folder / name
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if name in FILES:
            FILES[name](target)
        else:
            shutil.copytree(self._run(RUNS[name]), target)

    def _run(self, name: str) -> Path:
        made = self.store / name
        if not made.exists():
            first = next(block for block in blocks("README.md") if block.is_run)
            assert f"--out {name}" in first.text, f"{first}: README begins with the run {name}"
            Page(self.store, self.cache, self).go(first, None)
        return made
