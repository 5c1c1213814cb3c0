"""NVIDIA's tegrastats, live or as a recorded log: rails read by name, whatever stands in the columns around them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import InputError, MeterError
from wattscribe.meters import rails
from wattscribe.meters.base import Channel, Clock, Probe
from wattscribe.meters.host import Host, Lines
from wattscribe.records import PowerTrace
from wattscribe.units import w_from_mw

NAME = "tegrastats"
INTERVAL_S = 0.1
"""Asked of a live tegrastats; its own default is 1 s."""
FIRST_LINE_TIMEOUT_S = 3.0
STALE_INTERVALS = 5.0
"""A last line older than this many intervals is a failed read."""
STEP_W = 0.001
"""The print's step; the sensor's own is not in the line."""

# `VDD_IN 5139mW/4971mW`, `POM_5V_IN 900/943`, `VDD_IN 5765mW`, and three values in newer releases. A bare single number
# (`APE 150`), memory (`RAM 613/3964MB`), loads (`EMC_FREQ 0%`) and temperatures (`GPU@41C`) do not match.
_RAIL = re.compile(
    r"(?:^|\s)([A-Z][A-Z0-9_]*) (?:(-?\d+)mW(?:/-?\d+mW){0,2}|(-?\d+)(?:/-?\d+){1,2})(?=\s|$)",
)
_CPU = re.compile(r"CPU \[([^\]]*)\]")
_GPU = re.compile(r"GR3D_FREQ (\d+)%")
_RAM = re.compile(r"(?:^|\s)RAM (\d+)/\d+MB")
_TEMPERATURE = re.compile(r"(?:^|\s)([A-Za-z][A-Za-z0-9_]*)@(-?\d+(?:\.\d+)?)C(?=\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TegrastatsLine:
    """One line, by name. Cores that are off have load None."""

    rails_w: Mapping[str, float]
    """Instant power: the first value of each rail."""
    cpu_loads: tuple[float | None, ...]
    gpu_load: float | None
    ram_bytes: int | None
    temperatures_c: Mapping[str, float]


def parse_line(line: str) -> TegrastatsLine:
    """Any generation's line, with or without date, `mW`, clocks and averages; what a line lacks is None or empty."""
    cpu, gpu, ram = _CPU.search(line), _GPU.search(line), _RAM.search(line)
    cores = cpu.group(1).split(",") if cpu else []
    return TegrastatsLine(
        rails_w={match[0]: w_from_mw(float(match[1] or match[2])) for match in _RAIL.findall(line)},
        cpu_loads=tuple(None if "%" not in core else float(core.split("%")[0]) / 100 for core in cores),
        gpu_load=float(gpu.group(1)) / 100 if gpu else None,
        ram_bytes=int(ram.group(1)) * 1024**2 if ram else None,
        temperatures_c={name: float(value) for name, value in _TEMPERATURE.findall(line)},
    )


