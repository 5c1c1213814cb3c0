"""What a run shows, computed: each finding with its interval and its test, and refused where too little is known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wattscribe.errors import InputError
from wattscribe.records import Condition
from wattscribe.results.cost import Energy
from wattscribe.results.groups import Group, on_common_utterances, short_corpus
from wattscribe.results.relative import Ratio, energy_ratio
from wattscribe.results.row import Row
from wattscribe.results.table import View, on_basis
from wattscribe.scoring import (
    FEWEST_SPEAKERS,
    MatchedPairs,
    PairedResult,
    RankCorrelation,
    holm,
    mapsswe,
    paired_bootstrap,
    segments,
    spearman,
)

PRECISION_STEPS = (("fp32", "fp16"), ("fp32", "bf16"), ("fp16", "int8"), ("bf16", "int8"), ("fp32", "int8"))
"""Base → cheaper; the study's two questions are fp16 over fp32 and int8 over fp16."""
ALIASES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "int8_float16": "int8", "int8_float32": "int8"}
ALL_PAIRS_UP_TO = 10
"""More recognizers than this are each tested against the best one only: 45 pairs are as many as a reader takes in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the recommendation must keep; None: no limit. WER is a fraction."""

    max_wer: float | None = None
    max_watts: float | None = None
    max_memory_bytes: float | None = None
    condition: str | None = None
    """The condition under which the limits hold; None: clean, or the first one measured."""

    @classmethod
    def stated(
        cls,
        *,
        max_wer_percent: float | None = None,
        max_power_w: float | None = None,
        max_memory_bytes: float | None = None,
        condition: str | None = None,
    ) -> Limits:
        """As the options of `report` state them."""
        max_wer = None if max_wer_percent is None else max_wer_percent / 100.0
        return cls(max_wer=max_wer, max_watts=max_power_w, max_memory_bytes=max_memory_bytes, condition=condition)

    @property
    def any(self) -> bool:
        return any(limit is not None for limit in (self.max_wer, self.max_watts, self.max_memory_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row with the facts behind it."""

    group: Group
    energy: Energy
    row: Row
    device_energy: Energy | None = None
    """From counted invocations on a device profile; None: nobody asked, and nothing was counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSet:
    """One corpus under one condition, and every recognizer that transcribed it."""

    corpus: str
    condition: Condition
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """`corpus` where it is clean, else `corpus, condition`."""
        corpus, condition = short_corpus(self.corpus), self.condition.name
        return corpus if condition == "clean" else f"{corpus}, {condition}"

    @property
    def scored(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.row.wer is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionStep:
    """What a lower precision did to a model's energy."""

    eval_set: EvalSet
    base: Entry
    cheaper: Entry
    ratio: Ratio
    wer_change: PairedResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """Two recognizers on the same utterances; `adjusted_p` is Holm's over all pairs of the run."""

    eval_set: EvalSet
    first: Entry
    second: Entry
    bootstrap: PairedResult
    matched: MatchedPairs | None
    adjusted_p: float

    @property
    def differs(self) -> bool:
        return self.adjusted_p < 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Parameters against something; `result` is None where refused, with the reason."""

    about: str
    result: RankCorrelation | None
    reason: str | None
    precision: str | None


def eval_sets(seen: View) -> list[EvalSet]:
    """In the order of the experiment."""
    by_speech: dict[tuple[str, Condition], list[Entry]] = {}
    for group, energy, on_device, row in zip(seen.groups, seen.energies, seen.device_energies, seen.rows, strict=True):
        entry = Entry(group=group, energy=energy, row=row, device_energy=on_device)
        by_speech.setdefault((group.corpus, group.condition), []).append(entry)
    return [
        EvalSet(corpus=corpus, condition=condition, entries=tuple(entries))
        for (corpus, condition), entries in by_speech.items()
    ]


def on_device(all_eval_sets: Sequence[EvalSet]) -> list[EvalSet]:
    """The same with what the counted invocations take on the device profile in front, in place of this machine's joules."""
    return [
        replace(
            eval_set,
            entries=tuple(
                replace(
                    entry, energy=entry.device_energy, row=on_basis(entry.row, entry.device_energy, entry.group.done)
                )
                for entry in eval_set.entries
                if entry.device_energy is not None
            ),
        )
        for eval_set in all_eval_sets
    ]


def base_eval_sets(all_eval_sets: Sequence[EvalSet], condition: str | None = None) -> list[EvalSet]:
    """Per corpus the named condition, or clean, or the first. Raises InputError when the named one was not measured."""
    names = list(dict.fromkeys(eval_set.condition.name for eval_set in all_eval_sets))
    if condition is not None and condition not in names:
        raise InputError(f"the run has no condition {condition!r}", fix=f"Choose one of: {', '.join(names)}")
    wanted = condition or "clean"
    chosen: dict[str, EvalSet] = {}
    for eval_set in all_eval_sets:
        if eval_set.corpus not in chosen or (
            eval_set.condition.name == wanted != chosen[eval_set.corpus].condition.name
        ):
            chosen[eval_set.corpus] = eval_set
    return [eval_set for eval_set in chosen.values() if condition is None or eval_set.condition.name == condition]


def precision_steps(all_eval_sets: Sequence[EvalSet], *, seed: int = 0) -> list[PrecisionStep]:
    """Energy ratios between the precisions of one model on the same speech, under each corpus's base condition."""
    steps = []
    for eval_set in base_eval_sets(all_eval_sets):
        for entries in _by_model(eval_set.entries):
            by_precision = {precision_name(entry): entry for entry in entries}
            for base, cheaper in PRECISION_STEPS:
                if base not in by_precision or cheaper not in by_precision:
                    continue
                step = _step(eval_set, by_precision[base], by_precision[cheaper], seed)
                if step is not None:
                    steps.append(step)
    return steps


def precision_name(entry: Entry) -> str:
    """`fp16` whatever the runtime calls it."""
    return ALIASES.get(entry.row.precision, entry.row.precision)


def _by_model(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries that differ in nothing but precision."""
    by_model: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        row = entry.row
        settings = str(sorted(row.options.items()))
        key = (row.model, row.device, str(row.threads), str(row.batch_size), settings, row.mode or "")
        by_model.setdefault(key, []).append(entry)
    return list(by_model.values())


def _step(eval_set: EvalSet, base: Entry, cheaper: Entry, seed: int) -> PrecisionStep | None:
    ratio = energy_ratio(base.energy, cheaper.energy, seed=seed)
    if ratio is None:
        return None
    change = paired(base, cheaper, seed=seed)
    return PrecisionStep(
        eval_set=eval_set, base=base, cheaper=cheaper, ratio=ratio, wer_change=change[0] if change else None
    )


def paired(
    first: Entry, second: Entry, *, seed: int = 0, resamples: int = 1000
) -> tuple[PairedResult, MatchedPairs | None] | None:
    """Both tests on the utterances that both transcribed; None where they are too few to test or hold no words."""
    if first.group.scored is None or second.group.scored is None:
        return None
    common = on_common_utterances(first.group.scored, second.group.scored)
    if common is None or not common[0].words.sum():
        return None
    one, other, speakers = common
    try:
        bootstrap = paired_bootstrap(
            one, other, speakers, fewest_speakers=FEWEST_SPEAKERS, resamples=resamples, seed=seed
        )
    except InputError:  # a single utterance
        return None
    pieces = segments(one, other)
    return bootstrap, mapsswe(*pieces) if len(pieces[0]) > 1 else None


def pair_tests(all_eval_sets: Sequence[EvalSet], *, seed: int = 0) -> list[PairTest]:
    """Every pair of recognizers under every corpus and condition, each power mode by itself, or each against the best where
    there are many."""
    results: list[tuple[EvalSet, Entry, Entry, PairedResult, MatchedPairs | None]] = []
    for eval_set in all_eval_sets:
        by_mode: dict[str | None, list[Entry]] = {}
        for entry in eval_set.scored:
            by_mode.setdefault(entry.group.mode_name, []).append(entry)
        for first, second in itertools.chain.from_iterable(map(_pairs, by_mode.values())):
            result = paired(first, second, seed=seed)
            if result is not None:
                results.append((eval_set, first, second, *result))
    adjusted = holm([bootstrap.p for *_, bootstrap, _ in results])
    return [
        PairTest(eval_set=eval_set, first=first, second=second, bootstrap=bootstrap, matched=matched, adjusted_p=p)
        for (eval_set, first, second, bootstrap, matched), p in zip(results, adjusted, strict=True)
    ]


def _pairs(entries: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    if len(entries) <= ALL_PAIRS_UP_TO:
        return list(itertools.combinations(entries, 2))
    best = min(entries, key=lambda entry: entry.row.wer or 0.0)
    return [(best, entry) for entry in entries if entry is not best]


def noise_pair(all_eval_sets: Sequence[EvalSet]) -> tuple[EvalSet, EvalSet] | None:
    """The quiet and the hardest eval set of the same utterances; None where all speech has one condition only."""
    bases = base_eval_sets(all_eval_sets)
    best: tuple[float, EvalSet, EvalSet] | None = None
    for quiet, other in itertools.permutations(all_eval_sets, 2):
        if quiet not in bases or other.condition.longform_s is not None:
            continue
        added = [change for change in (_added(entry, other) for entry in quiet.scored) if change is not None]
        if added and (best is None or sum(added) / len(added) > best[0]):
            best = (sum(added) / len(added), quiet, other)
    return None if best is None or best[0] <= 0 else (best[1], best[2])


def counterpart(entry: Entry, other: EvalSet) -> Entry | None:
    """The same recognizer in another eval set."""
    mine = (entry.group.recognizer, entry.group.mode)
    return next((there for there in other.scored if (there.group.recognizer, there.group.mode) == mine), None)


def _added(entry: Entry, other: EvalSet) -> float | None:
    there = counterpart(entry, other)
    if there is None or there.row.wer is None or entry.row.wer is None:
        return None
    if entry.group.scored is None or there.group.scored is None:
        return None
    shares = on_common_utterances(entry.group.scored, there.group.scored) is not None
    return there.row.wer - entry.row.wer if shares else None


def correlations(all_eval_sets: Sequence[EvalSet], *, seed: int = 0) -> list[Correlation]:
    """Do larger models take more energy, and do they lose less to noise? One point per model, at one precision."""
    bases = base_eval_sets(all_eval_sets)
    if not bases:
        return []
    quiet = _in_one_mode(bases[0])
    precision = _commonest_precision(quiet.scored)
    entries = [entry for entry in quiet.scored if precision_name(entry) == precision and entry.row.parameters]
    kinds = {entry.energy.kind for entry in entries if entry.row.j_per_audio_s is not None}
    of_energy = [(e.row.parameters or 0, e.row.j_per_audio_s) for e in entries if e.row.j_per_audio_s is not None]
    about = "energy per second of audio"
    apart = Correlation(about=about, result=None, reason="their joules cover different things", precision=precision)
    results = [_correlate(about, of_energy, precision, seed) if len(kinds) < 2 else apart]
    noise = noise_pair(all_eval_sets)
    if noise is not None:
        quiet, loud = map(_in_one_mode, noise)
        pool = [e for e in quiet.scored if precision_name(e) == precision and e.row.parameters]
        added = [(e.row.parameters or 0, a) for e in pool if (a := _added(e, loud)) is not None]
        results.append(_correlate("the WER that noise adds", added, precision, seed))
    return results


def _in_one_mode(eval_set: EvalSet) -> EvalSet:
    """Without what the same recognizers did in other power modes: a model is one point."""
    modes = dict.fromkeys(entry.group.mode_name for entry in eval_set.entries)
    first = next(iter(modes), None)
    return replace(eval_set, entries=tuple(entry for entry in eval_set.entries if entry.group.mode_name == first))


def _correlate(about: str, points: Sequence[tuple[int, float]], precision: str | None, seed: int) -> Correlation:
    try:
        result = spearman([x for x, _ in points], [y for _, y in points], seed=seed)
    except InputError as error:
        return Correlation(about=about, result=None, reason=str(error), precision=precision)
    return Correlation(about=about, result=result, reason=None, precision=precision)


def _commonest_precision(entries: Sequence[Entry]) -> str | None:
    names = [precision_name(entry) for entry in entries if entry.row.parameters]
    return max(dict.fromkeys(names), key=names.count, default=None)
