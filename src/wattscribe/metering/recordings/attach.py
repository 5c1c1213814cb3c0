"""Put an external recording beside a run's trials: read it, align its clock, store the samples in the run's journal."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from wattscribe import as_file
from wattscribe.errors import InputError, MeterError
from wattscribe.journal import Journal, read_run
from wattscribe.metering import window
from wattscribe.metering.recordings.align import Alignment, by_correlation
from wattscribe.metering.recordings.marks import by_marks, possible_error_s
from wattscribe.metering.recordings.perfetto import PhoneRail, PhoneTrace
from wattscribe.metering.recordings.recording import NAME, Recording
from wattscribe.metering.sensors import tegrastats_log
from wattscribe.metering.window import signal
from wattscribe.metering.window.signal import Floats
from wattscribe.records import AttachedRecording, Marks, PowerTrace, Processor, RunFacts, TrialFacts, Window

MAX_ERROR_S = 0.05
"""A clock that may be further off than this, and than one sample of the recorder, is refused unless the user allows more."""
PAD_S = 1.0
"""Kept on both sides of a trial, so that the edges of its idle windows have neighbours."""

By = Literal["edges", "correlation"]


MOST_SAMPLES = 1 << 19
"""Kept of a trial and rail; of more, neighbours are joined to means of the same energy: 7 ms in a trial of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """What one channel showed, on the recorder's clock."""

    about: PowerTrace
    """Its name in the run, what it covers: a trace without samples."""
    recording: Recording
    failed_t_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file's rails; the clock is aligned by `recording`, which is one of theirs."""

    name: str
    """The run keeps one recording of each name; attached again, it is replaced."""
    path: Path
    recording: Recording
    rails: tuple[Rail, ...]


def of_recording(
    path: Path,
    recording: Recording,
    *,
    covers: str,
    total: bool = True,
    processors: tuple[Processor, ...] = (),
    name: str | None = None,
) -> Source:
    """One meter's file, already read. `total` False: it measured a part only, which feeds these `processors`."""
    about = PowerTrace(
        channel=f"{NAME}.{name or recording.name}",
        covers=covers,
        total=total,
        update_interval_s=recording.spacing_s,
        evidence="measured",
        t_s=(),
        power_w=(),
        processors=processors,
        origin="attached",
        meter=NAME,
    )
    rail = Rail(about=about, recording=recording, failed_t_s=np.empty(0))
    return Source(name=name or recording.name, path=path, recording=recording, rails=(rail,))


def of_phone(path: Path, trace: PhoneTrace, *, name: str | None = None) -> Source:
    """Counters of an Android phone: its battery, which is the whole of it, and rails behind that."""
    rails = [_phone_rail(rail, f"{NAME}.{name or path.stem}.{rail.name}") for rail in trace.rails]
    return Source(name=name or path.stem, path=path, recording=trace.first.recording, rails=tuple(rails))


def _phone_rail(rail: PhoneRail, channel: str) -> Rail:
    about = PowerTrace(
        channel=channel,
        covers=rail.covers,
        total=rail.total,
        update_interval_s=rail.recording.spacing_s,
        evidence="measured",
        t_s=(),
        power_w=(),
        processors=rail.processors,
        origin="attached",
        meter=NAME,
    )
    return Rail(about=about, recording=rail.recording, failed_t_s=rail.failed_t_s)


def of_tegrastats(path: Path, *, interval_s: float | None = None, name: str | None = None) -> Source:
    """A log that tegrastats wrote; its rails keep what they cover. `interval_s` counts only where its lines have no stamps."""
    log = tegrastats_log.read(path, interval_s=interval_s)
    traces, first = log.traces, log.first
    prefix = f"{NAME}.{name or path.stem}"
    rails = [_rail_of(trace, f"{prefix}.{trace.channel.partition('.')[2]}", path.stem) for trace in traces]
    aligned = next(rail.recording for rail, trace in zip(rails, traces, strict=True) if trace is first)
    return Source(name=name or path.stem, path=path, recording=aligned, rails=tuple(rails))


