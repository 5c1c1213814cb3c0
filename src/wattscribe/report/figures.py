"""The figures of a run as plotly data: the study's four, the noise curves and the Pareto front."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wattscribe.records import Interval
from wattscribe.report.axes import energy_axis
from wattscribe.report.findings import Entry, Hearing, base_hearings, counterpart, noise_pair
from wattscribe.report.groups import short_corpus
from wattscribe.report.page import Figure
from wattscribe.report.recommend import by_kind, pareto
from wattscribe.report.words import bytes_text, interval_text, number, sentence

COLOURS = ("#0f8b8d", "#e07a1f", "#4b6bb8", "#b23a6f", "#6a8e3a", "#8a63b5", "#b08a2e", "#5d737e")
MANY_BARS = 12
"""More bars than this take the page's whole width."""
MANY_CURVES = 6
MANY_BUBBLES = 6
"""With more bubbles than this only those on the Pareto front are named in the figure; the others on pointing."""
NAME_WIDTH = 18
"""Characters in one line of a point's name."""
DASHES = ("solid", "dash", "dot", "dashdot")
RTF_SCALE = [[0, "#2b7a78"], [0.5, "#e3b23c"], [1, "#b3261e"]]
"""Colour of the real-time factor: calm where it keeps up, red where it does not."""


def wer_bars(all_hearings: Sequence[Hearing]) -> Figure | None:
    """The study's figure 4: WER of every recognizer, quiet and noisy side by side."""
    pair = noise_pair(all_hearings)
    chosen = list(pair) if pair else base_hearings(all_hearings)
    one_corpus = len({each.corpus for each in chosen}) == 1
    labels = [each.condition.name if one_corpus and pair else each.name for each in chosen]
    traces = [_bars(each, name, _wer, _wer_interval) for each, name in zip(chosen, labels, strict=True) if each.scored]
    if not traces:
        return None
    names = " and ".join(labels) + (f", {short_corpus(chosen[0].corpus)}" if one_corpus and pair else "")
    return Figure(
        id="wer-bars",
        title="WER, quiet and noisy" if pair else "WER",
        description=f"Word error rate of every recognizer: {names}. Lines are 95 % intervals.",
        traces=traces,
        layout={"barmode": "group", "yaxis": {"title": {"text": "WER, %"}, "rangemode": "tozero"}},
        wide=sum(len(each.scored) for each in chosen) > MANY_BARS,
    )


def energy_bars(hearing: Hearing) -> list[Figure]:
    """The study's figure 5: joules per model and precision; one figure per kind of evidence, never mixed."""
    made = []
    for number_, ((evidence, covers), entries) in enumerate(by_kind(hearing.entries).items()):
        made.append(
            Figure(
                id=f"energy-bars-{number_}",
                title=f"Energy per second of audio, {evidence}",
                description=f"{evidence.capitalize()}: {covers}. {hearing.name}. Lines are 95 % intervals"
                + (" of the model's stated range." if evidence == "modelled" else "."),
                traces=_by_precision(entries, lambda e: e.row.j_per_audio_s, lambda e: e.row.j_per_audio_s_ci95),
                layout={
                    "barmode": "group",
                    "yaxis": {"title": {"text": "J per second of audio"}, "rangemode": "tozero"},
                },
            )
        )
    return made


def speed_and_memory_bars(hearing: Hearing) -> Figure | None:
    """The study's figure 7: real-time factor above, peak memory below, per model and precision."""
    entries = [entry for entry in hearing.entries if entry.row.rtf is not None]
    if not entries:
        return None
    above = _by_precision(entries, lambda e: e.row.rtf, lambda e: e.row.rtf_ci95)
    below = _by_precision(entries, lambda e: None if (m := _memory(e)) is None else m / 1e6, lambda e: None)
    for trace in below:
        trace.update({"xaxis": "x2", "yaxis": "y2", "showlegend": False})
    return Figure(
        id="speed-memory",
        title="Real-time factor and peak memory",
        description=f"Above: seconds of work per second of audio; below 1 keeps up with speech. Below: peak memory of "
        f"the worker above its empty self. {hearing.name}.",
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
    )


