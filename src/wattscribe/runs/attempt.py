"""One attempt at one trial: the runner's side, from the idle baseline before to the one after.

An attempt ends `done`, `failed` with a reason that counts as the trial's own (the recognizer raised, hung or took all the
memory), or `killed` from outside, which says nothing about the recognizer: then the trial is tried again, whole.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal

from wattscribe.errors import exit_in_words
from wattscribe.journal import Journal
from wattscribe.metering.memory import descendants_peak_bytes
from wattscribe.records import Counts, Trial, TrialFacts, UtteranceResult, Window, to_json
from wattscribe.runs.power import Power
from wattscribe.runs.process import WorkerGoneError, WorkerProcess, last_line
from wattscribe.runs.protocol import Answered, Begin, Done, Failed, Go, Hello, Job, Loaded, Message, Place, Warm, Whole
from wattscribe.runs.spool import Piece, Spool

SIGKILL_STATUS = -signal.SIGKILL
BY_SOMEBODY = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT})
"""Exit statuses of a worker that others ended: they say nothing about its recognizer."""
TICK_S = 0.25
STATED_FOR_S = 30.0
"""Seconds of audio for which the limit of an utterance is stated, Whisper's window; longer audio gets more in proportion."""
UTTERANCE_OPTION = "--timeout (timeout_s)"
LOAD_OPTION = "--load-timeout (load_timeout_s)"
WRITE_INTERVAL_S = 1.0
"""Results and power samples go to the journal in transactions this far apart, so that writing costs next to nothing."""

