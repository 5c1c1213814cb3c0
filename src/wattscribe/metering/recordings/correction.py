"""What a rail leaves out, put right by one external recording: a Raspberry Pi 5's PMIC sees neither USB devices nor HATs nor the
losses of its input, but a meter in its cable does.

Board = offset + gain × rail, fitted to mean powers of the windows in which both were seen: each trial and its idle windows. In
another run of the same board, wired alike, the rail then gives the board's power; that is `calibrated`, never `measured`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from wattscribe.errors import InputError, MeterError
from wattscribe.journal import Journal, read_run
from wattscribe.metering.recordings.attach import sha256
from wattscribe.metering.recordings.recording import NAME
from wattscribe.metering.window import mean_power_w
from wattscribe.metering.window.signal import join
from wattscribe.records import AttachedRecording, PowerTrace, RunFacts, TrialFacts
from wattscribe.student import student_t
from wattscribe.text_files import read_toml

MIN_POINTS = 4
"""Two more than a line has constants."""
MIN_SPREAD = 0.2
"""The rail's power must differ by this share of its mean: else an offset and a gain cannot be told apart."""
GAINS = (0.95, 2.0)
"""A converter loses 5 to 20 %; below 1 but for both meters' gain errors, the cable's meter would see less than what it feeds."""
BEYOND = 0.5
"""Of the fitted range: a run whose power lies further outside is refused."""
BELOW = 0.02
"""By how much the board may seem to draw less than its rails together: two meters' gain errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """board W = `offset_w` + `gain` × rail W, with what its interval needs."""

    rail: str
    covers: str
    source: str
    offset_w: float
    gain: float
    residual_w: float
    """Standard deviation about the line."""
    points: int
    mean_w: float
    low_w: float
    high_w: float
    spread_w2: float
    """Sum of the squared distances from `mean_w`."""

    def board_w(self, rail_w: float) -> float:
        return self.offset_w + self.gain * rail_w

    def half_width_w(self, rail_w: float) -> float:
        """Of the 95 % interval of the line at this power."""
        away = 1 / self.points + (rail_w - self.mean_w) ** 2 / self.spread_w2
        return student_t(self.points - 2, 0.975) * self.residual_w * math.sqrt(away)

    @property
    def left_out_w(self) -> tuple[float, float]:
        """What the rail lacks, at the lowest and the highest power that were seen."""
        return self.board_w(self.low_w) - self.low_w, self.board_w(self.high_w) - self.high_w

    def to_toml(self) -> str:
        return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in asdict(self).items())


def read(path: Path) -> Correction:
    """Raises InputError for a file that is no correction."""
    values = read_toml(
        path, what="the correction", fix="wattscribe calibrate RUN --rail pmic.total --out FILE writes one"
    )
    wanted = {field.name: field.type for field in fields(Correction)}
    for name, kind in wanted.items():
        value = values.get(name)
        if (
            not isinstance(value, str)
            if kind == "str"
            else isinstance(value, bool) or not isinstance(value, (int, float))
        ):
            raise InputError(f"this is no correction: {name} is {value!r}", where=path)
    return Correction(**{name: values[name] for name in wanted})


# --- the fit ----------------------------------------------------------------------------------------------------------
def fit(run_dir: Path, rail: str) -> Correction:
    """From a run to which a recording of the whole board is attached. Raises InputError where it cannot tell."""
    facts = read_run(run_dir)
    pairs = [pair for trial in facts.trials for pair in _pairs(trial, rail)]
    if len(pairs) < MIN_POINTS:
        raise InputError(
            f"{len(pairs)} windows have both {rail} and a recording of the whole board, and {MIN_POINTS} are needed",
            where=run_dir,
            fix="Measure two trials or more with --mark and --idle 15, attach the recording, and name a rail of the run",
        )
    x, y = np.array([rail_w for rail_w, _ in pairs]), np.array([board_w for _, board_w in pairs])
    _refuse_unfit(x, y, rail, run_dir)
    spread = float(((x - x.mean()) ** 2).sum())
    gain = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    offset_w = float(y.mean()) - gain * float(x.mean())
    if not GAINS[0] <= gain <= GAINS[1]:
        raise InputError(
            f"the board's power grows by {gain:.3g} W for each W of {rail}, which no supply's losses explain",
            where=run_dir,
            fix="Is the recording that of this board's input, and is its clock aligned?",
        )
    residual_w = math.sqrt(float(((y - offset_w - gain * x) ** 2).sum()) / (len(x) - 2))
    return Correction(
        rail=rail,
        covers=_covers_of(facts),
        source=facts.name,
        offset_w=offset_w,
        gain=gain,
        residual_w=residual_w,
        points=len(x),
        mean_w=float(x.mean()),
        low_w=float(x.min()),
        high_w=float(x.max()),
        spread_w2=spread,
    )


def _refuse_unfit(x: np.ndarray, y: np.ndarray, rail: str, run_dir: Path) -> None:
    if float(x.max() - x.min()) < MIN_SPREAD * float(x.mean()):
        raise InputError(
            f"{rail} is between {x.min():.4g} and {x.max():.4g} W all the time: an offset and a gain cannot be told apart",
            where=run_dir,
            fix="Measure idle as well (--idle 15) and a recognizer that works the board hard",
        )
    if (y < (1 - BELOW) * x).any():
        raise InputError(
            f"the recording shows less than {rail} does ({float(y.min()):.4g} W beside {float(x.min()):.4g} W): it is not "
            "that of the board's input",
            where=run_dir,
        )


def _pairs(trial: TrialFacts, rail: str) -> Iterator[tuple[float, float]]:
    """Mean powers of both in the trial's window and its idle windows."""
    own = join(trace for trace in trial.traces if trace.origin == "sensor" and trace.channel == rail)
    board = _boards(trial.traces)
    if trial.status != "done" or not own or not board:
        return
    for window in (trial.idle_before, trial.window, trial.idle_after):
        if window is not None:
            try:
                yield mean_power_w(own[0], window), mean_power_w(board[0], window)
            except MeterError:  # too short for one of them
                continue


