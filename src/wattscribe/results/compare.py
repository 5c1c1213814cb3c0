"""May a new run replace a base run? Non-inferiority of its errors and of each cost that is asked for, or a refusal with reasons.

Accepted is only what the data show: with 95 % confidence the increase stays below its limit. Too little data is a refusal
too, and the reason says so. The burden of proof is on the new run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wattscribe.errors import InputError
from wattscribe.records import RunFacts
from wattscribe.results.cost_change import CostChange, cost_changes
from wattscribe.results.error_change import ErrorChange, error_change
from wattscribe.results.findings import Entry, eval_sets, on_device
from wattscribe.results.gates import Gates
from wattscribe.results.groups import short_corpus
from wattscribe.results.pairing import pair_up
from wattscribe.results.same_machine import differences
from wattscribe.results.table import View, view
from wattscribe.results.words import plural

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device

NAMED = 5
"""Utterances named in a refusal; the rest is counted."""
OPTION = "`across_machines`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One recognizer on one corpus under one condition, base against new; `reasons` is empty when it is accepted."""

    model: str
    model_label: str
    """Short, but long enough to tell the new run's recognizers apart."""
    precision: str
    corpus: str
    condition: str
    error: ErrorChange | None = None
    """None: not judged, a reason says why."""
    costs: tuple[CostChange, ...] = ()
    """Energy, real-time factor, latency, memory; empty where they do not compare."""
    differences: tuple[str, ...] = ()
    """What else than the model differs between the two measurements."""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.model_label} {self.precision}, {short_corpus(self.corpus)}, {self.condition}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The answer for a pipeline; `reasons` gathers every verdict's."""

    accepted: bool
    base: str
    new: str
    gates: Gates
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


def compare(base: RunFacts, new: RunFacts, gates: Gates | None = None, *, device: Device | None = None) -> Comparison:
    """Judge every recognizer of `base`. With a `device` the energy of transducers is modelled on it.

    Errors are always judged. Energy, time and memory are judged where they have a limit, and then a missing figure is a reason
    to refuse; measured on another machine or in another state they are a reason too, unless the gates allow it.
    """
    wanted = gates or Gates()
    old, fresh = view(base, device=device), view(new, device=device)
    sides = [eval_sets(side) for side in (old, fresh)]
    pairs, reasons, notes = pair_up(*(map(on_device, sides) if device else sides))
    verdicts = tuple(_judge(pair, old, fresh, wanted, counted=device is not None) for pair in pairs)
    reasons += [f"{verdict.name}: {reason}" for verdict in verdicts for reason in verdict.reasons]
    return Comparison(
        accepted=not reasons and bool(verdicts),
        base=base.name,
        new=new.name,
        gates=wanted,
        reasons=tuple(reasons),
        notes=tuple(notes),
        verdicts=verdicts,
    )


# --- one verdict -----------------------------------------------------------------------------------------------------
def _judge(pair: tuple[Entry, Entry], base_view: View, new_view: View, gates: Gates, *, counted: bool) -> Verdict:
    base, new = pair
    seed = base_view.facts.seed
    reasons = _unscored("base", base) or _unscored("new", new)
    reasons = reasons or _other_words(base, new, base_view, new_view)
    notes: list[str] = []
    if base.row.precision_ok is not False and new.row.precision_ok is False:
        reasons.append(f"the new run is not at the precision that was asked for: {new.row.precision_reason}")
    error: ErrorChange | None = None
    costs: tuple[CostChange, ...] = ()
    others: list[str] = []
    if not reasons:
        others = differences(base_view.facts, new_view.facts, base, new)
        apart = bool(others) and not gates.across_machines
        try:
            error = error_change(base, new, gates, seed=seed)
        except InputError as problem:
            reasons.append(f"{gates.metric.upper()} is not judged: {problem}")
        if counted or not apart:  # what is counted and modelled is the same on every machine
            costs = cost_changes(base, new, gates, counted=counted, measured=not apart, seed=seed)
        for change in (*((error,) if error else ()), *costs):
            reasons += change.reasons
            notes += change.notes
        if others:
            refused = apart and not (counted and gates.energy_alone)
            (reasons if refused else notes).append(_apart(others, apart=apart, counted=counted))
    return Verdict(
        model=new.row.model,
        model_label=new.row.model_label,
        precision=new.row.precision,
        corpus=new.row.corpus,
        condition=new.row.condition,
        error=error,
        costs=costs,
        differences=tuple(others),
        reasons=tuple(reasons),
        notes=tuple(notes),
    )


def _apart(others: Sequence[str], *, apart: bool, counted: bool) -> str:
    costs, what = "time and memory" if counted else "energy, time and memory", "; ".join(others)
    if not apart:
        return f"{costs} were measured under other conditions: {what}"
    return f"{costs} do not compare: {what}; {OPTION} compares them all the same"


def _unscored(name: str, entry: Entry) -> list[str]:
    """Why a row says nothing, or only what the trials say that did not crash."""
    row, trials = entry.row, entry.group.trials
    if row.status != "done":
        why = row.reason or "not run yet"
        return [
            f"{len(trials) - row.repeats} of {plural(len(trials), 'trial')} of the {name} run did not finish: {why}"
        ]
    return [f"the {name} run has no reference words to score"] if row.wer is None else []


def _other_words(base: Entry, new: Entry, base_view: View, new_view: View) -> list[str]:
    """Whether both transcribed and were scored on the same; all that differs, by name."""
    if base.group.scored is None or new.group.scored is None:  # _unscored has refused these already
        raise ValueError("both runs must be scored")
    if base_view.normaliser != new_view.normaliser:
        return [
            f"the text rules differ: {base_view.normaliser} in the base run, {new_view.normaliser} in the new one; "
            f"bench the new run with --normaliser {base_view.normaliser}"
        ]
    old = dict(zip(base.group.scored.ids, base.group.scored.references, strict=True))
    fresh = dict(zip(new.group.scored.ids, new.group.scored.references, strict=True))
    reasons = [
        f"the utterances differ: {text} {_named(ids)}"
        for text, ids in (
            ("only the base run has", [key for key in old if key not in fresh]),
            ("only the new run has", [key for key in fresh if key not in old]),
            ("other references for", [key for key in old if key in fresh and old[key] != fresh[key]]),
        )
        if ids
    ]
    return reasons or _other_audio(base, new, base_view.facts.seed, new_view.facts.seed)


def _other_audio(base: Entry, new: Entry, base_seed: int, new_seed: int) -> list[str]:
    """Utterances of the same names and words whose samples differ; where a run did not record them, nothing is said."""
    digests = {speech.digest for speech in (base.group.speech, new.group.speech) if speech is not None}
    if len(digests) < 2 or "" in digests:  # of shards there is none
        return []
    seeds = "" if base_seed == new_seed else f" (seed {base_seed} in the base run, {new_seed} in the new one)"
    return [
        f"the audio differs under the same names, or its order does{seeds}; bench both runs on the same files, in the same "
        "order and with the same seed"
    ]


def _named(ids: Sequence[str]) -> str:
    more = len(ids) - NAMED
    return ", ".join(ids[:NAMED]) + (f" and {more} more" if more > 0 else "")
