"""Does a new run cost more than its base? Energy, time and memory, each with the spread from run to run.

One run is one draw: the same model measured again on the same machine gives another figure, and how far it lies off is seen
only where a run repeats itself. A cost is judged where a limit was asked for, and only from repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from wattscribe.records import Interval, Reading, TrialFacts
from wattscribe.results.cost import STARVED_SHARE, busy_s, latency_s, percentiles
from wattscribe.results.findings import Entry
from wattscribe.results.gates import Gates
from wattscribe.results.relative import energy_ratio
from wattscribe.results.words import plural
from wattscribe.scoring.bounds import POWER
from wattscribe.student import Z95, student_t
from wattscribe.units import S_PER_H

Quantity = Literal["energy", "real-time factor", "latency", "memory", "GPU memory"]

RUN_SPREAD: dict[Quantity, float] = {
    "energy": 0.01,
    "real-time factor": 0.01,
    "latency": 0.01,
    "memory": 0.005,
    "GPU memory": 0.005,
}
"""Standard deviation between runs, as a fraction, that the repeats of one run do not show: other temperatures, another layout of
the memory. What six runs of three repeats showed beyond their repeats (docs/scoring.md): 1.1 % of the time without waiting (2.2 %
of the processor time), 0.5 % of the memory. More on a machine whose load changes from run to run."""
LATENCY_PERCENTILE = 90.0
Z95_ONE_SIDED = 1.644854
MANY_REPEATS = 30
"""More are not proposed: whatever spreads so much is worth removing first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostChange:
    """One cost of one recognizer, base against new; None where a run has no figure."""

    quantity: Quantity
    unit: Literal["J", "J/h", "", "s", "B"]
    """Of `base` and `new`: the means over the repeats of one pass over the corpus; J/h: of an hour of listening."""
    base: float | None = None
    new: float | None = None
    covers: str | None = None
    """Of an energy: its evidence and what it covers, the same on both sides."""
    increase_percent: float | None = None
    increase_ci95_percent: Interval | None = None
    increase_upper95_percent: float | None = None
    """One-sided. Both are None where nothing shows the spread from run to run."""
    repeat_spread_percent: float | None = None
    """Standard deviation between repeats of one run, pooled over both runs."""
    method: str | None = None
    limit_percent: float | None = None
    """None: reported, not judged."""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run measured of one cost: a value per repeat, and the sensor's own standard error as a fraction of them."""

    values: tuple[float, ...]
    sensor_error: float = 0.0

    @property
    def mean(self) -> float | None:
        return sum(self.values) / len(self.values) if self.values else None


def cost_changes(
    base: Entry, new: Entry, gates: Gates, *, counted: bool, measured: bool = True, seed: int = 0
) -> tuple[CostChange, ...]:
    """Energy, real-time factor, latency and memory; GPU memory where both runs have it.

    `counted`: energies are modelled on a device from counted work, which is the same whenever it is counted; no repeats are
    needed then. `measured` False: leave out what was measured, time and memory.
    """
    limits = limits_percent(gates)
    changes = [_counted_energy(base, new, seed) if counted else _energy(base, new)]
    changes += [
        change_of(CostChange(quantity=quantity, unit=unit), _per_trial(base, read), _per_trial(new, read))
        for quantity, unit, read in _TRIAL_COSTS
        if measured
    ]
    if changes[-1].quantity == "GPU memory" and changes[-1].base is None and changes[-1].new is None:
        changes.pop()  # a machine without a GPU has no such cost
    busy = _busy(base, new)
    return tuple(_judged(change, limits[change.quantity], busy) for change in changes)


def limits_percent(gates: Gates) -> dict[Quantity, float | None]:
    """The limit of each cost; None: not asked for."""
    return {
        "energy": gates.max_energy_increase_percent,
        "real-time factor": gates.max_rtf_increase_percent,
        "latency": gates.max_latency_increase_percent,
        "memory": gates.max_memory_increase_percent,
        "GPU memory": gates.max_memory_increase_percent,
    }