def read_log(path: Path, *, interval_s: float, start_s: float = 0.0) -> list[PowerTrace]:
    """A log written with `tegrastats --interval … --logfile`, as one trace per rail.

    The lines carry no time finer than a second: the k-th is taken at `start_s + k · interval_s` on the monotonic clock; a
    line without a rail that others have is a failed read of it. Raises InputError where no line has a rail.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the tegrastats log: {error.strerror}", where=path) from None
    if not interval_s > 0:
        raise InputError(f"the log's interval must be above 0 s, not {interval_s}", where=path)
    return traces_of(lines, interval_s=interval_s, start_s=start_s, where=str(path))


def traces_of(lines: Iterable[str], *, interval_s: float, start_s: float, where: str = NAME) -> list[PowerTrace]:
    """Lines at a steady interval → one trace per rail."""
    parsed = [parse_line(line).rails_w for line in lines if line.strip()]
    names = list(dict.fromkeys(name for line in parsed for name in line))
    if not names:
        raise InputError(
            "no line has a power rail",
            where=where,
            fix="Record it with: sudo tegrastats --interval 100 --logfile FILE (some rails are shown to root only)",
        )
    times = [start_s + index * interval_s for index in range(len(parsed))]
    traces = []
    for name in names:
        good = [(t, line[name]) for t, line in zip(times, parsed, strict=True) if name in line]
        traces.append(
            PowerTrace(
                channel=f"{NAME}.{name}",
                covers=rails.describe(name).covers,
                total=rails.describe(name).total,
                update_interval_s=interval_s,
                evidence="measured",
                t_s=tuple(t for t, _ in good),
                power_w=tuple(power for _, power in good),
                resolution_w=STEP_W,
                averaging_s=None,  # A line is printed as it is read: nothing to correct.
                failed_t_s=tuple(t for t, line in zip(times, parsed, strict=True) if name not in line),
            )
        )
    return traces


class TegrastatsMeter:
    """A running tegrastats; a thread keeps its last line, `read` gives W from it and None where it is too old."""

    name = NAME

    def __init__(self, lines: Lines, clock: Clock, interval_s: float = INTERVAL_S) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._lines = lines
        self._lock = threading.Lock()
        self._last: tuple[float, Mapping[str, float]] | None = None
        self._ended = False
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="wattscribe-tegrastats", daemon=True)
        self._thread.start()
        self._first.wait(FIRST_LINE_TIMEOUT_S)
        with self._lock:
            self._names: list[str] = list(self._last[1]) if self._last is not None else []
        if not self._names:
            self.close()
            raise MeterError("tegrastats prints no power rail; some are shown to root only", where=NAME)

    def channels(self) -> Sequence[Channel]:
        return [
            Channel(
                name=name,
                covers=rails.describe(name).covers,
                kind="power",
                total=rails.describe(name).total,
                update_interval_s=self._interval_s,
                resolution=STEP_W,
                averaging_s=0.0,
            )
            for name in self._names
        ]

    def read(self) -> Sequence[float | None]:
        with self._lock:
            last, ended = self._last, self._ended
        if last is None or (ended and self._is_stale(last[0])):
            raise MeterError("tegrastats has ended", where=NAME)
        if self._is_stale(last[0]):
            return [None] * len(self._names)
        return [last[1].get(name) for name in self._names]

    def close(self) -> None:
        self._lines.close()
        self._thread.join(timeout=2.0)

    def _is_stale(self, t_s: float) -> bool:
        return self._clock.now_s() - t_s > STALE_INTERVALS * self._interval_s

    def _follow(self) -> None:
        for line in self._lines:
            rails_w = parse_line(line).rails_w
            if rails_w:
                with self._lock:
                    self._last = (self._clock.now_s(), rails_w)
                self._first.set()
        with self._lock:
            self._ended = True
        self._first.set()


def probe(host: Host) -> Probe:
    """Start tegrastats for one line."""
    try:
        meter = open_meter(host)
    except MeterError as error:
        installed = error.what != "this program is not installed"
        if not installed:
            return Probe(meter=NAME, available=False, reason="tegrastats is not installed (Jetson only)")
        return Probe(meter=NAME, available=False, reason=str(error), fix="run as root: sudo wattscribe meters")
    try:
        channels = tuple(meter.channels())
    finally:
        meter.close()
    names = [channel.name for channel in channels]
    words = [f"{len(names)} rails: {', '.join(names)}", "opened only where the sensors themselves cannot be read"]
    if note := rails.without_total(names):
        words.append(note)
    return Probe(meter=NAME, available=True, reason="; ".join(words), channels=channels)


def open_meter(host: Host) -> TegrastatsMeter:
    """Raises MeterError where tegrastats is missing or prints no rail."""
    lines = host.commands.stream([NAME, "--interval", str(round(INTERVAL_S * 1e3))])
    return TegrastatsMeter(lines, host.clock)
