"""Put an external recording beside a run's trials: read it, align its clock, store the samples in the run's journal."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from wattscribe.errors import InputError, MeterError
from wattscribe.journal import Journal, read_run
from wattscribe.meters import signal, tegrastats_log, window
from wattscribe.meters.align import Alignment, by_correlation
from wattscribe.meters.external import NAME, Recording
from wattscribe.meters.marks import by_marks, possible_error_s
from wattscribe.records import AttachedRecording, Marks, PowerTrace, RunFacts, TrialFacts, Window

MAX_ERROR_S = 0.05
"""A clock that may be further off than this, and than one sample of the recorder, is refused unless the user allows more."""
PAD_S = 1.0
"""Kept on both sides of a trial, so that the edges of its idle windows have neighbours."""

By = Literal["edges", "correlation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file's rails on the recorder's clock; the first is the one by which the clock is aligned."""

    name: str
    """The run keeps one recording of each name; attached again, it is replaced."""
    path: Path
    recording: Recording
    traces: tuple[PowerTrace, ...]
    """On the recorder's clock, under the names that they will have in the run."""


def of_recording(
    path: Path, recording: Recording, *, covers: str, total: bool = True, name: str | None = None
) -> Source:
    """One meter's CSV, already read."""
    unmoved = Alignment(offset_s=0.0, rate=1.0, residual_s=0.0, method="edges", points=1)
    trace = replace(recording, name=name or recording.name).trace(unmoved, covers=covers, total=total)
    return Source(name=name or recording.name, path=path, recording=recording, traces=(trace,))


def of_tegrastats(path: Path, *, interval_s: float | None = None, name: str | None = None) -> Source:
    """A log that tegrastats wrote; its rails keep what they cover. `interval_s` counts only where its lines have no stamps."""
    log = tegrastats_log.read(path, interval_s=interval_s)
    traces, first = log.traces, log.first
    recording = Recording(
        name=path.stem,
        t_s=np.asarray(first.t_s),
        power_w=np.asarray(first.power_w),
        skipped_lines=len(first.failed_t_s),
    )
    prefix = f"{NAME}.{name or path.stem}"
    named = [replace(each, channel=f"{prefix}.{each.channel.partition('.')[2]}") for each in traces]
    return Source(name=name or path.stem, path=path, recording=recording, traces=tuple(named))


def attach(
    run_dir: Path,
    source: Source,
    *,
    by: By = "edges",
    max_error_s: float | None = None,
    gain_error: float | None = None,
) -> AttachedRecording:
    """Store the source's samples with every trial that it covers, in place of what was attached under its name before.

    Each trial's samples carry how far their clock may be off (`clock_error_s`). `gain_error` is kept as it was stated.
    Raises InputError for a run without marks or without finished trials, MeterError where the recording does not fit the run
    or its clock may be off by more than `max_error_s` (None: MAX_ERROR_S or one sample, whichever is more).
    """
    if max_error_s is not None and not (math.isfinite(max_error_s) and max_error_s > 0):
        raise InputError(f"--max-error must be a number of seconds above 0, not {max_error_s}")
    facts = read_run(run_dir)
    trials = [trial for trial in facts.trials if trial.status in ("done", "failed") and trial.window is not None]
    if not trials:
        raise InputError("no trial of this run is finished", where=run_dir, fix="Finish it: wattscribe bench --resume")
    alignment, trials = _aligned(facts, trials, source.recording, by, run_dir)
    if not trials:
        raise InputError(
            "no finished trial was measured in the stretch of the run that these marks enclose", where=run_dir
        )
    limit_s = max(MAX_ERROR_S, source.recording.spacing_s) if max_error_s is None else max_error_s
    covered = [trial for trial in trials if _covers(source.recording, alignment, trial)]
    if not covered:
        raise MeterError(
            f"the recording covers none of the {len(trials)} trials",
            where=source.path,
            fix="Record from before the first trial to after the last",
        )
    worst_s = max(possible_error_s(alignment, trial.window) for trial in covered if trial.window is not None)
    if worst_s > limit_s:
        raise MeterError(
            f"the recording's clock may be off by {worst_s:.3g} s, and {limit_s:.3g} s are allowed",
            where=source.path,
            fix="Record both marks and faster, keep the machine quiet while it marks, or allow more: --max-error SECONDS",
        )
    moved = [_moved(trace, alignment) for trace in source.traces]
    samples = {trial.trial.id: [_part(trace, trial, alignment) for trace in moved] for trial in covered}
    record = _record(source, alignment, covered=len(covered), outside=len(trials) - len(covered))
    record = replace(record, gain_error=gain_error)
    with Journal.resume(run_dir) as journal:
        journal.attach(record, samples)
    return record


