"""A board that is played while a bench runs: real recognizers, made-up watts, and every joule known.

The board draws its idle power, and while this program and its children compute, as much more as their work costs: for an
exported transducer its counted bytes and operations times constants that are known, spread over the processor time that it
takes; for anything else so many watts per busy core. Sensors show that load as real ones do: averaged, in steps, late. An
external recorder with a clock of its own sees it too. Whatever is read of such a board is `simulated`, never `measured`.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wattscribe.errors import InputError
from wattscribe.metering.base import MonotonicClock
from wattscribe.metering.files import SensorFiles
from wattscribe.metering.host import SIMULATED, Host, NoCommands
from wattscribe.records import RunFacts, Trial, Window
from wattscribe.testing import sensor_trees
from wattscribe.testing.live_load import Ledger, LiveLoad, ProcessorTime, Rail, Share
from wattscribe.testing.loads import Load, SimulatedMeter
from wattscribe.testing.recorder import Recorder
from wattscribe.testing.work import Constants, Cost

TICK_S = 0.005
"""How often the load is brought up to date: a tenth of the clock error that `meters attach` allows."""
CHILDREN_S = 0.2
"""How often new child processes are looked for: a worker takes longer than that to load before its window opens."""
MARK_CORES = 2
"""Busy where the run marks."""
BOARD_NAME, RECORDER_NAME, TRUTH_NAME = "board", "simulated-recorder.csv", "simulated-truth.json"
INA_UPDATE_S = 0.05
"""16 conversions of three channels, as `samples` 16 makes of it."""
INA_STEP_W = 0.04
"""8 mA at 5 V."""
INA_MEMORY_S = 0.0066
"""JetPack 4's driver tells no interval: the chip's default, without averaging."""
RAPL_UPDATE_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A board that can be played. `rails` by the names that the sensors give them."""

    title: str
    build: Callable[[Path], sensor_trees.SensorTree]
    rails: Mapping[str, Share]
    idle_w: float = 4.2
    core_w: float = 2.5
    """Of each busy core, where no work is counted."""
    constants: Constants = field(default_factory=Constants)


_ORIN = {
    "VDD_IN": Share(idle=1, busy=1),
    "VDD_CPU_GPU_CV": Share(idle=0.2, busy=0.7),
    "VDD_SOC": Share(idle=0.3, busy=0.2),
}
_LAPTOP = {
    "intel-rapl:1": Share(idle=1, busy=1),
    "intel-rapl:0": Share(idle=0.5, busy=0.85),
    "intel-rapl-mmio:0": Share(idle=0.5, busy=0.85),
    "intel-rapl:0:0": Share(idle=0.1, busy=0.75),
    "intel-rapl:0:1": Share(idle=0.1, busy=0.02),
}
KINDS: Mapping[str, Kind] = {
    "orin-nano": Kind(title="Jetson Orin Nano, INA3221 (hwmon)", build=sensor_trees.orin_nano, rails=_ORIN),
    "orin-nx": Kind(title="Jetson Orin NX, INA3221 (hwmon)", build=sensor_trees.orin_nx, rails=_ORIN, idle_w=5.6),
    "xavier-nx": Kind(title="Jetson Xavier NX, INA3221 (iio)", build=sensor_trees.xavier_nx, rails=_ORIN, idle_w=3.8),
    "intel-laptop": Kind(
        title="Laptop with RAPL counters and psys", build=sensor_trees.intel_laptop, rails=_LAPTOP, idle_w=6.0
    ),
}


def kind_of(name: str) -> Kind:
    """Raises InputError with the names that there are."""
    if name not in KINDS:
        raise InputError(f"there is no simulated board {name!r}", fix=f"One of: {choices()}")
    return KINDS[name]


def choices() -> str:
    """The names with what they are."""
    return "; ".join(f"{name} ({kind.title})" for name, kind in KINDS.items())