# --- what was measured -----------------------------------------------------------------------------------------------
def _energy(base: Entry, new: Entry) -> CostChange:
    """Joules of what both runs cover alike: the one place that knows which energy of a row compares."""
    one, other = base.energy, new.energy
    empty = CostChange(quantity="energy", unit="J", base=one.energy_j, new=other.energy_j)
    if one.energy_j is None or other.energy_j is None:
        why = other.reason or one.reason or "no figure"
        return replace(empty, method=f"energy cannot be compared: {why}")
    if one.kind != other.kind:
        kinds = " against ".join(f"{energy.evidence} ({energy.covers or 'nothing'})" for energy in (one, other))
        return replace(empty, method=f"energy figures of different evidence or coverage are not compared: {kinds}")
    listening = base.row.duty is not None and new.row.duty is not None
    figures = [
        Figures(
            values=tuple(_joules(reading, listening) for reading in energy.readings if reading.energy_j is not None),
            sensor_error=0.0 if energy.evidence == "modelled" else _sensor_error(energy.readings),
        )
        for energy in (one, other)
    ]
    covers = f"{one.evidence}, {one.covers}"
    return change_of(replace(empty, unit="J/h" if listening else "J", covers=covers), *figures)


def _joules(reading: Reading, listening: bool) -> float:
    """Of one pass, or of an hour where both runs listened in real time."""
    energy_j = reading.energy_j or 0.0
    return S_PER_H * energy_j / reading.window_s if listening and reading.window_s > 0 else energy_j


def _sensor_error(readings: Sequence[Reading]) -> float:
    """Root mean square of the readings' own standard errors, as fractions; a common gain error would cancel: careful."""
    parts = []
    for reading in readings:
        value, interval = reading.energy_j, reading.energy_ci95_j
        if value and interval:
            parts.append(max(value - interval[0], interval[1] - value) / Z95 / value)
    return math.sqrt(sum(part**2 for part in parts) / len(parts)) if parts else 0.0


def _counted_energy(base: Entry, new: Entry, seed: int) -> CostChange:
    """Modelled from counted work: only other speech would change the ratio, so utterances are resampled in pairs."""
    change = _energy(base, new)
    ratio = energy_ratio(base.energy, new.energy, seed=seed)
    if ratio is None or ratio.ci95 is None:
        return change
    error = math.log(ratio.ci95[1] / ratio.value) / Z95
    return _with_error(change, ratio.value, Z95 * error, Z95_ONE_SIDED * error, ratio.method)


def _rtf(trial: TrialFacts) -> float | None:
    """Without the time in which it was ready and other programs had the cores: their load is no property of a model.

    On a busy machine this takes the spread between runs of one model from 30 % to 1 % (docs/scoring.md). The waiting of several
    threads is taken as shared evenly.
    """
    audio_s = sum(utterance.audio_s for utterance in trial.utterances)
    waited_s = (trial.starved_s or 0.0) / trial.trial.recognizer.threads
    return max(0.0, busy_s(trial) - waited_s) / audio_s if audio_s > 0 else None


def _latency_s(trial: TrialFacts) -> float | None:
    answered = [latency_s(utterance) for utterance in trial.utterances if utterance.error is None]
    return percentiles(answered, LATENCY_PERCENTILE)[0]


_TRIAL_COSTS: tuple[
    tuple[Quantity, Literal["", "s", "B"], Callable[[TrialFacts], float | None]], ...
] = (
    ("real-time factor", "", _rtf),
    ("latency", "s", _latency_s),
    ("memory", "B", lambda trial: trial.peak_memory_bytes),
    ("GPU memory", "B", lambda trial: trial.gpu_memory_bytes),
)  # fmt: skip


def _per_trial(entry: Entry, read: Callable[[TrialFacts], float | None]) -> Figures:
    return Figures(values=tuple(value for trial in entry.group.done if (value := read(trial)) is not None))


# --- how far it can be off -------------------------------------------------------------------------------------------
def change_of(empty: CostChange, base: Figures, new: Figures) -> CostChange:
    """The increase with its interval from the repeats of both, on the logarithm; without an interval where none repeats."""
    there = replace(empty, base=base.mean, new=new.mean)
    if base.mean is None or new.mean is None:
        return replace(there, method=f"{empty.quantity} cannot be compared: a run has no figure")
    if min(*base.values, *new.values) <= 0:
        return replace(there, method=f"{empty.quantity} cannot be compared: a figure is zero or negative")
    ratio = new.mean / base.mean
    spread, degrees = repeat_spread(base.values, new.values)
    if spread is None:
        why = "one repeat in each run: nothing shows the spread from run to run"
        return replace(there, increase_percent=100 * (ratio - 1), method=why)
    there = replace(there, repeat_spread_percent=100 * spread)
    of_repeats = spread * math.sqrt(1 / len(base.values) + 1 / len(new.values))
    constant = math.hypot(math.sqrt(2) * RUN_SPREAD[empty.quantity], base.sensor_error, new.sensor_error)
    two_sided = math.hypot(student_t(degrees, 0.975) * of_repeats, Z95 * constant)
    one_sided = math.hypot(student_t(degrees, 0.95) * of_repeats, Z95_ONE_SIDED * constant)
    method = (
        f"log ratio of {plural(len(base.values), 'repeat')} against {len(new.values)}: {100 * spread:.1f} % between repeats, "
        f"{100 * RUN_SPREAD[empty.quantity]:g} % between runs"
    )
    return _with_error(there, ratio, two_sided, one_sided, method)