def bubbles(hearing: Hearing) -> list[Figure]:
    """The study's figure 8: WER against energy, one bubble per recognizer; colour is RTF, size is memory."""
    made = []
    for index, ((evidence, covers), entries) in enumerate(by_kind(hearing.scored).items()):
        largest = max((_memory(entry) or 0 for entry in entries), default=0) or 1
        energies = [entry.row.j_per_audio_s or 0.0 for entry in entries]
        named = entries if len(entries) <= MANY_BUBBLES else pareto(entries)
        trace = {
            "type": "scatter",
            "mode": "markers+text",
            "x": energies,
            "y": [_wer(entry) for entry in entries],
            "text": [_point_name(entry) if entry in named else "" for entry in entries],
            "textposition": _inwards(energies),
            "cliponaxis": False,
            "hovertext": [_hover(entry) for entry in entries],
            "hoverinfo": "text",
            "marker": {
                "size": [12 + 40 * math.sqrt((_memory(entry) or 0) / largest) for entry in entries],
                "color": [entry.row.rtf for entry in entries],
                "colorscale": RTF_SCALE,
                "showscale": True,
                "colorbar": {"title": {"text": "RTF"}, "thickness": 10, "outlinewidth": 0},
                "opacity": 0.82,
                "line": {"width": 1, "color": "#ffffff"},
            },
        }
        made.append(
            Figure(
                id=f"bubbles-{index}",
                title=f"WER against energy, {evidence}",
                description=f"Lower left is better. Colour is the real-time factor, area the peak memory. "
                f"{sentence(covers)}; {hearing.name}.",
                traces=[trace],
                layout={
                    "xaxis": energy_axis(energies, room=True),
                    "yaxis": {"title": {"text": "WER, %"}, "rangemode": "tozero"},
                    "showlegend": False,
                    "margin": {"t": 40},
                },
                height_px=420,
            )
        )
    return made


def pareto_front(hearing: Hearing) -> list[Figure]:
    """WER against energy with intervals and the line of those that nothing beats in both."""
    made = []
    for index, ((evidence, covers), entries) in enumerate(by_kind(hearing.scored).items()):
        front = pareto(entries)
        behind = [entry for entry in entries if entry not in front]
        energies = [entry.row.j_per_audio_s or 0.0 for entry in entries]
        named = entries if len(entries) <= MANY_BUBBLES else front
        sides = dict(zip(map(id, entries), _inwards(energies), strict=True))
        line = _points(front, "On the front", COLOURS[0], named, sides)
        line.update({"mode": "lines+markers+text", "line": {"shape": "hv", "width": 2, "color": COLOURS[0]}})
        traces = [_points(behind, "Beaten in both", "#8b9499", named, sides), line] if behind else [line]
        made.append(
            Figure(
                id=f"pareto-{index}",
                title=f"The best trade-offs (Pareto front), {evidence}",
                description="No recognizer is better in both WER and energy than one on the line: "
                + ", ".join(entry.group.label for entry in front)
                + f". {sentence(covers)}; {hearing.name}.",
                traces=traces,
                layout={
                    "xaxis": energy_axis(energies),
                    "yaxis": {"title": {"text": "WER, %"}, "rangemode": "tozero"},
                    "hovermode": "closest",
                    "margin": {"t": 34},
                },
                height_px=420,
            )
        )
    return made


