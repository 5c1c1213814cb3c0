"""The whole run: plan, prepare the speech, then trial after trial into the journal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wattscribe.errors import InputError, WattscribeError
from wattscribe.journal import FILE_NAME, LOCK_NAME, Journal, read_run
from wattscribe.journal_file import DRAFT_NAME
from wattscribe.lock import link_in_the_way
from wattscribe.metering import Clock, Host, Meter, MonotonicClock, open_meters
from wattscribe.metering import machine as machines
from wattscribe.metering.processes import Bystanders
from wattscribe.records import Board, Counts, Marks, Trial, TrialFacts, to_json
from wattscribe.runs import marks as marking
from wattscribe.runs.attempt import Attempt, Limits, Verdict
from wattscribe.runs.beginning import LOG_NAME, SPOOL_DIRECTORY, among, begin, go_on, or_put_back, record
from wattscribe.runs.experiment import Experiment, check
from wattscribe.runs.ground import Ground
from wattscribe.runs.power import Power
from wattscribe.runs.power_modes import ModeError, Session, held, recover
from wattscribe.runs.preparation import Prepared, name_of, prepare_all
from wattscribe.runs.previous import DIRECTORY as PREVIOUS_DIRECTORY
from wattscribe.runs.previous import Previous
from wattscribe.runs.progress import Silent, Watcher
from wattscribe.runs.spool import Key, Spool, discard, key_of
from wattscribe.terminal import say

MAX_KILLS = 3
"""A trial whose worker is killed from outside this often is given up: most likely its memory does not suffice."""


def run(
    experiment: Experiment,
    out_dir: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    retry_failed: bool = False,
    meters: Sequence[Meter] | None = None,
    clock: Clock | None = None,
    watcher: Watcher | None = None,
    host: Host | None = None,
    only: Collection[str] | None = None,
    bystanders: Collection[int] = (),
    board: Board | None = None,
) -> Path:
    """Measure every trial that has no verdict yet and return the run directory.

    `retry_failed`, with `resume`: failed trials have none; what they recorded stays as an earlier attempt and never counts.
    `only`: of these trials alone, by id; the others stay as they are. `bystanders`: processes that share the machine for a
    reason of ours, a scheduler's worker: what they take during each trial is kept with it. `board`: of a fleet.
    `meters` None: every sensor of `host` (None: this machine) that can be read. Raises InputError for an experiment that
    cannot be, for a directory that holds a run (unless `resume` or `overwrite`) and for a resumed run whose experiment or
    speech has changed; whatever lay in the directory is then untouched.
    """
    out_dir = Path(out_dir)
    _check(out_dir, resume=resume, overwrite=overwrite, retry_failed=retry_failed)
    host = host or Host.of_root(Path("/"))
    watcher = watcher or Silent()
    recover(host, say)
    wanted = [entry.mode() for entry in experiment.modes]
    with _opened(meters, host, experiment.meters) as opened, held(host, wanted, say) as modes:
        power = _power(opened, experiment, host, clock or MonotonicClock())
        if resume:
            journal, spools = go_on(experiment, out_dir, host, watcher, retry_failed=retry_failed, only=only)
        else:
            journal, spools = begin(experiment, out_dir, host, watcher, overwrite=overwrite, only=only)
        with or_put_back(out_dir, spools) as previous:
            try:
                if board is not None:
                    journal.note("board", to_json(board))
                for spool in spools.values():
                    record(journal, spool)
                if retry_failed:
                    journal.set_aside_failed()
                trials = among(journal.unfinished(), only)
                prepared = _keep_ready(experiment, trials, spools, out_dir, watcher)
                power.start()
                marks = _next_marks(experiment, journal)
                ground = Ground.of(out_dir, trials)
                _Run(
                    experiment, journal, spools, power, watcher, out_dir, host, marks, prepared, previous, ground, modes,
                    bystanders,
                ).all_trials(trials)  # fmt: skip
            finally:
                power.stop()
                discard(out_dir / SPOOL_DIRECTORY)
                journal.close()
    return out_dir


def _power(meters: Sequence[Meter], experiment: Experiment, host: Host, clock: Clock) -> Power:
    return Power.of(
        meters,
        clock=clock,
        rate_hz=experiment.sample_rate_hz,
        evidence=None if host.simulated is None else "simulated",
        idle_s=experiment.idle_s,
        limit_s=experiment.cooldown_limit_s,
        band=experiment.cooldown_band,
        recorded_elsewhere=experiment.mark,
    )


def _check(out_dir: Path, *, resume: bool, overwrite: bool, retry_failed: bool) -> None:
    """Before anything is touched. Raises InputError for wishes that exclude each other and for links in the way."""
    if resume and overwrite:
        raise InputError("`resume` and `overwrite` exclude each other", where=out_dir, fix="Choose one")
    if retry_failed and not resume:
        raise InputError("`retry_failed` is only for resuming a run", where=out_dir, fix="Add `resume`")
    _refuse_links(out_dir)


def _refuse_links(out_dir: Path) -> None:
    """Raises InputError where a file of the run would be written through a symbolic link, which may lead to anything.

    Not for the page: nothing writes it through a link, and what is in its way costs no measurement.
    """
    own = (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", LOCK_NAME, DRAFT_NAME, LOG_NAME)
    for name in (*own, SPOOL_DIRECTORY, PREVIOUS_DIRECTORY):
        if (path := out_dir / name).is_symlink():
            raise link_in_the_way(path)


def recorded_experiment(out_dir: Path) -> Experiment:
    """The experiment with which a run began, for `--resume` without one."""
    return check(read_run(out_dir).experiment, where=out_dir)


@dataclass(frozen=True, slots=True)
class _Run:
    experiment: Experiment
    journal: Journal
    spools: Mapping[Key, Spool]
    power: Power
    watcher: Watcher
    out_dir: Path
    host: Host
    marks: Marks | None
    prepared: Prepared
    previous: Previous
    ground: Ground
    modes: Session
    bystanders: Collection[int]

    def all_trials(self, trials: Sequence[Trial]) -> None:
        """Raises WattscribeError where something that the run needs is removed meanwhile."""
        try:
            self._all_trials(trials)
        except (OSError, WattscribeError):
            self.ground.check_folder()  # the reason behind whatever could not be written
            raise

    def _all_trials(self, unfinished: Sequence[Trial]) -> None:
        self.watcher.planned(sum(self.spools[key_of(trial)].audio_s for trial in unfinished), len(unfinished))
        if self.marks is None or not unfinished:
            self._measure(unfinished)
            return
        unit_s = self.experiment.mark_unit_s
        marks = replace(self.marks, groups=(marking.before(unit_s),))
        self.journal.mark(marks)
        self._measure(unfinished)
        self.journal.mark(replace(marks, groups=(*marks.groups, marking.after(unit_s))))

    def _measure(self, unfinished: Sequence[Trial]) -> None:
        for trial in unfinished:
            self.watcher.started(trial)
            facts = self._one_trial(trial)
            left_out_s = 0.0 if facts.status == "done" else self.spools[key_of(trial)].audio_s
            self.watcher.ended(trial, facts.status, facts.reason, left_out_s)

    def _one_trial(self, trial: Trial) -> TrialFacts:
        """Attempts until there is a verdict."""
        spool = self.spools[key_of(trial)]
        if not spool.pieces:
            return self._give_up(trial, f"there is no usable utterance among {len(spool.rejected)}")
        try:
            self._set_machine(trial)
        except ModeError as error:
            return self._give_up(trial, str(error))
        for kills in range(1, MAX_KILLS + 1):
            self.ground.check(spool, trial.recognizer.model)
            attempt = self._attempt(trial, spool)
            taken = Bystanders(self.bystanders)
            verdict = attempt.run()
            self._check_verdict(verdict, trial, spool)
            if attempt.answered:
                self.previous.forget()
            self._note_first_idle(trial)
            around = {**(attempt.facts.surroundings or {}), "after": _state(self.host), "kills": kills - 1}
            around |= {"bystanders": taken.so_far()} if self.bystanders else {}
            workload, note = _workload(trial, attempt.counts)
            around |= {"workload": note} if note is not None else {}
            facts = replace(attempt.facts, surroundings=around, workload=workload)
            if verdict == "done" and trial.mode is not None and (read := self.modes.differs(trial.mode)) is not None:
                why = f"the power mode {trial.mode.name} did not hold until the end: {read}"
                facts = replace(facts, status="failed", reason=why)
            if verdict == "killed" and kills < MAX_KILLS:
                self.journal.interrupt(attempt.number, facts)
                continue
            self.journal.finish(attempt.number, facts)
            return facts
        raise RuntimeError("unreachable: the last attempt always has a verdict")

    def _set_machine(self, trial: Trial) -> None:
        """Into the trial's power mode, each of which has an idle baseline of its own. Raises ModeError where it does not hold."""
        changed = self.modes.enter(trial.mode)
        self.power.first_idle_w = self.journal.noted(_baseline(trial)) or {}
        if changed and not self.power.first_idle_w:
            self.power.await_steady()

    def _check_verdict(self, verdict: Verdict, trial: Trial, spool: Spool) -> None:
        """A failure for want of what was removed is none: the attempt stays open, which `--resume` reads as interrupted."""
        if verdict == "failed":
            self.ground.check(spool, trial.recognizer.model)
        self.ground.check_folder()

    def _attempt(self, trial: Trial, spool: Spool) -> Attempt:
        self.power.forget()
        attempt = Attempt(
            trial=trial,
            spool=spool,
            number=self.journal.begin(trial.id),
            journal=self.journal,
            power=self.power,
            limits=Limits(
                load_s=self.experiment.load_timeout_s,
                utterance_s=trial.utterance_timeout_s,
                memory_bytes=self.experiment.memory_limit_bytes,
                warmup=self.experiment.warmup,
            ),
            log=self.out_dir / LOG_NAME,
            transcribed=self.watcher.transcribed,
        )
        around: dict[str, Any] = {"before": _state(self.host)}
        if earlier := self.journal.earlier_failures(trial.id):
            around["earlier_failures"] = earlier
        prepare_s = self.prepared.get(name_of(trial.recognizer))
        attempt.facts = replace(
            attempt.facts,
            surroundings=around,
            prepare_s=prepare_s,
            marks=None if self.marks is None else self.marks.id,
        )
        return attempt

    def _give_up(self, trial: Trial, reason: str) -> TrialFacts:
        facts = TrialFacts(trial=trial, status="failed", reason=reason)
        self.journal.finish(self.journal.begin(trial.id), facts)
        return facts

    def _note_first_idle(self, trial: Trial) -> None:
        if self.power.first_idle_w and self.journal.noted(_baseline(trial)) is None:
            self.journal.note(_baseline(trial), self.power.first_idle_w)