def _boards(traces: Sequence[PowerTrace]) -> list[PowerTrace]:
    return join(
        trace for trace in traces if trace.origin == "attached" and trace.total and trace.evidence != "calibrated"
    )


def _covers_of(facts: RunFacts) -> str:
    return next((board.covers for trial in facts.trials for board in _boards(trial.traces)), "whole board")


# --- in another run ---------------------------------------------------------------------------------------------------
def apply(run_dir: Path, path: Path) -> AttachedRecording:
    """Put the corrected rail beside every trial of a run that has it. Raises InputError where it does not fit the run."""
    correction = read(path)
    facts = read_run(run_dir)
    name = f"{correction.rail}-corrected"
    corrected = {
        trial.trial.id: [_corrected(trace, correction, name) for trace in rails]
        for trial in facts.trials
        if (
            rails := join(
                trace for trace in trial.traces if trace.origin == "sensor" and trace.channel == correction.rail
            )
        )
    }
    if not corrected:
        raise InputError(f"no trial of this run has {correction.rail}", where=run_dir)
    means_w = [_mean_w(trace) for traces in corrected.values() for trace in traces]
    rails_w = [(mean_w - correction.offset_w) / correction.gain for mean_w in means_w]
    reach_w = BEYOND * (correction.high_w - correction.low_w)
    if min(rails_w) < correction.low_w - reach_w or max(rails_w) > correction.high_w + reach_w:
        raise InputError(
            f"{correction.rail} is {min(rails_w):.4g} to {max(rails_w):.4g} W here, and the correction was fitted from "
            f"{correction.low_w:.4g} to {correction.high_w:.4g} W",
            where=run_dir,
        )
    record = AttachedRecording(
        name=name,
        file=path.name,
        sha256=sha256(path),
        covers=next(trace.covers for traces in corrected.values() for trace in traces),
        channels=(f"{NAME}.{name}",),
        samples=sum(len(trace.t_s) for traces in corrected.values() for trace in traces),
        skipped_lines=0,
        spacing_s=next(trace.update_interval_s for traces in corrected.values() for trace in traces),
        method="correction of a rail",
        offset_s=0.0,
        rate=1.0,
        drift_ppm=None,
        residual_s=0.0,
        trials=len(corrected),
        trials_outside=len(facts.trials) - len(corrected),
        gain_error=max(correction.half_width_w(rail_w) / correction.board_w(rail_w) for rail_w in rails_w),
    )
    with Journal.resume(run_dir) as journal:
        journal.attach(record, corrected)
    return record


def _mean_w(trace: PowerTrace) -> float:
    return float(np.nanmean(trace.power_w))


def _corrected(trace: PowerTrace, correction: Correction, name: str) -> PowerTrace:
    return replace(
        trace,
        channel=f"{NAME}.{name}",
        covers=f"{correction.covers}, from {correction.rail} by a correction fitted to {correction.source}",
        total=True,
        processors=(),
        evidence="calibrated" if trace.evidence == "measured" else trace.evidence,
        power_w=tuple(correction.board_w(power_w) for power_w in trace.power_w),
        resolution_w=None if trace.resolution_w is None else correction.gain * trace.resolution_w,
        origin="attached",
        meter=NAME,
    )
