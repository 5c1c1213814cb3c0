"""Five sizes of each component and their laws; targeted against uniform and global pruning at equal WER."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product

import numpy as np

from benchmarks import _components_models as models
from benchmarks._components_law import Law, fit_law
from benchmarks._components_models import Making, Wanted, bytes_of, cut_to, decoded_by, global_cut, prepare, pruned
from benchmarks._components_predicted import DEVICES, MOST_STEPS, WAYS, targeted
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.dense.surgery import Cut
from wattscribe.compression.measure import Measurer
from wattscribe.compression.speech import SpeechSet
from wattscribe.energy import devices, sensitivity
from wattscribe.energy.accuracy import AccuracyLaw
from wattscribe.energy.options import Decoding
from wattscribe.energy.rates import counted
from wattscribe.errors import WattscribeError
from wattscribe.scoring import ErrorCounts, count_errors
from wattscribe.training.checkpoint import load_model

SIZES: Mapping[str, tuple[float, ...]] = {
    "encoder": (0.85, 0.7, 0.55, 0.45), "predictor": (0.6, 0.35, 0.2, 0.1), "joiner": (0.6, 0.4, 0.25, 0.12),
}  # fmt: skip
"""Parts of a component's bytes beside the whole: the joiner's come to 1 MB and less between the second and the third."""
REMOVED = (0.12, 0.2, 0.3)
"""Of all bytes: the depths of each way of pruning. The first holds what brings the testbed's joiner into 1 MB."""
MARGIN = 0.97
"""Of a thinned component's wanted size: scales and biases do not shrink with its widths, and it must fit where it is to fit."""
STRATEGIES = ("targeted", "uniform", "global")
LAW_WAYS: tuple[tuple[Decoding, int], ...] = (("batched", 1),)
TARGET = "wearable"
"""Whose order the targeted way follows, frame by frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One model in one way of decoding: WER, and what it costs there: millijoules a second of audio by device, or RTF."""

    wer: float
    cost: Mapping[str, float]


# --- laws ---------------------------------------------------------------------------------------------------------------
def laws(making: Making, speech: SpeechSet) -> list[str]:
    """Markdown: WER at five sizes of each component, the law, power by component from counted calls, the order they imply."""
    rows, by_component = _measured_laws(making, speech)
    head = "| component | size, MB: WER, % | a, 1/MB | b | c, % | worst residual, s.e. | holds |"
    return [head, "|---|---|---|---|---|---|---|", *rows, "", *_order_rows(making, speech, by_component)]


def _measured_laws(making: Making, speech: SpeechSet) -> tuple[list[str], dict[str, AccuracyLaw] | None]:
    """A row for each component, and the laws where all three could be fitted."""
    config = load_model(making.checkpoint / "model")[0].config
    sized = {component: [cut_to(config, {component: part}) for part in parts] for component, parts in SIZES.items()}
    prepare(making, speech, [Wanted(cut=cut, ways=LAW_WAYS) for cut in (Cut(), *chain(*sized.values()))], making.jobs)
    dense = errors_of(pruned(making, Cut(), 0), speech, making)
    rows: list[str] = []
    by_component: dict[str, AccuracyLaw] = {}
    for component, cuts_of_it in sized.items():
        sizes, errors = [float(bytes_of(config)[component])], [dense.errors]
        for cut in cuts_of_it:
            sizes.append(float(bytes_of(models.after(config, cut))[component]))
            errors.append(errors_of(pruned(making, cut, 0), speech, making).errors)
        law = fit_law(np.array(sizes), np.array(errors), dense.words)
        rates = np.array(errors).sum(1) / dense.words.sum()
        points = "; ".join(f"{size / 1e6:.2f}: {100 * rate:.1f}" for size, rate in zip(sizes, rates, strict=True))
        rows.append(_law_row(component, points, law))
        if law is not None:
            by_component[component] = law
    return rows, by_component if len(by_component) == len(SIZES) else None