def against_snr(all_hearings: Sequence[Hearing]) -> list[Figure]:
    """WER and energy as the noise grows, with intervals; one pair of figures per corpus and noise."""
    made: list[Figure] = []
    for index, (corpus, noise, levels, clean) in enumerate(_snr_series(all_hearings)):
        name = f"{noise.rsplit('/', 1)[-1]}, {short_corpus(corpus)}"
        made.append(
            Figure(
                id=f"snr-wer-{index}",
                title=f"WER against SNR: {name}",
                description="SNR is the signal-to-noise ratio: noise grows to the right. Lines are 95 % intervals. "
                + ("The leftmost points are clean speech." if clean else ""),
                traces=_curves(levels, clean, _wer, _wer_interval),
                layout=_snr_layout(levels, clean, "WER, %"),
                wide=len(levels[0].entries) > MANY_CURVES,
            )
        )
        kinds = {e.energy.kind for level in levels for e in level.entries if e.row.j_per_audio_s is not None}
        for part, kind in enumerate(sorted(kinds)):

            def joules(entry: Entry, kind: tuple[str, str] = kind) -> float | None:
                return entry.row.j_per_audio_s if entry.energy.kind == kind else None

            made.append(
                Figure(
                    id=f"snr-energy-{index}-{part}",
                    title=f"Energy against SNR: {name}",
                    description=f"{kind[0].capitalize()}: {kind[1]}. Noise grows to the right.",
                    traces=_curves(levels, clean, joules, lambda e: e.row.j_per_audio_s_ci95),
                    layout=_snr_layout(levels, clean, "J per second of audio"),
                    wide=len(levels[0].entries) > MANY_CURVES,
                )
            )
    return made


def _snr_series(all_hearings: Sequence[Hearing]) -> list[tuple[str, str, list[Hearing], Hearing | None]]:
    """(corpus, noise, hearings from quiet to loud, the clean one) where a noise has two levels or more."""
    found: dict[tuple[str, str, str | None], list[Hearing]] = {}
    for each in all_hearings:
        if each.condition.noise is not None and each.condition.snr_db is not None:
            found.setdefault((each.corpus, each.condition.noise, each.condition.rir), []).append(each)
    series = []
    for (corpus, noise, rir), levels in found.items():
        clean = next(
            (h for h in all_hearings if h.corpus == corpus and h.condition.noise is None and h.condition.rir == rir),
            None,
        )
        if len(levels) + (clean is not None) > 1:
            series.append((corpus, noise, sorted(levels, key=lambda each: -(each.condition.snr_db or 0.0)), clean))
    return series


def _curves(
    levels: Sequence[Hearing],
    clean: Hearing | None,
    value: Callable[[Entry], float | None],
    interval: Callable[[Entry], Interval | None],
) -> list[dict[str, Any]]:
    first = clean or levels[0]
    traces = []
    models = list(dict.fromkeys(entry.row.model_label for entry in first.entries))
    precisions = list(dict.fromkeys(entry.row.precision for entry in first.entries))
    for entry in first.entries:
        path = [(_level(each), counterpart(entry, each)) for each in ([clean] if clean else []) + list(levels)]
        there = [(label, each) for label, each in path if each is not None and value(each) is not None]
        if not there:
            continue
        values = [value(each) or 0.0 for _, each in there]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": entry.group.label,
                "x": [label for label, _ in there],
                "y": values,
                "error_y": _error_bars(values, [interval(each) for _, each in there]),
                "line": {
                    "color": COLOURS[models.index(entry.row.model_label) % len(COLOURS)],
                    "dash": DASHES[precisions.index(entry.row.precision) % len(DASHES)],
                },
            }
        )
    return traces


def _level(hearing: Hearing) -> str:
    snr = hearing.condition.snr_db
    return "clean" if snr is None else f"{snr:g} dB"


def _snr_layout(levels: Sequence[Hearing], clean: Hearing | None, title: str) -> dict[str, Any]:
    order = (["clean"] if clean else []) + [_level(each) for each in levels]
    return {
        "xaxis": {"title": {"text": "SNR"}, "type": "category", "categoryorder": "array", "categoryarray": order},
        "yaxis": {"title": {"text": title}, "rangemode": "tozero"},
        "hovermode": "closest",
    }


# --- parts -----------------------------------------------------------------------------------------------------------
def _bars(
    hearing: Hearing,
    name: str,
    value: Callable[[Entry], float | None],
    interval: Callable[[Entry], Interval | None],
) -> dict[str, Any]:
    values = [value(entry) for entry in hearing.scored]
    return {
        "type": "bar",
        "name": name,
        "x": [entry.group.label for entry in hearing.scored],
        "y": values,
        "error_y": _error_bars(values, [interval(entry) for entry in hearing.scored]),
    }


