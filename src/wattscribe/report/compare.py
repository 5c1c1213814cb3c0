"""May a new run replace a base run? Non-inferiority of the WER and of the energy, or a refusal that says why.

Accepted is only what the data show: with 95 % confidence the increase stays below its limit. Too little data is a refusal
too, and the reason says so. The burden of proof is on the new run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from wattscribe.errors import InputError
from wattscribe.records import Interval, RunFacts
from wattscribe.report.findings import Entry, Hearing, hearings, on_device
from wattscribe.report.groups import short_corpus, short_model, take
from wattscribe.report.relative import Z95, Ratio, energy_ratio
from wattscribe.report.table import View, view
from wattscribe.report.words import number, percent_text, plural
from wattscribe.scoring import PairedResult, paired_bootstrap

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device

MAX_WER_INCREASE = 0.002
"""0.2 points."""
MAX_ENERGY_INCREASE = 0.03
RESAMPLES = 4000
Z95_ONE_SIDED = 1.644854
NAMED = 5
"""Utterances named in a refusal; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One recognizer on one corpus under one condition, base against new; `reasons` is empty when it is accepted."""

    model: str
    model_label: str
    """Short, but long enough to tell the new run's recognizers apart."""
    precision: str
    corpus: str
    condition: str
    base_wer: float | None = None
    new_wer: float | None = None
    wer_increase: float | None = None
    wer_increase_ci95: Interval | None = None
    wer_increase_upper95: float | None = None
    wer_p: float | None = None
    wer_method: str | None = None
    base_energy_j: float | None = None
    new_energy_j: float | None = None
    energy_evidence: str | None = None
    energy_increase: float | None = None
    """A fraction of the base energy."""
    energy_increase_ci95: Interval | None = None
    energy_increase_upper95: float | None = None
    energy_method: str | None = None
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
    max_wer_increase: float
    max_energy_increase: float | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


def compare(
    base: RunFacts,
    new: RunFacts,
    *,
    max_wer_increase: float = MAX_WER_INCREASE,
    max_energy_increase: float | None = None,
    device: Device | None = None,
) -> Comparison:
    """Judge every recognizer of `base`. Limits are fractions: 0.002 is 0.2 points of WER, 0.03 is 3 % of energy.

    With a `device` the energy of transducers is modelled on it. Without an energy limit 3 % holds where both runs have
    joules; with one, missing joules are a reason to refuse.
    """
    old, fresh = view(base, device=device), view(new, device=device)
    found = [hearings(each) for each in (old, fresh)]
    pairs, reasons, notes = _pair_up(*(map(on_device, found) if device else found))
    verdicts = tuple(_judge(each, old, fresh, max_wer_increase, max_energy_increase) for each in pairs)
    reasons += [f"{each.name}: {reason}" for each in verdicts for reason in each.reasons]
    return Comparison(
        accepted=not reasons and bool(verdicts),
        base=base.name,
        new=new.name,
        max_wer_increase=max_wer_increase,
        max_energy_increase=max_energy_increase,
        reasons=tuple(reasons),
        notes=tuple(notes),
        verdicts=verdicts,
    )


def in_words(result: Comparison) -> str:
    """One line per recognizer, then the reasons, then the verdict."""
    lines = [f"{'refused ' if each.reasons else 'accepted'}  {each.name}: {_figures(each)}" for each in result.verdicts]
    lines += [f"note: {note}" for note in result.notes]
    lines += [f"note: {each.name}: {note}" for each in result.verdicts for note in each.notes]
    lines += [f"reason: {reason}" for reason in result.reasons]
    verdict = "accepted" if result.accepted else "refused"
    return "\n".join([*lines, f"{result.new} is {verdict} against {result.base}"])


# --- which row stands against which ----------------------------------------------------------------------------------
T = TypeVar("T")


def _pair_up(base: Sequence[Hearing], new: Sequence[Hearing]) -> tuple[list[tuple[Entry, Entry]], list[str], list[str]]:
    """By whole names, or by short ones where the runs were made in different places."""
    pairs: list[tuple[Entry, Entry]] = []
    reasons, notes = [], []
    there = dict(_matched(base, new, lambda each: (each.corpus, each.condition), _place))
    for at, hearing in enumerate(base):
        if at not in there:
            heard = ", ".join(sorted({_place_name(each) for each in new})) or "nothing"
            reasons.append(f"the new run did not hear {_place_name(hearing)}; it heard {heard}")
            continue
        old, fresh = hearing.entries, new[there[at]].entries
        found = dict(_same_recognizers(old, fresh))
        pairs += [(old[one], fresh[other]) for one, other in found.items()]
        missing = [entry for index, entry in enumerate(old) if index not in found]
        reasons += [f"the new run has no {_recognizer(entry)} on {_place_name(hearing)}" for entry in missing]
        extra = [entry for index, entry in enumerate(fresh) if index not in found.values()]
        notes += [f"{_recognizer(entry)} on {_place_name(hearing)} is new and not compared" for entry in extra]
    return pairs, reasons, notes


