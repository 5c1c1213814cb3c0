"""The JSON of `profile` and `compress` as types, for the schemas that the package ships (`cli/schemas.py`).

The rooms that know the figures write it (`energy.profile`, `compression.outcome`); here it is only described, and a test holds
what is written and what is described together, field by field. The other verbs' answers are types in the verbs' own files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from wattscribe.compression.acceptance import Part
from wattscribe.energy.accuracy import AccuracyLaw
from wattscribe.energy.curves import Point
from wattscribe.energy.observed import Counted, Observed
from wattscribe.energy.options import Activations
from wattscribe.energy.placement import Move, Placement
from wattscribe.energy.rates import Rates
from wattscribe.energy.sensitivity import PowerSensitivity, Step
from wattscribe.records import Evidence, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """mW = mJ per second of audio."""

    mw: float
    ci95_mw: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where a component's power goes; weight reads by the tier that they come from."""

    weight_reads: Mapping[str, Power]
    activations: Power
    arithmetic: Power
    idle: Power


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledComponent:
    """One network of the recognizer."""

    size_bytes: int
    size_share: float
    parameters: int
    bytes_by_dtype: Mapping[str, int]
    invocations_per_s: float
    rows_per_s: float
    weight_bytes_per_invocation: float
    weight_bytes_per_row: float
    macs_per_row: Mapping[str, float]
    activation_bytes_per_row: float
    state_bytes: int
    power_mw: float
    power_ci95_mw: Interval
    power_share: float
    uj_per_invocation: float
    parts: Parts
    counted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementWithMoves(Placement):
    """Where the weights lie, and what changes from one capacity to the next."""

    moves: Sequence[Move]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """Of `profile` (docs/energy-model.md)."""

    model: str
    kind: str
    device: str
    evidence: Evidence
    components: Mapping[str, ProfiledComponent]
    total_mw: float
    total_ci95_mw: Interval
    mj_per_audio_s: float
    mj_per_word: float | None
    busy_s_per_audio_s: float
    battery_hours: float | None
    order: Sequence[str]
    steps: Sequence[Step]
    placement: PlacementWithMoves
    rates: Rates
    sensitivity: Mapping[str, PowerSensitivity]
    accuracy: Mapping[str, AccuracyLaw] | None
    guidelines: Sequence[str]
    curves: Mapping[str, Sequence[Point]]
    observed: Observed | None
    counted: Counted | None
    activations: Activations
    seed: int
    notes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFigures:
    """A compression on one set of speech; WER are fractions, energy is mJ per second of audio."""

    on: str
    utterances: int
    audio_s: float
    energy_before_mj_per_audio_s: float
    energy_before_ci95_mj: Interval
    energy_after_mj_per_audio_s: float
    energy_after_ci95_mj: Interval
    energy_reduction: float
    wer_before: float
    wer_after: float
    wer_increase: float
    wer_increase_ci95: Interval
    wer_increase_upper95: float
    wer_method: str
    non_inferior: bool | None
    cannot_show: str | None
    identical_texts: int
    corpora: Sequence[Part]
    rtf_before: float
    rtf_after: float
    rtf_cpu_before: float
    rtf_cpu_after: float
    size_before_bytes: int
    size_after_bytes: int
    peak_memory_before_bytes: int | None
    peak_memory_after_bytes: int | None
    token_delay_mean_before_s: float | None
    token_delay_mean_after_s: float | None
    token_delay_p90_before_s: float | None
    token_delay_p90_after_s: float | None
    first_partial_before_s: float | None
    first_partial_after_s: float | None
    finalisation_before_s: float
    finalisation_after_s: float
    call_before_s: float | None
    call_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LongerCalls(SetFigures):
    """The same with longer calls, where a longer latency was allowed."""

    strategy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneStep:
    """A step of the recipe, kept or reverted; beside these, what its lever measured."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "allow"}

    step: str
    kept: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterStep:
    """Modelled energy after a kept step."""

    after: str
    energy_mj_per_audio_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedRecipe:
    """A recipe that was measured; None: not on this one."""

    strategy: str
    energy_mj_per_audio_s: float
    size_bytes: int
    kl: float | None
    wer: float | None
    on: str
    steps: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenOn:
    """The chosen recipe on the speech that it was chosen, or confirmed, on."""

    utterances: int
    words: int
    wer_before: float
    wer_after: float
    wer_increase: float
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """How the recipe was chosen."""

    chosen_on: ChosenOn
    confirmed_on: ChosenOn | None
    held_back_by: str | None
    margin: float
    small_set_slack: float
    expected_optimism: float | None
    expected_optimism_recipes: int
    expected_optimism_bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed(SetFigures):
    """Of `compress`, and the result.json that it writes: the development set's figures at the top."""

    evidence: Evidence
    limit: float
    max_wer_increase_points: float
    met: bool
    dev: SetFigures
    test: SetFigures | None
    longer_calls: LongerCalls
    device: str
    strategy: str
    seed: int
    baselines_mj_per_audio_s: Mapping[str, float]
    baseline: str
    fidelity_unlabelled: Mapping[str, float]
    steps: Sequence[DoneStep]
    course: Sequence[AfterStep]
    tried: Sequence[TriedRecipe]
    selection: Chosen | None
    cut_short: str | None
    machine: Mapping[str, Any]
    notes: Sequence[str]