def _by_precision(
    entries: Sequence[Entry],
    value: Callable[[Entry], float | None],
    interval: Callable[[Entry], Interval | None],
) -> list[dict[str, Any]]:
    traces = []
    for index, precision in enumerate(dict.fromkeys(entry.row.precision for entry in entries)):
        mine = [entry for entry in entries if entry.row.precision == precision]
        values = [value(entry) for entry in mine]
        traces.append(
            {
                "type": "bar",
                "name": precision,
                "x": [entry.row.model_label for entry in mine],
                "y": values,
                "error_y": _error_bars(values, [interval(entry) for entry in mine]),
                "marker": {"color": COLOURS[index % len(COLOURS)]},
            }
        )
    return traces


def _point_name(entry: Entry) -> str:
    """The recognizer in two lines or more, so that it fits beside its point."""
    lines = [""]
    for part in re.split(r"(?<=[-:/ _])", entry.group.label):
        if lines[-1] and len(lines[-1]) + len(part) > NAME_WIDTH:
            lines.append("")
        lines[-1] += part
    return "<br>".join(lines)


def _inwards(energies: Sequence[float]) -> list[str]:
    """On which side a point's name stands: towards the middle of the figure, so that no edge cuts it."""
    heights = [math.log10(each) if each > 0 else -math.inf for each in energies]
    known = [each for each in heights if math.isfinite(each)]
    middle = (min(known) + max(known)) / 2 if known else 0.0
    alone = len(set(known)) < 2
    return ["top center" if alone else "top right" if each <= middle else "top left" for each in heights]


def _points(
    entries: Sequence[Entry], name: str, colour: str, named: Sequence[Entry], sides: Mapping[int, str]
) -> dict[str, Any]:
    x, y = [entry.row.j_per_audio_s or 0.0 for entry in entries], [_wer(entry) or 0.0 for entry in entries]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "text": [_point_name(entry) if entry in named else "" for entry in entries],
        "textposition": [sides[id(entry)] for entry in entries],
        "textfont": {"size": 11},
        "cliponaxis": False,
        "name": name,
        "x": x,
        "y": y,
        "hovertext": [_hover(entry) for entry in entries],
        "hoverinfo": "text",
        "error_x": _error_bars(x, [entry.row.j_per_audio_s_ci95 for entry in entries]),
        "error_y": _error_bars(y, [_wer_interval(entry) for entry in entries]),
        "marker": {"size": 9, "color": colour},
    }


def _error_bars(values: Sequence[float | None], intervals: Sequence[Interval | None]) -> dict[str, Any]:
    pairs = [(v or 0.0, i or (v or 0.0, v or 0.0)) for v, i in zip(values, intervals, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - v) for v, (_, high) in pairs],
        "arrayminus": [max(0.0, v - low) for v, (low, _) in pairs],
        "thickness": 1.2,
        "width": 3,
        "visible": any(each is not None for each in intervals),
    }


def _wer(entry: Entry) -> float | None:
    return None if entry.row.wer is None else 100 * entry.row.wer


def _wer_interval(entry: Entry) -> Interval | None:
    interval = entry.row.wer_ci95
    return None if interval is None else (100 * interval[0], 100 * interval[1])


def _memory(entry: Entry) -> int | None:
    return entry.row.gpu_memory_bytes or entry.row.peak_memory_bytes


def _hover(entry: Entry) -> str:
    row = entry.row
    lines = [
        entry.group.label,
        f"WER {number(_wer(entry))} % {interval_text(row.wer_ci95, 100)}",
        f"{number(row.j_per_audio_s)} J per second of audio, {row.energy_evidence}",
        f"RTF {number(row.rtf)}, {bytes_text(_memory(entry))}",
    ]
    return "<br>".join(lines)