def _same_recognizers(base: Sequence[Entry], new: Sequence[Entry]) -> list[tuple[int, int]]:
    """By model, precision and settings; where each run has just one recognizer, they stand against each other."""
    if len(base) == len(new) == 1:
        return [(0, 0)]

    def key(entry: Entry, model: str) -> tuple[str, ...]:
        row = entry.row
        options = str(sorted(row.options.items()))
        return (model, row.precision, row.device, str(row.threads), str(row.batch_size), options)

    return _matched(
        base, new, lambda each: key(each, each.row.model), lambda each: key(each, short_model(each.row.model))
    )


def _matched(
    base: Sequence[T], new: Sequence[T], whole: Callable[[T], Hashable], short: Callable[[T], Hashable]
) -> list[tuple[int, int]]:
    """Places (in base, in new) of what has one whole name; of the rest, of what has one short name that is unique in both."""
    by_whole, by_short = ({name(each): at for at, each in enumerate(new)} for name in (whole, short))
    here, there = (Counter(map(short, each)) for each in (base, new))
    found = []
    for at, each in enumerate(base):
        other = by_whole.get(whole(each))
        if other is None and here[short(each)] == there[short(each)] == 1:
            other = by_short[short(each)]
        if other is not None:
            found.append((at, other))
    return found


def _place(hearing: Hearing) -> tuple[str, str]:
    return short_corpus(hearing.corpus), hearing.condition.name


def _place_name(hearing: Hearing) -> str:
    return ", ".join(_place(hearing))


def _recognizer(entry: Entry) -> str:
    return f"{entry.row.model_label} {entry.row.precision}"


# --- one verdict -----------------------------------------------------------------------------------------------------
def _judge(
    pair: tuple[Entry, Entry],
    base_view: View,
    new_view: View,
    max_wer_increase: float,
    max_energy_increase: float | None,
) -> Verdict:
    base, new = pair
    seed = base_view.facts.seed
    reasons = _unscored("base", base) or _unscored("new", new)
    reasons = reasons or _other_words(base, new, base_view, new_view)
    notes: list[str] = []
    if base.row.precision_ok is not False and new.row.precision_ok is False:
        reasons.append(f"the new run is not at the precision that was asked for: {new.row.precision_reason}")
    change: PairedResult | None = None
    ratio: Ratio | None = None
    if not reasons:
        change, reasons = _wer_change(base, new, max_wer_increase, seed)
        ratio = energy_ratio(base.energy, new.energy, seed=seed)
        found, noted = _energy_reasons(base, new, ratio, max_energy_increase)
        reasons += found
        notes += noted
    upper = _upper95(ratio)
    return Verdict(
        model=new.row.model,
        model_label=new.row.model_label,
        precision=new.row.precision,
        corpus=new.row.corpus,
        condition=new.row.condition,
        base_wer=base.row.wer,
        new_wer=new.row.wer,
        wer_increase=change.difference if change else None,
        wer_increase_ci95=change.ci95 if change else None,
        wer_increase_upper95=change.upper95 if change else None,
        wer_p=change.p if change else None,
        wer_method=change.method if change else None,
        base_energy_j=base.row.energy_j,
        new_energy_j=new.row.energy_j,
        energy_evidence=new.row.energy_evidence if new.row.energy_evidence == base.row.energy_evidence else None,
        energy_increase=ratio.value - 1 if ratio else None,
        energy_increase_ci95=(ratio.ci95[0] - 1, ratio.ci95[1] - 1) if ratio and ratio.ci95 else None,
        energy_increase_upper95=upper - 1 if upper is not None else None,
        energy_method=ratio.method if ratio else None,
        reasons=tuple(reasons),
        notes=tuple(notes),
    )


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
    """Whether both heard and were scored on the same; all that differs, by name."""
    if base.group.scored is None or new.group.scored is None:  # _unscored has refused these already
        raise ValueError("both runs must be scored")
    if base_view.normaliser != new_view.normaliser:
        return [
            f"the text rules differ: {base_view.normaliser} in the base run, {new_view.normaliser} in the new one; "
            f"bench the new run with --normaliser {base_view.normaliser}"
        ]
    old = dict(zip(base.group.scored.ids, base.group.scored.references, strict=True))
    fresh = dict(zip(new.group.scored.ids, new.group.scored.references, strict=True))
    found = [
        f"the utterances differ: {text} {_named(ids)}"
        for text, ids in (
            ("only the base run has", [key for key in old if key not in fresh]),
            ("only the new run has", [key for key in fresh if key not in old]),
            ("other references for", [key for key in old if key in fresh and old[key] != fresh[key]]),
        )
        if ids
    ]
    return found or _other_audio(base, new, base_view.facts.seed, new_view.facts.seed)