def _rail_of(trace: PowerTrace, channel: str, name: str) -> Rail:
    return Rail(
        about=replace(trace, channel=channel, origin="attached", t_s=(), power_w=(), failed_t_s=()),
        recording=Recording(
            name=name,
            t_s=np.asarray(trace.t_s),
            power_w=np.asarray(trace.power_w),
            skipped_lines=len(trace.failed_t_s),
            interval_means=trace.interval_means,
        ),
        failed_t_s=np.asarray(trace.failed_t_s, dtype=np.float64),
    )


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
        raise InputError(f"`max_error_s` must be a number of seconds above 0, not {max_error_s}")
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
            fix="Record both marks and faster, keep the machine quiet while it marks, or allow more: `max_error_s` SECONDS",
        )
    if facts.machine.get("simulated_board") is not None:  # a recorder of a board that is played is played as well
        source = replace(
            source, rails=tuple(replace(r, about=replace(r.about, evidence="simulated")) for r in source.rails)
        )
    samples = _Samples(source.rails, {trial.trial.id: trial for trial in covered}, alignment)
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
            fix="Measure with: wattscribe bench --mark …, or align against a rail of its own: `by` correlation",
        )
    aligned: list[tuple[Marks, Alignment]] = []
    errors: list[MeterError] = []
    for marks in facts.marks:
        try:
            aligned.append((marks, by_marks(recording, marks.groups)))
        except MeterError as error:
            errors.append(error)
    if not aligned:
        raise errors[-1]
    marks, alignment = max(aligned, key=lambda pair: (pair[1].points, -pair[1].residual_s))
    same_clock = {stretch.id for stretch in facts.marks if stretch.boot_id == marks.boot_id}
    return alignment, [trial for trial in trials if trial.marks in same_clock]


def _own_rail(trials: Sequence[TrialFacts], run_dir: Path) -> PowerTrace:
    """What this machine measured itself, over all trials."""
    own = [trace for trial in trials for trace in trial.traces if trace.origin == "sensor"]
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
    windows = [span for span in (trial.idle_before, trial.window, trial.idle_after) if span is not None]
    return Window(start_s=windows[0].start_s - PAD_S, end_s=windows[-1].end_s + PAD_S)


class _Samples(Mapping[str, "list[PowerTrace]"]):
    """Of each trial's id its rails' samples, made when they are asked for: a trial at a time fits into memory."""

    def __init__(self, rails: Sequence[Rail], trials: Mapping[str, TrialFacts], alignment: Alignment) -> None:
        self._rails, self._trials, self._alignment = rails, trials, alignment

    def __getitem__(self, trial_id: str) -> list[PowerTrace]:
        return [_part(rail, self._trials[trial_id], self._alignment) for rail in self._rails]

    def __iter__(self) -> Iterator[str]:
        return iter(self._trials)

    def __len__(self) -> int:
        return len(self._trials)


def _part(rail: Rail, trial: TrialFacts, alignment: Alignment) -> PowerTrace:
    """A trial's samples on the run's clock."""
    span = _span(trial)
    own_s = (np.array([span.start_s, span.end_s]) - alignment.offset_s) / alignment.rate
    first, last = (int(place) for place in np.searchsorted(rail.recording.t_s, own_s))
    t_s, power_w = rail.recording.part(first, last, MOST_SAMPLES)
    failed = rail.failed_t_s[(rail.failed_t_s >= own_s[0]) & (rail.failed_t_s <= own_s[1])]
    return replace(
        rail.about,
        t_s=tuple(alignment.to_clock(t_s).tolist()),
        power_w=tuple(power_w.tolist()),
        failed_t_s=tuple(alignment.to_clock(failed).tolist()),
        interval_means=rail.recording.interval_means,
        update_interval_s=rail.about.update_interval_s * alignment.rate,
        clock_error_s=possible_error_s(alignment, trial.window or span),
    )


def _record(source: Source, alignment: Alignment, *, covered: int, outside: int) -> AttachedRecording:
    channels = tuple(rail.about.channel for rail in source.rails)
    return AttachedRecording(
        name=source.name,
        file=source.path.name,
        sha256=sha256(source.path),
        covers="; ".join(rail.about.covers for rail in source.rails),
        channels=channels,
        samples=source.recording.samples,
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


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with as_file.open_bytes(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
