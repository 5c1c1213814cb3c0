"""The figures of a run as plotly data: the study's four, the noise curves and the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wattscribe.pages.axes import energy_axis, wer_axis
from wattscribe.pages.names import AS_LABELLED, Names
from wattscribe.pages.page import Figure
from wattscribe.pages.traces import (
    COLOURS,
    bubble_trace,
    by_precision,
    curves,
    level,
    level_map,
    memory,
    wer,
    wer_interval,
    wer_trace,
    with_intervals,
)
from wattscribe.records import Interval
from wattscribe.results.findings import Entry, EvalSet, base_eval_sets, noise_pair
from wattscribe.results.groups import short_corpus
from wattscribe.results.recommend import by_kind, pareto
from wattscribe.results.words import sentence

MANY_BARS = 12
"""More bars than this take the page's whole width."""
MANY_CURVES = 6
MOST_CURVES = 16
"""More recognizers than this are rows of a map, each with its name and its figures, instead of curves nobody can tell apart."""
ROW_PX, ROWS_BESIDE_PX = 22, 120
NAME_AND_LEVEL_PX = (320, 64)
"""The least width of a map: its names, and each of its columns."""
MOST_NAMES = 16
"""With more points than this only those on the front are named in the figure; the others on pointing."""
MANY_POINTS = 6
"""More points than this take the page's whole width, so that their names find room."""


def wer_bars(all_eval_sets: Sequence[EvalSet], names: Names = AS_LABELLED) -> Figure | None:
    """The study's figure 4: WER of every recognizer, quiet and noisy side by side."""
    pair = noise_pair(all_eval_sets)
    chosen = list(pair) if pair else base_eval_sets(all_eval_sets)
    one_corpus = len({eval_set.corpus for eval_set in chosen}) == 1
    labels = [eval_set.condition.name if one_corpus and pair else eval_set.name for eval_set in chosen]
    traces = [
        wer_trace(eval_set, name, names) for eval_set, name in zip(chosen, labels, strict=True) if eval_set.scored
    ]
    if not traces:
        return None
    places = " and ".join(labels) + (f", {short_corpus(chosen[0].corpus)}" if one_corpus and pair else "")
    return Figure(
        id="wer-bars",
        title="WER, quiet and noisy" if pair else "WER",
        description=f"Word error rate of every recognizer: {places}. Lines are 95 % intervals.",
        traces=traces,
        layout={"barmode": "group", "yaxis": {"title": {"text": "WER, %"}, "rangemode": "tozero"}},
        wide=sum(len(eval_set.scored) for eval_set in chosen) > MANY_BARS,
    )


def energy_bars(eval_set: EvalSet, names: Names = AS_LABELLED) -> list[Figure]:
    """The study's figure 5: joules per model and precision; one figure per kind of evidence, never mixed."""
    bars = []
    for number_, ((evidence, covers), entries) in enumerate(by_kind(eval_set.entries).items()):
        bars.append(
            Figure(
                id=f"energy-bars-{number_}",
                title=f"Energy per second of audio, {evidence}",
                apart=covers,
                description=f"{evidence.capitalize()}: {covers}. {eval_set.name}. Lines are 95 % intervals"
                + (" of the model's stated range." if evidence == "modelled" else "."),
                traces=by_precision(entries, names, lambda e: e.row.j_per_audio_s, lambda e: e.row.j_per_audio_s_ci95),
                layout={
                    "barmode": "group",
                    "yaxis": {"title": {"text": "J per second of audio"}, "rangemode": "tozero"},
                },
                wide=len(entries) > MANY_BARS,
            )
        )
    return bars


