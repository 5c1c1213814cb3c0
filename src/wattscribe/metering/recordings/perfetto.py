"""Power counters of an Android phone, from a Perfetto trace: the battery's current and voltage, and the rails' energy.

The trace is exported by Perfetto's trace_processor as a table of its counters (docs/meters.md has the query). What it writes: CSV
with every string in quotes, NULL as `"[NULL]"`, `ts` in ns of CLOCK_BOOTTIME (src/trace_processor/shell/csv_result_formatter.cc);
from Python's `as_pandas_dataframe()` JSON as well. Counters are called `batt.current_ua`, `batt.voltage_uv`, `batt.charge_uah`,
`batt.power_mw`, with the battery's name in between where it has one (`batt.BAT0.current_ua`), and `power.NAME_uws` or
`power.rails.NAME` for rails, in µW·s since boot (importers/proto/android_probes_parser.cc, its tests in diff_tests/parser/power).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.errors import InputError
from wattscribe.metering.recordings.perfetto_table import Counter, counters_of, number
from wattscribe.metering.recordings.recording import Recording
from wattscribe.metering.window.signal import Floats
from wattscribe.records import Processor
from wattscribe.text_files import read_bytes

METER = "Perfetto (Android)"
LARGEST_BYTES = 1 << 30
_BATTERY = re.compile(
    r"batt\.(?:(?P<name>.+?)\.)?(?P<what>charge_uah|capacity_pct|current_ua|current\.avg_ua|voltage_uv|power_mw)"
)
_RAIL = re.compile(r"power\.(?P<name>.+)")
_PROCESSORS: tuple[tuple[str, Processor], ...] = ((r"cpu", "cpu"), (r"gpu|g3d", "gpu"))
MAX_PHONE_W = 100.0
"""More than twice what the fastest charger of a phone gives its battery's cells while it is used (45 W)."""
MIN_PHONE_W = 0.02
"""A phone that runs a program: with its screen off it takes some 50 mW (100 to 300 h from 15 Wh)."""
AGREE = (0.5, 2.0)
"""Current and fall of charge may differ so much: gauges count charge in steps, over a short trace only a few."""
MIN_STEPS = 4
"""Steps of the charge below which its fall tells nothing."""
MILLI = 1e-3
VOLTAGE_AGREES = (0.8, 1.25)
OVER_BATTERY = 1.5
"""A rail lies behind the battery: it draws no more, but for the time between two reads of either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneRail:
    """`total`: the battery, which feeds the whole phone."""

    name: str
    covers: str
    total: bool
    processors: tuple[Processor, ...]
    recording: Recording
    failed_t_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneTrace:
    """All that a trace says of power. Rails lie behind the battery: none is added to another."""

    rails: tuple[PhoneRail, ...]
    notes: tuple[str, ...]

    @property
    def first(self) -> PhoneRail:
        """The battery, else the rail that draws most."""
        return next(
            (rail for rail in self.rails if rail.total), max(self.rails, key=lambda rail: rail.recording.mean_w)
        )


def read(path: Path, *, voltage: float | None = None, current_unit: str | None = None) -> PhoneTrace:
    """`voltage` in V where the trace has none; `current_unit` (uA, mA) where the phone counts otherwise than in µA.

    Raises InputError where there is no power, where units contradict each other, and where the battery was being charged.
    """
    try:
        text = read_bytes(path, largest=LARGEST_BYTES).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"cannot read the trace: {error.strerror}", where=path) from None
    counters, skipped = counters_of(text, path)
    notes: list[str] = []
    names = sorted({match["name"] or "" for name in counters if (match := _BATTERY.fullmatch(name))})
    rails = [
        _Battery(counters, name, path, voltage, current_unit, notes, skipped).rail(alone=len(names) == 1)
        for name in names
    ]
    found = [rail for rail in rails if rail is not None]
    battery_w = next((rail.recording.mean_w for rail in found if rail.total), None)
    for name, counter in counters.items():
        if (match := _RAIL.fullmatch(name)) and (rail := _rail(match["name"], counter, path, battery_w, skipped)):
            found.append(rail)
    if not found:
        raise InputError(
            f"the trace has no power in it; its counters: {', '.join(sorted(counters)[:8]) or 'none'}",
            where=path,
            fix="Record with data source android.power (battery_poll_ms 250, current, voltage, charge; collect_power_rails)",
        )
    if len(names) > 1:
        notes.append(f"{len(names)} batteries: each is a part of what the device takes")
    return PhoneTrace(rails=tuple(found), notes=tuple(notes))


# --- the battery ------------------------------------------------------------------------------------------------------
class _Battery:
    """One battery's counters, whose units are checked against each other."""

    def __init__(
        self,
        counters: Mapping[str, Counter],
        name: str,
        path: Path,
        voltage: float | None,
        current_unit: str | None,
        notes: list[str],
        skipped: int,
    ) -> None:
        prefix = f"batt.{name}." if name else "batt."
        self._of = {key.removeprefix(prefix): counter for key, counter in counters.items() if key.startswith(prefix)}
        self.name, self._path, self._notes, self._skipped = name or "battery", path, notes, skipped
        self._voltage, self._current_unit = voltage, current_unit

    def rail(self, *, alone: bool) -> PhoneRail | None:
        """None where there is neither a current nor a power."""
        drained_a = self._drained_a()
        made = self._of_current(drained_a) or self._of_power(drained_a)
        if made is None:
            return None
        t_s, power_w, columns, failed_s = made
        self._refuse_impossible(float(np.mean(power_w)))
        covers = "whole phone from its battery" if alone else f"what battery {self.name} gives"
        recording = Recording(
            name=self._path.stem, t_s=t_s, power_w=power_w, skipped_lines=self._skipped, meter=METER, columns=columns
        )
        return PhoneRail(
            name=self.name,
            covers=f"{covers} ({columns['power']})",
            total=alone,
            processors=(),
            recording=recording,
            failed_t_s=failed_s,
        )

    def _drained_a(self) -> float | None:
        """Mean current by the charge's fall; None where it fell by too few steps. Raises InputError where it rose."""
        if "charge_uah" not in self._of:
            return None
        t_s, charge_uah = self._of["charge_uah"]
        steps = np.abs(np.diff(charge_uah))
        steps = steps[steps > 0]
        if len(t_s) < 2 or steps.size == 0:
            return None
        fall_uah = float(charge_uah[0] - charge_uah[-1])
        if abs(fall_uah) < MIN_STEPS * float(steps.min()):
            return None
        if fall_uah < 0:
            raise InputError(
                "the battery was charged while this was recorded, so what the phone took is not known",
                where=self._path,
                fix="Unplug it, or stop charging by USB; attach its rails alone by exporting power.* without batt.*",
            )
        return fall_uah * 1e-6 * 3600.0 / float(t_s[-1] - t_s[0])

    def _of_current(self, drained_a: float | None) -> tuple[Floats, Floats, dict[str, str], Floats] | None:
        what = next((key for key in ("current_ua", "current.avg_ua") if key in self._of), None)
        if what is None:
            return None
        t_s, current = self._of[what]
        volts, volts_from = self._volts(t_s)
        if volts is None:
            if "power_mw" in self._of:
                return None
            raise InputError(
                f"the trace has the battery's {what} and no voltage",
                where=self._path,
                fix="Record BATTERY_COUNTER_VOLTAGE as well, or say it: `voltage` VOLTS",
            )
        away = np.sign(np.median(current)) or 1.0
        drawn = current * away
        keep = drawn >= 0
        if not keep.all():
            self._notes.append(f"{int((~keep).sum())} reads with the current's sign turned (charging) are left out")
        scale = self._current_scale(float(np.mean(drawn[keep])), drained_a)
        power_w = drawn * scale * volts
        self._check_power(t_s, power_w)
        unit = "mA" if scale == MILLI else "µA"
        return t_s[keep], power_w[keep], {"time": "ts", "power": f"{what} in {unit} × {volts_from}"}, t_s[~keep]

    def _volts(self, t_s: Floats) -> tuple[Floats | None, str]:
        if self._voltage is not None:
            return np.full(len(t_s), self._voltage), f"{self._voltage:g} V as stated"
        if "voltage_uv" not in self._of:
            return None, ""
        at_s, value = self._of["voltage_uv"]
        for factor, unit in ((1e-6, "µV"), (1e-3, "mV")):
            if 2.0 <= float(np.median(value)) * factor <= 80.0:
                return np.interp(t_s, at_s, value * factor), f"voltage_uv{'' if unit == 'µV' else ' in mV'}"
        raise InputError(
            f"a voltage of {float(np.median(value)):g} µV is no battery's",
            where=self._path,
            fix="Say it: `voltage` VOLTS",
        )

    def _current_scale(self, mean: float, drained_a: float | None) -> float:
        """What makes amperes of it: µA as Android documents; mA where only that fits the fall of the charge."""
        stated = {"ua": 1e-6, "µa": 1e-6, "μa": 1e-6, "ma": MILLI}.get((self._current_unit or "").casefold())
        if self._current_unit is not None:
            if stated is None:
                raise InputError(f"{self._current_unit!r} is no unit of the battery's current", fix="Give uA or mA")
            return stated
        if drained_a is None:
            self._notes.append(
                "the charge fell by too few steps, or is not there: the current's unit is µA by its name alone"
            )
            return 1e-6
        for scale in (1e-6, MILLI):
            if AGREE[0] <= mean * scale / drained_a <= AGREE[1]:
                if scale == MILLI:
                    self._notes.append("the current is in mA, whatever its name says: so the fall of the charge has it")
                return scale
        raise InputError(
            f"the battery's current is {mean * 1e-6:.4g} A by its counter and {drained_a:.4g} A by the fall of its charge",
            where=self._path,
            fix="Say the current's unit: `units` current=mA (or uA)",
        )

    def _check_power(self, t_s: Floats, power_w: Floats) -> None:
        """Perfetto's own product, where it is there: `batt.power_mw`, whole mW, without a sign."""
        if "power_mw" not in self._of or self._voltage is not None:
            return
        at_s, shown_mw = self._of["power_mw"]
        shown_w = float(np.mean(np.interp(t_s, at_s, shown_mw))) * 1e-3
        own_w = float(np.mean(np.abs(power_w)))
        if shown_w > 0 and not VOLTAGE_AGREES[0] <= own_w / shown_w <= VOLTAGE_AGREES[1]:
            self._notes.append(
                f"its power_mw says {shown_w:.4g} W and voltage × current {own_w:.4g} W: the second is taken"
            )

    def _of_power(self, drained_a: float | None) -> tuple[Floats, Floats, dict[str, str], Floats] | None:
        """Without a current: the product that Perfetto made. Its sign is lost: only the charge tells that it was a discharge."""
        if "power_mw" not in self._of:
            return None
        t_s, shown_mw = self._of["power_mw"]
        if drained_a is None:
            self._notes.append("nothing tells whether the battery was charged meanwhile: power_mw has no sign")
        return t_s, shown_mw * 1e-3, {"time": "ts", "power": "power_mw"}, np.empty(0)

    def _refuse_impossible(self, mean_w: float) -> None:
        if not MIN_PHONE_W <= mean_w <= MAX_PHONE_W:
            raise InputError(
                f"{mean_w:.3g} W is no power of a running phone: is the current in another unit than its name says?",
                where=self._path,
                fix="Say it: `units` current=mA (or uA)",
            )


