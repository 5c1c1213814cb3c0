"""The JSON of `tune` and `fleet` as types, for the shipped schemas; see described.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wattscribe.records import Evidence, Interval
from wattscribe.results.boards import Disagreement
from wattscribe.results.row import Row
from wattscribe.results.tuned import Search, Tried


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """A recognizer on a corpus under a condition, over all boards of a class; figures are means over its boards."""

    model: str
    precision: str
    corpus: str
    condition: str
    mode: str | None
    boards: Sequence[str]
    utterances: int | None
    wer: float | None
    wer_ci95: Interval | None
    cer: float | None
    rtf: float | None
    rtf_ci95: Interval | None
    latency_p50_s: float | None
    peak_memory_bytes: int | None
    energy_j: float | None
    energy_ci95_j: Interval | None
    energy_net_j: float | None
    energy_evidence: Evidence | None
    energy_covers: str | None
    energy_reason: str | None
    j_per_audio_s: float | None
    j_per_audio_s_ci95: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardClass:
    """Boards that are alike: product, power mode, versions."""

    name: str
    boards: Sequence[str]
    rows: Sequence[ClassRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class BetweenClasses:
    """What `board_class` takes of what `against` takes, for one recognizer and speech."""

    board_class: str
    against: str
    model: str
    precision: str
    corpus: str
    condition: str
    mode: str | None
    energy_ratio: float | None
    energy_ratio_ci95: Interval | None
    rtf_ratio: float | None
    rtf_ratio_ci95: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What one board did; `core_share` and `wakeups_per_s`: of the scheduler's processes, the most during any trial."""

    label: str
    id: str | None
    created: str
    trials: int
    of: int
    failed: int
    audio_s: float
    rtf: float | None
    j_per_audio_s: float | None
    core_share: float | None
    wakeups_per_s: float | None
    board_class: str
    j_per_audio_s_ci95: Interval | None
    energy_evidence: Evidence | None
    energy_covers: str | None
    rows: Sequence[Row]
    """As in its own report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """Several boards' runs as one result. `shared`: the rows of all together, where the boards shared the trials."""

    name: str
    shared: Sequence[Row] | None
    classes: Sequence[BoardClass]
    between: Sequence[BetweenClasses]
    boards: Sequence[Board]
    disagreements: Sequence[Disagreement]
    one_device: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven(Tried):
    """One configuration on the speech that was held back."""

    holds: bool
    """Every limit, as seen."""
    shown: bool
    """With 95 % confidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedResult(Search):
    """What a tuning found. `chosen`: None where no configuration holds the limits."""

    chosen: Proven | None
    proofs: Sequence[Proven]
    share: float | None
    """Of the audio that trying every configuration takes."""
    in_words: Sequence[str]