def speed_and_memory_bars(eval_set: EvalSet, names: Names = AS_LABELLED) -> Figure | None:
    """The study's figure 7: real-time factor above, peak memory below, per model and precision."""
    entries = [entry for entry in eval_set.entries if entry.row.rtf is not None]
    if not entries:
        return None
    above = by_precision(entries, names, lambda e: e.row.rtf, lambda e: e.row.rtf_ci95)
    below = by_precision(entries, names, lambda e: None if (m := memory(e)) is None else m / 1e6, lambda e: None)
    for trace in below:
        trace.update({"xaxis": "x2", "yaxis": "y2", "showlegend": False})
    return Figure(
        id="speed-memory",
        title="Real-time factor and peak memory",
        description=f"Above: seconds of work per second of audio; below 1 keeps up with speech. Below: peak memory of "
        f"the worker above its empty self. {eval_set.name}.",
        traces=[*above, *below],
        layout={
            "barmode": "group",
            "grid": {"rows": 2, "columns": 1, "pattern": "independent", "ygap": 0.12},
            "xaxis": {"showticklabels": False},
            "yaxis": {"title": {"text": "RTF"}, "rangemode": "tozero"},
            "xaxis2": {},
            "yaxis2": {"title": {"text": "Memory, MB"}, "rangemode": "tozero"},
        },
        height_px=440,
        wide=len(entries) > MANY_BARS,
    )


def bubbles(eval_set: EvalSet, names: Names = AS_LABELLED) -> list[Figure]:
    """The study's figure 8: WER against energy, one bubble per recognizer; colour is RTF, size is memory."""
    plots = []
    for index, ((evidence, covers), entries) in enumerate(by_kind(eval_set.scored).items()):
        legend = _colour_legend(entries)
        plots.append(
            Figure(
                id=f"bubbles-{index}",
                title=f"WER against energy, {evidence}",
                apart=covers,
                description=f"Lower left is better. {legend}Area is the peak memory. {sentence(covers)}; {eval_set.name}.",
                traces=[bubble_trace(entries, names, named=_named(entries), coloured=bool(legend))],
                layout={
                    "xaxis": energy_axis([entry.row.j_per_audio_s or 0.0 for entry in entries]),
                    "yaxis": wer_axis([wer(entry) or 0.0 for entry in entries]),
                    "showlegend": False,
                    "margin": {"t": 20},
                },
                height_px=420,
                wide=len(entries) > MANY_POINTS,
            )
        )
    return plots


def _colour_legend(entries: Sequence[Entry]) -> str:
    """Empty where a scale of colours would tell nothing: fewer than two different factors."""
    factors = {entry.row.rtf for entry in entries if entry.row.rtf is not None}
    return "Colour is the real-time factor. " if len(factors) > 1 else ""


def pareto_front(eval_set: EvalSet, names: Names = AS_LABELLED) -> list[Figure]:
    """WER against energy with intervals and the line of those that nothing beats in both."""
    plots = []
    for index, ((evidence, covers), entries) in enumerate(by_kind(eval_set.scored).items()):
        front = pareto(entries)
        behind = [entry for entry in entries if entry not in front]
        named = _named(entries)
        line = {**with_intervals(front, "On the front", COLOURS[0], names, named), "mode": "lines+markers"}
        line["line"] = {"shape": "hv", "width": 2, "color": COLOURS[0]}
        traces = [with_intervals(behind, "Beaten in both", "#8b9499", names, named), line] if behind else [line]
        plots.append(
            Figure(
                id=f"pareto-{index}",
                title=f"The best trade-offs (Pareto front), {evidence}",
                apart=covers,
                description="No recognizer is better in both WER and energy than one on the line: "
                + ", ".join(names.of(entry) for entry in front)
                + f". Lines are 95 % intervals. {sentence(covers)}; {eval_set.name}.",
                traces=traces,
                layout={
                    "xaxis": energy_axis(_ends([(e.row.j_per_audio_s, e.row.j_per_audio_s_ci95) for e in entries])),
                    "yaxis": wer_axis(_ends([(wer(entry), wer_interval(entry)) for entry in entries])),
                    "hovermode": "closest",
                    "margin": {"t": 20},
                },
                height_px=420,
                wide=len(entries) > MANY_POINTS,
            )
        )
    return plots


def _ends(values: Sequence[tuple[float | None, Interval | None]]) -> list[float]:
    """Every value with both ends of its interval: what an axis must show."""
    return [end for value, interval in values for end in (value, *(interval or ())) if end is not None]


def _named(entries: Sequence[Entry]) -> list[Entry]:
    return list(entries) if len(entries) <= MOST_NAMES else pareto(entries)


