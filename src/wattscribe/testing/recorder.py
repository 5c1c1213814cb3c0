"""A recorder that a run never had: writes the CSV that an external meter would have written of it, of known energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wattscribe.records import Marks, RunFacts, Window
from wattscribe.testing.loads import Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """An external meter with a clock of its own: `own = (monotonic - offset_s) · (1 + drift)`."""

    offset_s: float = 12345.0
    drift_ppm: float = 50.0
    """How much faster its clock runs."""
    rate_hz: float = 1000.0
    noise_w: float = 0.1
    header: str = "time_s,power_w"
    seed: int = 0

    def samples(self, load: Load, span: Window) -> tuple[np.ndarray, np.ndarray]:
        """Its own times and what it measures: means over its sampling interval, exact but for noise."""
        count = int(span.duration_s * self.rate_hz)
        ours = span.start_s + np.arange(count + 1) / self.rate_hz
        edges = np.concatenate(([ours[0]], [e for e in load.edges_s if ours[0] < e < ours[-1]], [ours[-1]]))
        powers = load.powers_between(edges)
        joules = np.interp(ours, edges, np.concatenate(([0.0], np.cumsum(np.diff(edges) * powers))))
        noise = np.random.default_rng(self.seed).normal(0.0, self.noise_w, count)
        middles = (ours[:-1] + ours[1:]) / 2
        return (middles - self.offset_s) * (1 + 1e-6 * self.drift_ppm), np.diff(joules) * self.rate_hz + noise

    def write(self, path: Path, load: Load, span: Window) -> Path:
        """The recording as CSV."""
        times, powers = self.samples(load, span)
        lines = [f"{t:.6f},{p:.5f}" for t, p in zip(times, powers, strict=True)]
        path.write_text("\n".join([self.header, *lines, ""]), encoding="utf-8")
        return path


def load_of(
    facts: RunFacts, *, idle_w: float = 5.0, mark_w: float = 8.0, trial_w: Sequence[float] = (6.5, 12.0, 7.2)
) -> Load:
    """What a board draws during a run: `mark_w` in each pulse, one of `trial_w` in each trial's window, idle else."""
    pulses = [(pulse, mark_w) for marks in facts.marks for group in marks.groups for pulse in group]
    windows = [trial.window for trial in facts.trials if trial.window is not None]
    busy = [*pulses, *((window, trial_w[i % len(trial_w)]) for i, window in enumerate(windows))]
    busy.sort(key=lambda load: load[0].start_s)
    powers, edges = [idle_w], []
    for window, power_w in busy:
        edges += [window.start_s, window.end_s]
        powers += [power_w, idle_w]
    return Load(powers_w=tuple(powers), edges_s=tuple(edges))


def span_of(facts: RunFacts, lead_s: float = 3.0) -> Window:
    """From before the first mark or trial to after the last."""
    pulses = [pulse for marks in facts.marks for group in marks.groups for pulse in group]
    windows = [
        span
        for trial in facts.trials
        for span in (trial.idle_before, trial.window, trial.idle_after)
        if span is not None
    ]
    both = [*pulses, *windows]
    return Window(start_s=min(w.start_s for w in both) - lead_s, end_s=max(w.end_s for w in both) + lead_s)


def mirrored_marks(facts: RunFacts, unit_s: float = 1.0) -> Marks:
    """The marks that bench would have made around a made-up run."""
    span = span_of(facts, lead_s=1.0)
    lengths = (2.0, 1.0, 1.0, 2.0, 1.0)
    first = span.start_s - unit_s * sum(lengths)
    return Marks(
        id=0,
        boot_id="made up",
        groups=(_pulses(first, lengths, unit_s), _pulses(span.end_s, lengths[::-1], unit_s)),
    )


def _pulses(start_s: float, lengths: Sequence[float], unit_s: float) -> tuple[Window, ...]:
    edges = start_s + unit_s * np.concatenate(([0.0], np.cumsum(lengths)))
    return tuple(Window(start_s=float(edges[i]), end_s=float(edges[i + 1])) for i in range(0, len(lengths), 2))