# --- the clock --------------------------------------------------------------------------------------------------------
def _aligned(
    facts: RunFacts, trials: Sequence[TrialFacts], recording: Recording, by: By, run_dir: Path
) -> tuple[Alignment, list[TrialFacts]]:
    """The alignment and the trials whose clock it is; a recording belongs to one stretch of the run."""
    if by == "correlation":
        return by_correlation(recording, _own_rail(trials, run_dir)), list(trials)
    if not facts.marks:
        raise InputError(
            "this run has no marks",
            where=run_dir,
            fix="Measure with: wattscribe bench --mark …, or align against a rail of its own: --by correlation",
        )
    found: list[tuple[Marks, Alignment]] = []
    errors: list[MeterError] = []
    for marks in facts.marks:
        try:
            found.append((marks, by_marks(recording, marks.groups)))
        except MeterError as error:
            errors.append(error)
    if not found:
        raise errors[-1]
    marks, alignment = max(found, key=lambda each: (each[1].points, -each[1].residual_s))
    same_clock = {each.id for each in facts.marks if each.boot_id == marks.boot_id}
    return alignment, [trial for trial in trials if (trial.surroundings or {}).get("marks") in same_clock]


def _own_rail(trials: Sequence[TrialFacts], run_dir: Path) -> PowerTrace:
    """What this machine measured itself, over all trials."""
    own = [trace for trial in trials for trace in trial.traces if not trace.channel.startswith(f"{NAME}.")]
    chosen = window.preferred(signal.join(own))
    if chosen is None:
        raise InputError(
            "this run has no power of its own to compare with",
            where=run_dir,
            fix="Measure with: wattscribe bench --mark …",
        )
    return chosen


# --- the samples ------------------------------------------------------------------------------------------------------
def _covers(recording: Recording, alignment: Alignment, trial: TrialFacts) -> bool:
    start_s, end_s = alignment.to_clock(recording.t_s[[0, -1]])
    return trial.window is not None and bool(start_s <= trial.window.start_s and trial.window.end_s <= end_s)


def _span(trial: TrialFacts) -> Window:
    """From idle to idle."""
    windows = [each for each in (trial.idle_before, trial.window, trial.idle_after) if each is not None]
    return Window(start_s=windows[0].start_s - PAD_S, end_s=windows[-1].end_s + PAD_S)


def _moved(trace: PowerTrace, alignment: Alignment) -> PowerTrace:
    return replace(
        trace,
        t_s=tuple(alignment.to_clock(np.asarray(trace.t_s)).tolist()),
        failed_t_s=tuple(alignment.to_clock(np.asarray(trace.failed_t_s, dtype=np.float64)).tolist()),
        update_interval_s=trace.update_interval_s * alignment.rate,
    )


def _part(trace: PowerTrace, trial: TrialFacts, alignment: Alignment) -> PowerTrace:
    span = _span(trial)
    first, last = (int(each) for each in np.searchsorted(trace.t_s, (span.start_s, span.end_s)))
    failed = tuple(t for t in trace.failed_t_s if span.start_s <= t <= span.end_s)
    return replace(
        trace,
        t_s=trace.t_s[first:last],
        power_w=trace.power_w[first:last],
        failed_t_s=failed,
        clock_error_s=possible_error_s(alignment, trial.window or span),
    )


def _record(source: Source, alignment: Alignment, *, covered: int, outside: int) -> AttachedRecording:
    channels = tuple(trace.channel for trace in source.traces)
    return AttachedRecording(
        name=source.name,
        file=source.path.name,
        sha256=hashlib.sha256(source.path.read_bytes()).hexdigest(),
        covers="; ".join(trace.covers for trace in source.traces),
        channels=channels,
        samples=len(source.recording.t_s),
        skipped_lines=source.recording.skipped_lines,
        spacing_s=source.recording.spacing_s,
        method=alignment.method,
        offset_s=alignment.offset_s,
        rate=alignment.rate,
        drift_ppm=alignment.drift_ppm,
        residual_s=alignment.residual_s,
        trials=covered,
        trials_outside=outside,
    )