def against_snr(all_eval_sets: Sequence[EvalSet], names: Names = AS_LABELLED) -> list[Figure]:
    """WER and energy as the noise grows, with intervals; one pair of figures per corpus and noise."""
    plots: list[Figure] = []
    for index, (levels, clean) in enumerate(_snr_series(all_eval_sets)):
        first = levels[0]
        name = f"{str(first.condition.noise).rsplit('/', 1)[-1]}, {short_corpus(first.corpus)}"
        apart = ", ".join(part for part in (first.condition.noise, first.condition.rir, first.corpus) if part)
        plots.append(
            Figure(
                id=f"snr-wer-{index}",
                title=f"WER against SNR: {name}",
                apart=apart,
                description="SNR is the signal-to-noise ratio: noise grows to the right. "
                + ("Point at a field for its interval. " if _is_map(first) else "Lines are 95 % intervals. ")
                + ("On the left is clean speech." if clean else ""),
                **_against_levels(levels, clean, names, "WER, %", wer, wer_interval),
            )
        )
        kinds = {e.energy.kind for level in levels for e in level.entries if e.row.j_per_audio_s is not None}
        for part, kind in enumerate(sorted(kinds)):

            def joules(entry: Entry, kind: tuple[str, str] = kind) -> float | None:
                return entry.row.j_per_audio_s if entry.energy.kind == kind else None

            plots.append(
                Figure(
                    id=f"snr-energy-{index}-{part}",
                    title=f"Energy against SNR: {name}",
                    apart=f"{kind[0]}, {kind[1]}" if len(kinds) > 1 else apart,
                    description=f"{kind[0].capitalize()}: {kind[1]}. Noise grows to the right.",
                    **_against_levels(
                        levels, clean, names, "J per second of audio", joules, lambda e: e.row.j_per_audio_s_ci95
                    ),
                )
            )
    return plots


def _against_levels(
    levels: Sequence[EvalSet],
    clean: EvalSet | None,
    names: Names,
    title: str,
    value: Callable[[Entry], float | None],
    interval: Callable[[Entry], Interval | None],
) -> dict[str, Any]:
    """What such a figure draws: a curve for each recognizer, or a row of a map where there are too many of them."""
    count = len((clean or levels[0]).entries)
    if not _is_map(clean or levels[0]):
        drawn = curves(levels, clean, names, value, interval)
        return {"traces": drawn, "layout": _snr_layout(levels, clean, title), "wide": count > MANY_CURVES}
    order = ([clean] if clean else []) + list(levels)
    least_px = NAME_AND_LEVEL_PX[0] + NAME_AND_LEVEL_PX[1] * len(order)
    layout = {
        "xaxis": {"title": {"text": "SNR"}, "type": "category", "side": "top"},
        "yaxis": {"autorange": "reversed", "dtick": 1, "tickfont": {"size": 11}},
        "meta": {"least_px": least_px},
    }
    height_px = ROWS_BESIDE_PX + ROW_PX * count
    return {"traces": [level_map(order, names, title, value)], "layout": layout, "height_px": height_px, "wide": True}


def _is_map(eval_set: EvalSet) -> bool:
    return len(eval_set.entries) > MOST_CURVES


def _snr_series(all_eval_sets: Sequence[EvalSet]) -> list[tuple[list[EvalSet], EvalSet | None]]:
    """(eval sets from quiet to loud, the clean one) where a noise has two levels or more."""
    by_noise: dict[tuple[str, str, str | None], list[EvalSet]] = {}
    for eval_set in all_eval_sets:
        if eval_set.condition.noise is not None and eval_set.condition.snr_db is not None:
            by_noise.setdefault((eval_set.corpus, eval_set.condition.noise, eval_set.condition.rir), []).append(
                eval_set
            )
    series = []
    for (corpus, _, rir), levels in by_noise.items():
        clean = next(
            (h for h in all_eval_sets if h.corpus == corpus and h.condition.noise is None and h.condition.rir == rir),
            None,
        )
        if len(levels) + (clean is not None) > 1:
            series.append((sorted(levels, key=lambda eval_set: -(eval_set.condition.snr_db or 0.0)), clean))
    return series


def _snr_layout(levels: Sequence[EvalSet], clean: EvalSet | None, title: str) -> dict[str, Any]:
    order = (["clean"] if clean else []) + [level(eval_set) for eval_set in levels]
    return {
        "xaxis": {"title": {"text": "SNR"}, "type": "category", "categoryorder": "array", "categoryarray": order},
        "yaxis": {"title": {"text": title}, "rangemode": "tozero"},
        "hovermode": "closest",
    }