def build_tree(name: str, root: Path) -> sensor_trees.SensorTree:
    """The board's sensor files below `root` at rest, for `wattscribe meters --root`; known as simulated by a file in it."""
    kind = kind_of(name)
    tree = kind.build(root)
    tree.write(SIMULATED, name)
    # Nothing of the table of watts per core: CPU seconds of this machine are not the board's.
    tree.write("proc/device-tree/model", "simulated board")
    tree.write("proc/cpuinfo", "processor\t: 0\nmodel name\t: simulated processor")
    for path in root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*"):
        (path / "update_interval").write_text(f"{1000 * INA_UPDATE_S:g}\n")
        (path / "samples").write_text("16\n")
    for rail, share in kind.rails.items():
        if rail in tree.places:
            tree.set_power(rail, share.idle * kind.idle_w)
    return tree


# --- the board --------------------------------------------------------------------------------------------------------
class PlayedFiles(SensorFiles):
    """The board's tree with values that live: reads of sensors are answered from the load, all others from the files."""

    def __init__(self, root: Path, answer: Callable[[Path], bytes | None]) -> None:
        super().__init__(root)
        self._answer = answer

    def pread(self, path: Path, fd: int) -> bytes:
        shown = self._answer(path)
        return super().pread(path, fd) if shown is None else shown


class Board:
    """Plays a board between `start` and `stop`; tell it `began`, `transcribed` and `ended` as a bench's watcher is told."""

    def __init__(self, name: str, root: Path, costs: Mapping[str, Cost] | None = None) -> None:
        self.name, self.kind = name, kind_of(name)
        build_tree(name, root)
        self._costs = costs or {}
        self._lock = threading.RLock()
        self._processor = ProcessorTime()
        self.load = LiveLoad(time.monotonic(), self.kind.idle_w)
        self._ledger: Ledger | None = None
        self._sensors = _sensors(self.kind, root, self.load)
        self.files = PlayedFiles(root, self._shown)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, name="wattscribe-board", daemon=True)

    def host(self) -> Host:
        return Host(files=self.files, commands=NoCommands())

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        with self._lock:
            self._bring_up()

    def began(self, trial: Trial) -> None:
        with self._lock:
            self._bring_up()
            cost = self._costs.get(trial.id)
            self._ledger = None if cost is None else Ledger(cost)

    def transcribed(self, audio_s: float) -> None:
        with self._lock:
            self._bring_up()
            if self._ledger is not None:
                self._ledger.transcribed(audio_s)

    def ended(self) -> None:
        with self._lock:
            self._bring_up()
            self._ledger = None

    def _play(self) -> None:
        looked_s = -CHILDREN_S
        while not self._over.wait(TICK_S):
            children = None
            if time.monotonic() - looked_s >= CHILDREN_S:
                children = self._processor.children()  # not under the lock: whoever reads a sensor would wait for it
                looked_s = time.monotonic()
            with self._lock:
                self._bring_up()
                if children is not None:
                    self._processor.watch(children)

    def _bring_up(self) -> None:
        """Decide what was drawn since the last time."""
        if time.monotonic() - self.load.known_until_s < TICK_S / 5:
            return
        worked_s = self._processor.since_last()
        now_s = time.monotonic()  # after it: what was just read was computed until now
        elapsed_s = now_s - self.load.known_until_s
        joules = worked_s * self.kind.core_w if self._ledger is None else self._ledger.spend(worked_s)
        self.load.grow(now_s, self.kind.idle_w + joules / elapsed_s)

    def _shown(self, path: Path) -> bytes | None:
        show = self._sensors.get(path)
        if show is None:
            return None
        with self._lock:
            self._bring_up()
            return show(self.load.known_until_s)