Verdict = Literal["done", "failed", "killed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker may take."""

    load_s: float
    utterance_s: float
    """For audio of up to STATED_FOR_S."""
    memory_bytes: int | None
    warmup: int

    def transcribing_s(self, pieces: Iterable[Piece]) -> float:
        """For these utterances together."""
        return self.utterance_s * sum(max(1.0, piece.audio_s / STATED_FOR_S) for piece in pieces)


@dataclass(slots=True, kw_only=True)
class Attempt:
    """State of one attempt while it runs; `run` is its whole life."""

    trial: Trial
    spool: Spool
    number: int
    journal: Journal
    power: Power
    limits: Limits
    log: Path
    transcribed: Callable[[float], None] = lambda _seconds: None
    """Told the seconds of audio of each utterance that is through."""
    answered: int = 0
    """Utterances that got an answer."""
    counts: Counts = field(default_factory=Counts)
    """Of all their answers."""
    facts: TrialFacts = field(init=False)
    _pieces: Mapping[str, Piece] = field(init=False)
    _longest_s: float = field(init=False)
    """What the longest utterance may take: asked for after each one, so worked out once."""
    _phase: str = "starting"
    _patience_s: float = 0.0
    _deadline_s: float = 0.0
    _option: str = LOAD_OPTION
    """What sets the limit of the present phase."""
    _batch: Begin | None = None
    _pending: list[UtteranceResult] = field(default_factory=list)
    _written: int = 0
    _last_write_s: float = 0.0
    _first_start_s: float | None = None
    _last_end_s: float = 0.0
    _done: Done | None = None
    _whole: dict[str, str] = field(default_factory=dict)
    _children_bytes: int = 0
    """Most that the worker's children were seen to hold; those that end with their utterance are seen here alone."""

    def __post_init__(self) -> None:
        self.facts = TrialFacts(trial=self.trial, status="running")
        self._pieces = {piece.utterance.id: piece for piece in self.spool.pieces}
        self._longest_s = max((self.limits.transcribing_s([piece]) for piece in self.spool.pieces), default=0.0)

    def run(self) -> Verdict:
        """Cool down, idle, work, idle; leaves `facts` complete and every row but the verdict in the journal."""
        idle_before, cooldown = self.power.cool_down()
        with self.log.open("ab") as log:
            log.write(f"--- trial {self.trial.id} attempt {self.number}\n".encode())
            log.flush()
            verdict = self._work(log, log.tell())
        idle_after = None
        if verdict == "done":
            self.power.settle()
            idle_after = self.power.rest()
        self._write()
        around = {**(self.facts.surroundings or {}), "attempt": self.number, "cooldown": to_json(cooldown)}
        if errors := self.power.errors():
            around["sensor_errors"] = errors
        self.facts = replace(self.facts, idle_before=idle_before, idle_after=idle_after, surroundings=around)
        return verdict

    def _work(self, log: BinaryIO, log_start: int) -> Verdict:
        worker = WorkerProcess(log, self.trial.recognizer.threads)
        try:
            return self._converse(worker)
        except WorkerGoneError:
            return self._died(worker, log_start)
        except ValueError as error:
            return self._fail(f"the worker said what it must not: {error}")
        finally:
            worker.end(kill=self._done is None)

    def _converse(self, worker: WorkerProcess) -> Verdict:
        worker.send(self._job())
        self._enter("loading", self.limits.load_s)
        while True:
            message = worker.receive(min(TICK_S, max(0.0, self._deadline_s - time.monotonic())))
            self._children_bytes = max(self._children_bytes, descendants_peak_bytes(worker.pid))
            if isinstance(message, Done):
                self._finish(message)
                return "done"
            if isinstance(message, Failed):
                prefix = "out of memory " if message.out_of_memory else "raised "
                return self._fail(f"{prefix}while {self._where()}: {message.reason}")
            if message is not None:
                self._take(message, worker)
            elif time.monotonic() >= self._deadline_s:
                waited = f"no answer for {self._patience_s:g} s while {self._where()}{self._how_much()}: killed"
                return self._fail(f"{waited}. Where it needs longer, raise {self._option}")
            self._write(at_most_every_s=WRITE_INTERVAL_S)

    def _job(self) -> Job:
        return Job(
            trial=self.trial,
            spool=str(self.spool.path.resolve()),
            pieces=tuple(
                Place(id=piece.utterance.id, offset_bytes=piece.offset_bytes, samples=piece.samples)
                for piece in self.spool.pieces
            ),
            warmup=self.limits.warmup,
            memory_limit_bytes=self.limits.memory_bytes,
            quiet_s=self.power.memory_s,
        )

    def _take(self, message: Message, worker: WorkerProcess) -> None:
        if isinstance(message, Hello):
            self._enter("loading", self.limits.load_s)
        elif isinstance(message, Loaded):
            around = {**(self.facts.surroundings or {}), "batch_size": message.batch_size}
            self.facts = replace(self.facts, load_s=message.load_s, surroundings=around)
            first = self.spool.pieces[: self.limits.warmup * message.batch_size]
            self._enter("warming up", self.limits.load_s + self.limits.transcribing_s(first))
        elif isinstance(message, Warm):
            self.facts = replace(self.facts, warmup_s=message.warmup_s)
            self.power.settle()
            worker.send(Go())
            self._enter("starting", self.limits.load_s)
        elif isinstance(message, Begin):
            self._batch = message
            pieces = [self._pieces[utterance_id] for utterance_id in message.ids]
            spoken_s = 0.0 if self.trial.duty is None else sum(piece.audio_s for piece in pieces)
            self._enter("transcribing", spoken_s + self.limits.transcribing_s(pieces), UTTERANCE_OPTION)
        elif isinstance(message, Answered):
            self._answered(message)
            self._enter("finishing", self.limits.load_s + self._pause_s(message))
        elif isinstance(message, Whole):
            self._whole[message.id] = message.text
            self._enter("transcribing whole files after the window", self.limits.load_s + self._longest_s)
        else:
            raise ValueError(f"{type(message).__name__} was not due")

    def _pause_s(self, message: Answered) -> float:
        """Where speech arrives in real time: until the next one begins, or the first whole file behind the last is through."""
        if self.trial.duty is None:
            return 0.0
        audio_s = sum(self._pieces[answer.id].audio_s for answer in message.answers)
        return audio_s * (1 / self.trial.duty - 1) + self._longest_s

    def _enter(self, phase: str, patience_s: float, option: str = LOAD_OPTION) -> None:
        self._phase, self._patience_s, self._option = phase, patience_s, option
        self._deadline_s = time.monotonic() + patience_s

    def _where(self) -> str:
        """What the worker was at, for a reason."""
        return f"transcribing {', '.join(self._batch.ids)}" if self._batch is not None else self._phase

    def _how_much(self) -> str:
        """The audio in hand, which its limit depends on."""
        batch_s = (
            sum(self._pieces[utterance_id].audio_s for utterance_id in self._batch.ids)
            if self._batch is not None
            else 0.0
        )
        return f" ({batch_s:.3g} s of audio)" if batch_s else ""

    def _answered(self, message: Answered) -> None:
        self._batch = None
        self.answered += len(message.answers)
        for answer in message.answers:
            piece = self._pieces[answer.id]
            result = UtteranceResult(
                id=answer.id,
                speaker=piece.utterance.speaker,
                reference=piece.utterance.reference,
                hypothesis=answer.text,
                audio_s=piece.audio_s,
                position=piece.position,
                start_s=message.start_s,
                end_s=message.end_s,
                counts=answer.counts,
                latency=answer.latency,
                language=answer.language,
                paced=answer.paced,
                cpu_s=message.cpu_s / len(message.answers),
            )
            self.counts += answer.counts or Counts()
            self._keep(result)

    def _keep(self, result: UtteranceResult) -> None:
        self._pending.append(result)
        self._first_start_s = result.start_s if self._first_start_s is None else self._first_start_s
        self._last_end_s = result.end_s
        self.transcribed(result.audio_s)

    def _finish(self, done: Done) -> None:
        self._done = done
        around = dict(self.facts.surroundings or {})
        if done.whole_failed is not None:
            around["whole_files_failed"] = done.whole_failed
        self.facts = replace(
            self.facts,
            whole_texts=self._whole if self._whole and done.whole_failed is None else None,
            surroundings=around,
            status="done",
            window=Window(start_s=done.start_s, end_s=done.end_s),
            cpu_s=done.cpu_s,
            peak_memory_bytes=None
            if done.peak_memory_bytes is None
            else done.peak_memory_bytes + max(done.children_peak_bytes, self._children_bytes),
            gpu_memory_bytes=done.gpu_memory_bytes,
            audit=done.audit,
            starved_s=done.starved_s,
        )

    def _fail(self, reason: str) -> Verdict:
        """The trial's own end: utterances in flight get the reason, those before keep their answers."""
        now_s = time.monotonic()
        for identity in self._batch.ids if self._batch is not None else ():
            piece = self._pieces[identity]
            self._keep(
                UtteranceResult(
                    id=identity,
                    speaker=piece.utterance.speaker,
                    reference=piece.utterance.reference,
                    hypothesis=None,
                    audio_s=piece.audio_s,
                    position=piece.position,
                    start_s=self._batch.start_s if self._batch is not None else now_s,
                    end_s=now_s,
                    error=reason,
                )
            )
        window = None
        if self._first_start_s is not None:
            window = Window(start_s=self._first_start_s, end_s=self._last_end_s)
        self.facts = replace(self.facts, status="failed", reason=reason, window=window)
        return "failed"

    def _died(self, worker: WorkerProcess, log_start: int) -> Verdict:
        """The pipe ended without a last word: a crash, or a kill for memory, or a kill by somebody."""
        status = worker.end(kill=False)
        if status in BY_SOMEBODY and not (status == SIGKILL_STATUS and worker.killed_for_memory()):
            why = "memory ran out, or somebody killed it" if status == SIGKILL_STATUS else "somebody ended it"
            self._fail(f"killed by {signal.Signals(-status).name} while {self._where()}: {why}")
            return "killed"
        last = last_line(self.log, log_start)
        why = "killed for memory" if status == SIGKILL_STATUS else f"ended with {exit_in_words(status)}"
        return self._fail(f"{why} while {self._where()}" + (f": {last}" if last else ""))

    def _write(self, *, at_most_every_s: float = 0.0) -> None:
        """Put what has gathered into the journal."""
        now_s = time.monotonic()
        if now_s - self._last_write_s < at_most_every_s:
            return
        self._last_write_s = now_s
        traces = [trace for trace in self.power.drain() if trace.t_s or trace.failed_t_s]
        if self._pending or traces:
            pending, self._pending = self._pending, []
            self.journal.append(
                self.trial.id, self.number, first_ordinal=self._written, utterances=pending, traces=traces
            )
            self._written += len(pending)