def repeat_spread(base: Sequence[float], new: Sequence[float]) -> tuple[float | None, int]:
    """Standard deviation between the repeats of a run, on the logarithm and pooled over both, and its degrees of freedom."""
    degrees = len(base) + len(new) - 2
    if degrees < 1:
        return None, 0
    squares = 0.0
    for values in (base, new):
        logs = [math.log(value) for value in values]
        squares += sum((log - sum(logs) / len(logs)) ** 2 for log in logs)
    return math.sqrt(squares / degrees), degrees


def _with_error(there: CostChange, ratio: float, two_sided: float, one_sided: float, method: str) -> CostChange:
    """`two_sided` and `one_sided` are half-widths at 95 % on the logarithm."""
    return replace(
        there,
        increase_percent=100 * (ratio - 1),
        increase_ci95_percent=(100 * (ratio * math.exp(-two_sided) - 1), 100 * (ratio * math.exp(two_sided) - 1)),
        increase_upper95_percent=100 * (ratio * math.exp(one_sided) - 1),
        method=method,
    )


def repeats_to_show(limit_percent: float, quantity: Quantity, spread: float) -> int | None:
    """Repeats in each run that show, with POWER, that equal runs stay within a limit; None: no number of them does."""
    normal = NormalDist()
    needed = math.log1p(limit_percent / 100) / (normal.inv_cdf(0.95) + normal.inv_cdf(POWER))
    left = needed**2 - 2 * RUN_SPREAD[quantity] ** 2
    return max(2, math.ceil(2 * spread**2 / left)) if left > 0 else None


# --- the verdict -----------------------------------------------------------------------------------------------------
def _judged(change: CostChange, limit: float | None, busy: str) -> CostChange:
    """Reasons to refuse where a limit was asked for; where none was, a note when there is no figure to report."""
    if limit is None:
        missing = change.quantity == "energy" and change.increase_percent is None
        return replace(change, notes=(change.method or "no figure",) if missing else ())
    reason = _reason(change, limit)
    if change.quantity == "latency" and busy:
        reason = "latency is not judged"
    return replace(change, limit_percent=limit, reasons=(f"{reason}{busy}",) if reason else ())


def _reason(change: CostChange, limit: float) -> str | None:
    """Why it is not shown to rise by less than the limit; None: it is."""
    name, rise, upper = change.quantity, change.increase_percent, change.increase_upper95_percent
    if rise is None:
        return change.method or f"{name} cannot be compared"
    if upper is None:
        return f"{name} is not judged ({rise:+.1f} %): {change.method}; bench both with --repeats 3 or more"
    if upper <= limit + 1e-9:
        return None
    figures = f"{rise:+.1f} %, with 95 % confidence below {upper:+.1f} %"
    if rise > limit:
        return f"{name} rises by more than {limit:+.1f} %: {figures}"
    return f"{name} is not shown to rise by less than {limit:+.1f} %: {figures}; {_advice(change, limit)}"


def _advice(change: CostChange, limit: float) -> str:
    """What would show it."""
    if change.repeat_spread_percent is None:
        return "more speech would tell"
    count = repeats_to_show(limit, change.quantity, change.repeat_spread_percent / 100)
    if count is None:
        return f"two runs differ by chance too much for that ({100 * RUN_SPREAD[change.quantity]:g} % each): raise the limit"
    if count > MANY_REPEATS:
        return f"repeats differ by {change.repeat_spread_percent:.0f} %: measure on an idle machine, or raise the limit"
    return f"it takes about {count} repeats in each run"


def _busy(base: Entry, new: Entry) -> str:
    """Said beside a refusal when other programs took the cores: what one utterance waited is not known apart."""
    shares = {name: entry.row.starved_share or 0.0 for name, entry in (("base", base), ("new", new))}
    causes = [
        f"the {name} run waited for a core {share:.0%} of its time"
        for name, share in shares.items()
        if share > STARVED_SHARE
    ]
    return f" ({', '.join(causes)}: measure on an idle machine)" if causes else ""