# --- the rails --------------------------------------------------------------------------------------------------------
def _rail(name: str, counter: Counter, path: Path, battery_w: float | None, skipped: int) -> PhoneRail | None:
    """A counter in µW·s as means between its updates; None where it never moved."""
    t_s, energy_j = counter[0], counter[1] * 1e-6
    moved = np.concatenate(([True], np.diff(energy_j) != 0))
    t_s, energy_j = t_s[moved], energy_j[moved]
    if len(t_s) < 3:
        return None
    steps_j = np.diff(energy_j)
    power_w = np.append(np.nan, np.where(steps_j < 0, np.nan, steps_j / np.diff(t_s)))
    if not np.isfinite(power_w).any():
        return None
    label = name.removeprefix("rails.").removesuffix("_uws")
    recording = Recording(
        name=path.stem, t_s=t_s, power_w=power_w, skipped_lines=skipped, interval_means=True, meter=METER,
        columns={"time": "ts", "energy": f"power.{name}"}, units={"energy": "µW·s"},
    )  # fmt: skip
    most_w = MAX_PHONE_W if battery_w is None else OVER_BATTERY * battery_w
    if recording.mean_w > most_w:
        than = "a phone takes" if battery_w is None else f"its battery gives ({battery_w:.4g} W)"
        raise InputError(
            f"rail {label} draws {recording.mean_w:.4g} W by its counter, more than {than}: its unit is not µW·s, or the "
            "battery's current is not in its own",
            where=path,
        )
    processors = tuple(kind for pattern, kind in _PROCESSORS if re.search(pattern, label, re.IGNORECASE))
    return PhoneRail(
        name=label,
        covers=f"rail {label} (behind the battery)",
        total=False,
        processors=processors,
        recording=recording,
        failed_t_s=np.empty(0),
    )


def as_volts(voltage: object) -> float | None:
    """A stated voltage. Raises InputError for what is no number: one that was recorded lies in the trace."""
    if voltage is None:
        return None
    volts = number(voltage) or 0.0
    if volts <= 0:
        raise InputError(f"`voltage` must be a number of volts above 0, not {voltage}")
    return volts


def facts(path: Path, trace: PhoneTrace) -> dict[str, Any]:
    """For `meters --recording`, as for a tegrastats log."""
    first = trace.first.recording
    return {
        "file": str(path),
        **first.facts(),
        "mean_of": f"{trace.first.name}, {trace.first.covers}",
        "rails": [rail.name for rail in trace.rails],
        "notes": list(trace.notes),
    }
