"""A run: its trials, what was recorded of each, and what is known of all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wattscribe.records.power import PowerTrace, Window
from wattscribe.records.recognizers import Counts, PrecisionAudit, RecognizerSpec, StreamingLatency
from wattscribe.records.speech import Condition, Rejected
from wattscribe.shown import Shown

TrialStatus = Literal["pending", "running", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeCommand:
    """A pair of programs that change the machine and change it back, with one that tells which of both holds."""

    set: tuple[str, ...]
    restore: tuple[str, ...]
    read: tuple[str, ...]
    expect: str
    """What `read` prints while the mode holds, blanks at its ends aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerMode:
    """How the machine is set while a trial runs."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """Values by the names of `runs.power_modes.knobs`."""
    command: ModeCommand | None = None
    threads: int | None = None
    """Of the recognizer, in place of those that the experiment gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some utterances of a corpus, evenly from all of it: those whose position, from 0, leaves one of these remainders."""

    of: int
    taken: tuple[int, ...]

    def holds(self, position: int) -> bool:
        return position % self.of in self.taken

    @property
    def name(self) -> str:
        """Unlike that of every part that shares no utterance with it."""
        more = f" and {len(self.taken) - 1} more" if len(self.taken) > 1 else ""
        return f"part {self.taken[0] + 1} of {self.of}{more}"

    @staticmethod
    def unnamed(speech: str) -> str:
        """The condition in what `Trial.speech` says."""
        return re.sub(r", part \d+ of \d+( and \d+ more)?$", "", speech)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """recognizer × corpus × condition × power mode × repeat: a self-contained job."""

    id: str
    recognizer: RecognizerSpec
    corpus: str
    """The corpus as the user named it: a path, `bundled`, `hub:NAME`."""
    condition: Condition
    repeat: int = 0
    utterance_timeout_s: float = 120.0
    streaming_latency: bool = False
    limit: int | None = None
    """Only the first so many usable utterances of the corpus."""
    duty: float | None = None
    """Audio arrives as it is spoken, and speech takes this share of the time. None: as fast as the recognizer takes it."""
    mode: PowerMode | None = None
    """None: as the machine was found."""
    part: Part | None = None
    """Only these of the corpus's utterances (of the first `limit` of them). None: all."""

    @property
    def speech(self) -> str:
        """What the journal calls the speech of a corpus that the trial transcribes: its condition, and which part."""
        return self.condition.name if self.part is None else f"{self.condition.name}, {self.part.name}"

    @property
    def streams(self) -> bool:
        """Whether a recognizer that can is fed piece by piece."""
        return self.streaming_latency or self.duty is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """When an utterance that arrived in real time was spoken, on the monotonic clock, and how long it was computed on."""

    spoken_from_s: float
    spoken_to_s: float
    compute_s: float
    """Seconds in the recognizer; the rest of the utterance's time it waited for speech."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceResult:
    """One utterance of one trial: raw text and times; scores are derived later."""

    id: str
    speaker: str
    reference: str
    hypothesis: str | None
    """None: the recognizer gave no answer, see `error`."""
    audio_s: float
    start_s: float
    end_s: float
    """Both on the monotonic clock of the machine that ran the trial."""
    error: str | None = None
    counts: Counts | None = None
    latency: StreamingLatency | None = None
    cpu_s: float | None = None
    language: str | None = None
    """As in Transcript."""
    paced: Paced | None = None
    """Where it arrived in real time; `start_s` is then when the recognizer was first given audio of it."""
    position: int | None = None
    """In its corpus, from 0, counted with entries that cannot be used, where the trial has a part. None: it has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFacts:
    """Everything recorded about one trial."""

    trial: Trial
    status: TrialStatus
    reason: str | None = None
    prepare_s: float | None = None
    """Making what the runtime keeps on disk for later starts; 0: it was there. None: it keeps nothing."""
    load_s: float | None = None
    warmup_s: float | None = None
    cpu_s: float | None = None
    """CPU seconds of the worker and of its children over the inference window."""
    peak_memory_bytes: int | None = None
    """Peak resident set of the isolated worker above its own empty baseline, and with it the peaks of its children."""
    gpu_memory_bytes: int | None = None
    window: Window | None = None
    """From the first utterance's start to the last one's end, queue drained."""
    idle_before: Window | None = None
    idle_after: Window | None = None
    audit: PrecisionAudit | None = None
    workload: Mapping[str, Any] | None = None
    """`energy.workload.Workload.to_json()` of a transducer, for its modelled energy."""
    starved_s: float | None = None
    """Seconds of the window in which the worker's threads were ready and waited for a core. None: not recorded."""
    marks: int | None = None
    """Which of the run's `Marks` enclose it."""
    whole_texts: Mapping[str, str] | None = None
    """What a recognizer that was streamed in real time makes of each whole utterance, by id; transcribed after the window."""
    surroundings: Mapping[str, Any] | None = None
    """State around the trial: cool-down waited and reached, temperatures and clocks before and after, attempts, notes."""
    utterances: tuple[UtteranceResult, ...] = ()
    traces: tuple[PowerTrace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a corpus under a condition sounded like when it was prepared; a resumed run must transcribe the same."""

    corpus: str
    condition: str
    digest: str
    """SHA-256 over ids, references and samples in order."""
    utterances: int
    audio_s: float
    scaled_utterances: int | None = None
    """How many were scaled down as a whole, speech and noise alike, so that no sample clips. None: not recorded."""
    scale_min: float | None = None
    """The smallest of their factors; 1 where nothing was scaled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Load pulses of known times, by which a recording with a clock of its own is put on this machine's monotonic clock."""

    id: int
    """Which stretch of the run made them; `marks` of its trials."""
    boot_id: str | None
    """The monotonic clock starts anew with the machine."""
    groups: tuple[tuple[Window, ...], ...] = ()
    """The pulses before the first trial, then those after the last one (missing where the run was cut off)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedRecording:
    """An external recording whose samples were put beside a run's trials, and how its clock was aligned."""

    name: str
    file: str
    sha256: str
    covers: str
    channels: tuple[str, ...]
    samples: int
    """Of the whole file; `skipped_lines` of it held no numbers."""
    skipped_lines: int
    spacing_s: float
    method: str
    offset_s: float
    rate: float
    """monotonic = offset_s + rate · recorded."""
    drift_ppm: float | None
    residual_s: float
    trials: int
    """Trials whose window it covers, of all that have one; only these got samples."""
    trials_outside: int
    gain_error: float | None = None
    """The meter's own, as a fraction, as whoever attached it stated; the same in all trials, so it is in no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Which board of a fleet a run was made on."""

    label: str
    id: str
    """A hash of what is the board's own, with a salt: the same in every run of one fleet, and nothing that tells whose it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts(Shown):
    """A whole run as the journal holds it."""

    name: str
    created: str
    """ISO 8601, UTC."""
    seed: int
    machine: Mapping[str, Any]
    experiment: Mapping[str, Any]
    meters: Mapping[str, Any]
    """What could and what could not be measured, with reasons."""
    trials: tuple[TrialFacts, ...]
    rejected: tuple[Rejected, ...]
    heard: tuple[Heard, ...] = ()
    marks: tuple[Marks, ...] = ()
    recordings: tuple[AttachedRecording, ...] = ()
    board: Board | None = None
    """None: a machine of its own."""