def _sensors(kind: Kind, root: Path, load: LiveLoad) -> dict[Path, Callable[[float], bytes]]:
    """What each live file shows at a time."""
    files: dict[Path, Callable[[float], bytes]] = {}
    clock = MonotonicClock()
    for rail, share in kind.rails.items():
        part = Rail(load=load, share=share, idle_w=kind.idle_w)
        counter = root / sensor_trees.RAPL / rail / "energy_uj"
        if counter.is_file():
            meter = SimulatedMeter(part, clock, update_interval_s=RAPL_UPDATE_S, kind="energy")
            files[counter] = _shows(meter, 1e6, modulo=sensor_trees.RANGE_UJ)
            continue
        for label in root.glob("sys/bus/i2c/drivers/*/*/hwmon/hwmon*/in*_label"):
            if label.read_text().strip() == rail:
                index = label.name.removeprefix("in").removesuffix("_label")
                meter = SimulatedMeter(
                    part, clock, update_interval_s=INA_UPDATE_S, averaging_s=INA_UPDATE_S, step=INA_STEP_W
                )
                files[label.with_name(f"curr{index}_input")] = _shows(meter, 1e3 / 5.0)  # mA at 5 V
        for label in root.glob("sys/bus/i2c/drivers/*/*/iio:device*/rail_name_*"):
            if label.read_text().strip() == rail:
                index = label.name.removeprefix("rail_name_")
                meter = SimulatedMeter(
                    part, clock, update_interval_s=INA_MEMORY_S, averaging_s=INA_MEMORY_S, step=INA_STEP_W
                )
                files[label.with_name(f"in_power{index}_input")] = _shows(meter, 1e3)
    return files


def _shows(meter: SimulatedMeter, factor: float, *, modulo: int | None = None) -> Callable[[float], bytes]:
    def show(t_s: float) -> bytes:
        value = round(meter.value_at(t_s) * factor)
        return b"%d\n" % (value if modulo is None else value % modulo)

    return show


# --- what is left of it -----------------------------------------------------------------------------------------------
@contextlib.contextmanager
def played(name: str, costs: Mapping[str, Cost] | None = None) -> Iterator[Board]:
    """The board while it plays, its files in a folder that goes away."""
    kind_of(name)
    with tempfile.TemporaryDirectory(prefix="wattscribe-board-") as folder:
        board = Board(name, Path(folder), costs)
        board.start()
        try:
            yield board
        finally:
            board.stop()


def leave(board: Board, facts: RunFacts, run_dir: Path) -> None:
    """What the recorder saw, and the truth, beside the run.

    Where the run marked, the recorder sees every core busy: a board of its own would not share them with this machine's others.
    """
    pulses = [pulse for marks in facts.marks for group in marks.groups for pulse in group]
    load = board.load.settled().overlaid(pulses, board.kind.idle_w + MARK_CORES * board.kind.core_w)
    recorder = Recorder(noise_w=0.05)
    recorder.write(run_dir / RECORDER_NAME, load, Window(start_s=load.edges_s[0], end_s=load.edges_s[-1]))
    truth = {
        "schema": 1,
        "simulated_board": board.name,
        "idle_w": board.kind.idle_w,
        "memory_j_per_byte": board.kind.constants.memory_j_per_byte,
        "mac_j": dict(board.kind.constants.mac_j),
        "recorder": {"offset_s": recorder.offset_s, "drift_ppm": recorder.drift_ppm, "noise_w": recorder.noise_w},
        "trials": {
            trial.trial.id: _true_j(board, load, trial.window) for trial in facts.trials if trial.window is not None
        },
    }
    (run_dir / TRUTH_NAME).write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")


def _true_j(board: Board, load: Load, window: Window) -> dict[str, float]:
    """By what is read: `board`, and each rail."""
    whole_j, idle_j = load.window_j(window), board.kind.idle_w * window.duration_s
    parts = {rail: share.idle * idle_j + share.busy * (whole_j - idle_j) for rail, share in board.kind.rails.items()}
    return {"board": whole_j, **parts}


def read_truth(run_dir: Path) -> dict[str, Any]:
    """Raises InputError where the run was not on a simulated board."""
    path = run_dir / TRUTH_NAME
    try:
        truth: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the truth of a simulated board cannot be read: {error}", where=path) from error
    return truth
