"""What a tuning found: the configuration, its proof on speech that nothing was chosen on, and what became of every other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wattscribe.records import Interval, to_json
from wattscribe.results.words import bytes_text, interval_text, number, percent_text, plural

SCHEMA = 1
Outcome = Literal["chosen", "refused", "finalist", "dropped", "failed", "not tried"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One limit on the held-back speech. `upper`: what the figure stays below with 95 % confidence; None: it cannot be said."""

    what: Literal["WER", "latency", "memory"]
    value: float | None
    limit: float
    upper: float | None

    @property
    def holds(self) -> bool:
        """As seen."""
        return self.value is not None and self.value <= self.limit

    @property
    def shown(self) -> bool:
        """Whether it is certain for speech like this, too."""
        return self.upper is not None and self.upper <= self.limit

    @property
    def text(self) -> str:
        """`WER 9.80 % of at most 12.00 %, which is shown`."""
        if self.value is None:
            return f"{self.what} is not known"
        value, limit, upper = (_with_unit(self.what, each) for each in (self.value, self.limit, self.upper))
        if not self.holds:
            return f"{self.what} {value} over {limit}"
        why = "too few utterances to tell" if upper is None else f"it may be up to {upper}"
        return f"{self.what} {value} of at most {limit}, which is {'shown' if self.shown else f'not shown: {why}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What one configuration did on the speech that was held back."""

    label: str
    axes: Mapping[str, str]
    checks: tuple[Check, ...]
    utterances: int
    speakers: int
    words: int
    audio_s: float
    repeats: int
    wer: float
    wer_ci95: Interval | None
    wer_method: str
    cost: float | None
    """Of the objective, per second of audio."""
    cost_ci95: Interval | None
    evidence: str
    covers: str
    latency_p90_s: float | None
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof(Tried):
    """The same, judged."""

    @property
    def holds(self) -> bool:
        return self.cost is not None and all(check.holds for check in self.checks)

    @property
    def shown(self) -> bool:
        return all(check.shown for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One configuration of the space with what the race saw of it; None where it never ran."""

    label: str
    axes: Mapping[str, str]
    outcome: Outcome
    reason: str | None
    stages: int
    audio_s: float
    wer: float | None
    wer_ci95: Interval | None
    cost: float | None
    cost_ci95: Interval | None
    latency_p90_s: float | None
    peak_memory_bytes: int | None
    best: float | None
    """The chance that it is the cheapest which holds the limits, when it was last judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one stage measured; `audio_s`: transcribed by all of them together, repeats too."""

    name: str
    configurations: int
    audio_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningLimits:
    """As they were asked for; None: no limit. WER is a fraction."""

    max_wer: float | None = None
    max_latency_s: float | None = None
    max_memory_bytes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was asked, and what the search did."""

    name: str
    minimise: str
    title: str
    """What is minimised, in words."""
    unit: str
    limits: TuningLimits
    seed: int
    budget: float
    configurations: int
    standings: tuple[Standing, ...]
    stages: tuple[Stage, ...]
    audio_s: float
    """Transcribed in all, the proof's too."""
    exhaustive_audio_s: float
    """What all configurations would have transcribed on the speech of the search."""
    cost_noise: float
    """By how much a cost changed from stage to stage beyond the speech; a natural logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned(Search):
    """The result of a tuning; schema 1. `chosen` is None where none was found that holds the limits."""

    chosen: Proof | None
    proofs: tuple[Proof, ...]
    """All that were tried on the held-back speech, in this order."""
    schema: int = SCHEMA

    @property
    def share(self) -> float | None:
        """None: nothing was transcribed."""
        return self.audio_s / self.exhaustive_audio_s if self.exhaustive_audio_s else None

    @property
    def next_best(self) -> Proof | None:
        """Another that was proven beside it and holds the limits."""
        return next((proof for proof in self.proofs if proof.holds and proof is not self.chosen), None)


def to_plain(tuned: Tuned) -> dict[str, Any]:
    """As JSON has it: every field, and what is derived of them."""
    plain: dict[str, Any] = to_json(tuned)
    for proof, one in zip(plain["proofs"], tuned.proofs, strict=True):
        proof.update(holds=one.holds, shown=one.shown)
    plain["chosen"] = None if tuned.chosen is None else plain["proofs"][tuned.proofs.index(tuned.chosen)]
    return {"schema": tuned.schema, **plain, "share": tuned.share, "in_words": sentences(tuned)}


def cost_text(tuned: Tuned, cost: float | None, interval: Interval | None) -> str:
    """`0.913 J per second of audio [0.90, 0.93]`."""
    return f"{number(cost)} {tuned.unit} per second of audio {interval_text(interval)}".strip()


def sentences(tuned: Tuned) -> list[str]:
    """The result in words, the first sentence first."""
    return [*_of_choice(tuned), _of_budget(tuned)]


def _of_choice(tuned: Tuned) -> list[str]:
    chosen = tuned.chosen
    if chosen is None:
        return [_none(tuned)]
    said = [
        f"Take {chosen.label}: of {plural(tuned.configurations, 'configuration')} it takes the least {tuned.title} of those that "
        f"hold the limits, {cost_text(tuned, chosen.cost, chosen.cost_ci95)} ({_kind(chosen)}), at a WER of "
        f"{percent_text(chosen.wer)} % {interval_text(chosen.wer_ci95, 100)}, 90 % of the answers within "
        f"{number(chosen.latency_p90_s)} s, {bytes_text(chosen.peak_memory_bytes)} of memory.",
        f"On {plural(chosen.utterances, 'utterance')} of {plural(chosen.speakers, 'speaker')} ({chosen.audio_s:.0f} s, "
        f"{plural(chosen.repeats, 'repeat')}) that were held back: "
        + ("; ".join(check.text for check in chosen.checks) or "no limit was asked for")
        + ".",
    ]
    if (place := tuned.proofs.index(chosen) + 1) > 1 and (refused := _refusals(tuned.proofs[: place - 1])):
        said.append(f"It is the {_ordinal(place)} that was tried there; {refused}.")
    other = tuned.next_best
    if other is not None and other.cost is not None and chosen.cost:
        said.append(f"{other.label} holds them too and takes {number(other.cost / chosen.cost)} times as much there.")
    return said


def _none(tuned: Tuned) -> str:
    if tuned.proofs:
        return f"None is returned: on the speech that was held back {_refusals(tuned.proofs)}."
    tried = [each for each in tuned.standings if each.wer is not None]
    if not tried:
        reasons = dict.fromkeys(each.reason for each in tuned.standings if each.reason)
        return f"None is returned: nothing was transcribed ({'; '.join(list(reasons)[:2])})."
    best = min(tried, key=lambda each: each.wer or 0.0)
    figures = f"WER {percent_text(best.wer)} %, {number(best.latency_p90_s)} s, {bytes_text(best.peak_memory_bytes)}"
    return (
        f"None is returned: no configuration holds the limits. The one of the lowest WER is {best.label} ({figures})."
    )


def _refusals(proofs: Sequence[Proof]) -> str:
    return "; ".join(
        f"{proof.label}: "
        + (", ".join(check.text for check in proof.checks if not check.holds) or "its cost is not known")
        for proof in proofs
        if not proof.holds
    )


def _of_budget(tuned: Tuned) -> str:
    if tuned.share is None:
        return "No audio was transcribed."
    return (
        f"{tuned.audio_s:.0f} s of audio were transcribed, {100 * tuned.share:.0f} % of the {tuned.exhaustive_audio_s:.0f} s "
        "that all configurations would take on the speech of the search."
    )


def _kind(proof: Proof) -> str:
    return f"{proof.evidence}: {proof.covers}" if proof.covers else proof.evidence


def _with_unit(what: str, value: float | None) -> str | None:
    if value is None:
        return None
    if what == "memory":
        return bytes_text(value)
    return f"{percent_text(value)} %" if what == "WER" else f"{number(value)} s"


def _ordinal(place: int) -> str:
    return {2: "second", 3: "third"}.get(place, f"{place}th")