def _law_row(component: str, points: str, law: Law | None) -> str:
    if law is None:
        return f"| {component} | {points} | | | | | no: WER does not fall with size |"
    percent = tuple(100 * bound for bound in law.c_ci95)
    a, b, c = (f"{low:.2f} to {high:.2f}" for low, high in (law.a_ci95, law.b_ci95, percent))
    verdict = f"{'yes' if law.holds else 'no'}, falls in {100 * law.fitted:.0f} % of draws"
    figures = f"{law.a_per_mb:.2f} ({a}) | {law.b:.2f} ({b}) | {100 * law.c:.1f} ({c}) | {law.worst:.1f}"
    return f"| {component} | {points} | {figures} | {verdict} |"


def _order_rows(making: Making, speech: SpeechSet, by_component: Mapping[str, AccuracyLaw] | None) -> Iterator[str]:
    """On each device and way of decoding: power by component at the counted calls, and the order by power per point of WER."""
    yield "| device | joiner calls | beam | encoder, predictor, joiner, mJ/s | order by mW/MB | order by mW a point of WER |"
    yield "|---|---|---|---|---|---|"
    whole = pruned(making, Cut(), 0)
    for name, (decoding, beam) in product(DEVICES, WAYS):
        decoded = decoded_by(whole, speech, making.cache, decoding=decoding, beam=beam)
        measurer, device = measurer_on(name), measurer_on(name).device
        workload = measurer.workload(whole)
        try:
            power = measurer.energy(replace(whole, decoding=decoding), decoded.counts, decoded.audio_s)
            at = counted(workload, decoded.total, decoded.audio_s, decoding=decoding)
            by_size = sensitivity.first_mentions(sensitivity.order(workload, at, device), workload)
            by_wer = sensitivity.first_mentions(sensitivity.order(workload, at, device, laws=by_component), workload)
        except WattscribeError as error:
            yield f"| {name} | {decoding} | {beam} | {error} | | |"
            continue
        parts = ", ".join(f"{1e3 * power.component(component).total_w.value:.3f}" for component in SIZES)
        second = ", ".join(by_wer) if by_component else "no law"
        yield f"| {name} | {decoding} | {beam} | {parts} | {', '.join(by_size)} | {second} |"


@functools.cache
def measurer_on(device: str) -> Measurer:
    """One for each device, which counts a model once for all its ways of decoding."""
    return Measurer(devices.load(device))


def errors_of(
    candidate: Candidate, speech: SpeechSet, making: Making, decoding: Decoding = "batched", beam: int = 1
) -> ErrorCounts:
    """Of a decode that is kept."""
    decoded = decoded_by(candidate, speech, making.cache, decoding=decoding, beam=beam)
    return count_errors(speech.references, decoded.texts, rule="none")


# --- at equal WER -------------------------------------------------------------------------------------------------------
def cuts(making: Making, speech: SpeechSet) -> dict[str, list[Cut]]:
    """By strategy one for each depth, of about the same bytes."""
    model = load_model(making.checkpoint / "model")[0]
    config, sizes = model.config, bytes_of(model.config)
    total = sum(sizes.values())
    depths = [share * total for share in REMOVED]
    return {
        "targeted": [cut_to(config, parts) for parts in _where_power_is(making, speech, depths)],
        "uniform": [cut_to(config, dict.fromkeys(sizes, 1 - removed / total)) for removed in depths],
        "global": [global_cut(model, removed) for removed in depths],
    }


def _where_power_is(making: Making, speech: SpeechSet, depths: Sequence[float]) -> Iterator[dict[str, float]]:
    """Parts that stay when bytes go where they save most at the whole model's own counts: for a point of WER where the laws are
    known, else for a megabyte."""
    whole, device = pruned(making, Cut(), 0), measurer_on(TARGET).device
    workload = sensitivity.merged(measurer_on(TARGET).workload(whole))
    decoded = decoded_by(whole, speech, making.cache, decoding="frame-by-frame", beam=1)
    at = counted(workload, decoded.total, decoded.audio_s, decoding="frame-by-frame")
    steps = sensitivity.order(workload, at, device, laws=_measured_laws(making, speech)[1], most_steps=MOST_STEPS)
    for removed in depths:
        smaller = targeted(workload, steps, removed)
        parts = {part.name: smaller.component(part.name).size_bytes / part.size_bytes for part in workload.components}
        yield {name: part if part == 1 else MARGIN * part for name, part in parts.items()}