def _other_audio(base: Entry, new: Entry, base_seed: int, new_seed: int) -> list[str]:
    """Utterances of the same names and words whose samples differ; where a run did not record them, nothing is said."""
    heard = (base.group.heard, new.group.heard)
    if heard[0] is None or heard[1] is None or heard[0].digest == heard[1].digest:
        return []
    seeds = "" if base_seed == new_seed else f" (seed {base_seed} in the base run, {new_seed} in the new one)"
    return [
        f"the audio differs under the same names, or its order does{seeds}; bench both runs on the same files, in the same "
        "order and with the same seed"
    ]


def _named(ids: Sequence[str]) -> str:
    more = len(ids) - NAMED
    return ", ".join(ids[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _wer_change(base: Entry, new: Entry, limit: float, seed: int) -> tuple[PairedResult | None, list[str]]:
    """The paired test, and reasons to refuse."""
    if base.group.scored is None or new.group.scored is None:  # _unscored has refused these already
        raise ValueError("both runs must be scored")
    old, fresh = base.group.scored, new.group.scored
    place = {key: index for index, key in enumerate(fresh.ids)}
    aligned = take(fresh.counts, [place[key] for key in old.ids])
    try:
        change = paired_bootstrap(old.counts, aligned, old.speakers, resamples=RESAMPLES, seed=seed)
    except InputError as error:
        return None, [f"WER is not judged: {error}"]
    return change, _wer_reasons(change, limit, base)


def _wer_reasons(change: PairedResult, limit: float, base: Entry) -> list[str]:
    if change.upper95 <= limit + 1e-12:
        return []
    figures = f"{_points(change.difference)} points, with 95 % confidence below {_points(change.upper95)}"
    if change.difference > limit:
        return [f"WER rises by more than {_points(limit)} points: {figures}"]
    heard = plural(base.row.utterances, "utterance")
    return [f"WER is not shown to rise by less than {_points(limit)} points: {figures}; {heard} are too few to tell"]


def _energy_reasons(base: Entry, new: Entry, ratio: Ratio | None, limit: float | None) -> tuple[list[str], list[str]]:
    """Reasons to refuse, and notes."""
    if base.row.energy_j is None and new.row.energy_j is None:
        why = new.row.energy_reason or base.row.energy_reason or "neither run has a figure"
        if limit is not None:
            return [f"energy cannot be compared: {why}"], []
        return [], [f"energy is not compared: {why}"]
    if base.energy.kind != new.energy.kind:
        kinds = " against ".join(f"{each.energy.evidence} ({each.energy.covers or 'nothing'})" for each in (base, new))
        return [f"energy figures of different evidence or coverage are not compared: {kinds}"], []
    if ratio is None:
        return ["energy cannot be compared: a figure is zero or negative"], []
    most = MAX_ENERGY_INCREASE if limit is None else limit
    upper = _upper95(ratio)
    if upper is None:
        over = [f"energy rises by {_percent(ratio.value - 1)}, more than {_percent(most)}"]
        return (over if ratio.value - 1 > most else []), [f"the energy ratio has no interval: {ratio.method}"]
    if upper - 1 <= most + 1e-12:
        return [], []
    figures = f"{_percent(ratio.value - 1)}, with 95 % confidence below {_percent(upper - 1)}"
    if ratio.value - 1 > most:
        return [f"energy rises by more than {_percent(most)}: {figures}"], []
    return [f"energy is not shown to rise by less than {_percent(most)}: {figures}; more repeats would tell"], []


def _upper95(ratio: Ratio | None) -> float | None:
    """The one-sided bound from the two-sided interval, on the logarithm."""
    if ratio is None or ratio.ci95 is None:
        return None
    error = math.log(ratio.ci95[1] / ratio.value) / Z95
    return ratio.value * math.exp(Z95_ONE_SIDED * error)


# --- words -----------------------------------------------------------------------------------------------------------
def _points(fraction: float) -> str:
    return f"{100 * fraction:+.2f}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %"


def _figures(each: Verdict) -> str:
    parts = [f"WER {percent_text(each.base_wer)} → {percent_text(each.new_wer)} %"]
    if each.wer_increase is not None and each.wer_increase_upper95 is not None:
        parts[0] += f" ({_points(each.wer_increase)} points, 95 % below {_points(each.wer_increase_upper95)})"
    if each.energy_increase is not None:
        energy = (
            f"energy {number(each.base_energy_j)} → {number(each.new_energy_j)} J ({_percent(each.energy_increase)}"
        )
        if each.energy_increase_upper95 is not None:
            energy += f", 95 % below {_percent(each.energy_increase_upper95)}"
        parts.append(f"{energy}; {each.energy_evidence})")
    return ", ".join(parts)