def _baseline(trial: Trial) -> str:
    """The note that holds the first idle baseline of the run, or of the trial's power mode."""
    return "first_idle_w" if trial.mode is None else f"first_idle_w {trial.mode.name}"


@contextlib.contextmanager
def _opened(meters: Sequence[Meter] | None, host: Host, stated: Sequence[str]) -> Iterator[Sequence[Meter]]:
    """The meters handed in, which stay open, or all of the host's and the stated ones, closed in the end."""
    if meters is not None:
        yield meters
        return
    own = open_meters(host=host, stated=stated)
    try:
        yield own
    finally:
        for meter in own:
            meter.close()


def _next_marks(experiment: Experiment, journal: Journal) -> Marks | None:
    """The marks of this stretch of the run, their pulses still to come; None where none are asked for."""
    if not experiment.mark:
        return None
    before = journal.noted("marks") or ()
    return Marks(id=len(before), boot_id=marking.boot_id())


def _keep_ready(
    experiment: Experiment,
    trials: Sequence[Trial],
    spools: Mapping[Key, Spool],
    out_dir: Path,
    watcher: Watcher,
) -> Prepared:
    """What recognizers keep on disk for later starts is made now, so that no trial pays for it."""
    with_speech = [trial for trial in trials if spools[key_of(trial)].pieces]
    return prepare_all(with_speech, spools, log=out_dir / LOG_NAME, limit_s=experiment.load_timeout_s, watcher=watcher)


def _state(host: Host) -> dict[str, Any]:
    """Clocks, governor, temperatures and the load that others put on the machine."""
    return {**machines.state(host), "load_1min": os.getloadavg()[0]}


def _workload(trial: Trial, counts: Counts) -> tuple[Mapping[str, Any] | None, str | None]:
    """What one invocation costs of an exported model, counted from its files at windows as they were heard; or None with the
    reason."""
    spec = trial.recognizer
    if spec.runtime != "onnx":
        return None, None
    from wattscribe.energy.windows import as_heard

    try:
        workload = as_heard(Path(spec.model).expanduser(), spec.precision, counts.frames, counts.encoder_rows)
        if draft := spec.options.get("draft"):
            precision = spec.options.get("draft_precision")
            theirs = as_heard(Path(draft).expanduser(), precision, counts.draft_frames, counts.draft_windows)
            workload = workload.with_draft(theirs)
        return workload.to_json(), None
    except WattscribeError as error:
        return None, str(error)