def compare(making: Making, speech: SpeechSet) -> list[str]:
    """Markdown: each way's points, then energy of targeted at the WER of its own points, against the others' there."""
    whole = pruned(making, Cut(), 0)
    by_strategy = cuts(making, speech)
    wanted = [
        Wanted(cut=cut, seed=seed, ways=making.ways)
        for seed in range(making.seeds)
        for kind in STRATEGIES
        for cut in by_strategy[kind]
    ]
    prepare(making, speech, [Wanted(cut=Cut(), ways=making.ways), *wanted], making.jobs)
    chains = {
        (strategy, seed): [whole, *(pruned(making, cut, seed) for cut in by_strategy[strategy])]
        for strategy, seed in product(STRATEGIES, range(making.seeds))
    }
    out: list[str] = []
    for decoding, beam in making.ways:
        fronts = {
            key: [_point(candidate, speech, making, decoding, beam) for candidate in chain]
            for key, chain in chains.items()
        }
        out += [f"## {decoding}, beam {beam}", "", *_points(fronts), "", *_against(fronts), ""]
    return out


def _point(candidate: Candidate, speech: SpeechSet, making: Making, decoding: Decoding, beam: int) -> Point:
    decoded = decoded_by(candidate, speech, making.cache, decoding=decoding, beam=beam)
    energy = {}
    for name in DEVICES:
        placed = replace(candidate, decoding=decoding, placement="component")
        try:
            energy[name] = 1e3 * measurer_on(name).energy(placed, decoded.counts, decoded.audio_s).total_w.value
        except WattscribeError:
            energy[name] = float("nan")  # more than its memory holds
    return Point(wer=float(errors_of(candidate, speech, making, decoding, beam).wer or 0.0), cost=energy)


def _points(fronts: Mapping[tuple[str, int], Sequence[Point]]) -> Iterator[str]:
    yield f"| strategy, seed | WER, %: {', '.join(DEVICES)}, mJ/s |"
    yield "|---|---|"
    for (strategy, seed), points in fronts.items():
        cells = [
            f"{100 * point.wer:.1f}: {', '.join(f'{point.cost[name]:.3f}' for name in DEVICES)}" for point in points
        ]
        yield f"| {strategy}, {seed} | {'; '.join(cells)} |"


def _against(fronts: Mapping[tuple[str, int], Sequence[Point]]) -> Iterator[str]:
    """Mean over seeds and depths, with the least and the most."""
    yield "| targeted against | " + " | ".join(f"energy, {name}" for name in DEVICES) + " |"
    yield "|---" * (len(DEVICES) + 1) + "|"
    seeds = sorted({seed for _, seed in fronts})
    for other in STRATEGIES[1:]:
        pairs = [(fronts["targeted", seed], fronts[other, seed]) for seed in seeds]
        yield f"| {other} | " + " | ".join(changed(pairs, name) for name in DEVICES) + " |"


def changed(pairs: Sequence[tuple[Sequence[Point], Sequence[Point]]], name: str) -> str:
    """A cost of all but the whole model against the other front's at the same WER: mean, least and most."""
    changes = 100 * np.array(
        [point.cost[name] / at(others, point.wer, name) - 1 for points, others in pairs for point in points[1:]]
    )
    if np.isnan(changes).any():
        return "does not fit"
    return f"{changes.mean():+.1f} % ({changes.min():+.1f} to {changes.max():+.1f})".replace("-", "−")


def at(points: Sequence[Point], wer: float, name: str) -> float:
    """The least known at or below a WER, straight lines between; beyond the last point that point's, to its favour."""
    ordered = sorted(points, key=lambda point: point.wer)
    least = np.minimum.accumulate([point.cost[name] for point in ordered])
    return float(np.interp(wer, [point.wer for point in ordered], least))
