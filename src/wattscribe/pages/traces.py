"""Recognizers as plotly traces: bars, curves and points.

Points are named by the page's script, which knows how many pixels there are: it looks for a free place beside each, and draws a
line to it. A trace says its names in `meta`: `names` as shown, `full` on pointing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from wattscribe.pages.names import Names, shortened
from wattscribe.records import Interval
from wattscribe.results.findings import Entry, EvalSet, counterpart
from wattscribe.results.words import bytes_text, interval_text, number

COLOURS = ("#0f8b8d", "#e07a1f", "#4b6bb8", "#b23a6f", "#6a8e3a", "#8a63b5", "#b08a2e", "#5d737e")
DASHES = ("solid", "dash", "dot", "dashdot")
LARGEST_PX = 48
SMALLEST_PX = 7
"""Diameters of bubbles; the area is in proportion to the memory down to 2 % of the largest."""
RTF_SCALE = [[0, "#2b7a78"], [0.5, "#e3b23c"], [1, "#b3261e"]]
"""Colour of the real-time factor, from none to that of the slowest."""


def error_bars(values: Sequence[float | None], intervals: Sequence[Interval | None]) -> dict[str, Any]:
    """Plotly's two-sided bars; none where no value has an interval."""
    pairs = [(v or 0.0, i or (v or 0.0, v or 0.0)) for v, i in zip(values, intervals, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - v) for v, (_, high) in pairs],
        "arrayminus": [max(0.0, v - low) for v, (low, _) in pairs],
        "thickness": 1.2,
        "width": 3,
        "visible": any(interval is not None for interval in intervals),
    }


def wer(entry: Entry) -> float | None:
    """In per cent."""
    return None if entry.row.wer is None else 100 * entry.row.wer


def wer_interval(entry: Entry) -> Interval | None:
    """In per cent."""
    interval = entry.row.wer_ci95
    return None if interval is None else (100 * interval[0], 100 * interval[1])


def memory(entry: Entry) -> int | None:
    """Bytes where the model lies: on the GPU, else in RAM."""
    return entry.row.gpu_memory_bytes or entry.row.peak_memory_bytes


def hover(entry: Entry) -> str:
    """What pointing at a recognizer shows: its full label and its figures."""
    row = entry.row
    lines = [
        entry.group.label,
        f"WER {number(wer(entry))} % {interval_text(row.wer_ci95, 100)}",
        f"{number(row.j_per_audio_s)} J per second of audio, {row.energy_evidence}",
        f"RTF {number(row.rtf)}, {bytes_text(memory(entry))}",
    ]
    return "<br>".join(lines)


def wer_trace(eval_set: EvalSet, name: str, names: Names) -> dict[str, Any]:
    entries = eval_set.scored
    values = [wer(entry) for entry in entries]
    return {
        "type": "bar",
        "name": shortened(name),
        "x": [names.of(entry) for entry in entries],
        "y": values,
        "hovertext": [f"{hover(entry)}<br>{name}" for entry in entries],
        "hoverinfo": "text",
        "error_y": error_bars(values, [wer_interval(entry) for entry in entries]),
    }


def by_precision(
    entries: Sequence[Entry],
    names: Names,
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
                "x": [names.model(entry) for entry in mine],
                "y": values,
                "hovertext": [hover(entry) for entry in mine],
                "hoverinfo": "text",
                "error_y": error_bars(values, [interval(entry) for entry in mine]),
                "marker": {"color": COLOURS[index % len(COLOURS)]},
            }
        )
    return traces


def curves(
    levels: Sequence[EvalSet],
    clean: EvalSet | None,
    names: Names,
    value: Callable[[Entry], float | None],
    interval: Callable[[Entry], Interval | None],
) -> list[dict[str, Any]]:
    first = clean or levels[0]
    traces = []
    models = list(dict.fromkeys(entry.row.model_label for entry in first.entries))
    precisions = list(dict.fromkeys(entry.row.precision for entry in first.entries))
    for entry in first.entries:
        path = [
            (level(eval_set), counterpart(entry, eval_set)) for eval_set in ([clean] if clean else []) + list(levels)
        ]
        there = [(label, point) for label, point in path if point is not None and value(point) is not None]
        if not there:
            continue
        values = [value(point) or 0.0 for _, point in there]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": names.of(entry),
                "x": [label for label, _ in there],
                "y": values,
                "hovertext": [f"{hover(point)}<br>{label}" for label, point in there],
                "hoverinfo": "text",
                "error_y": error_bars(values, [interval(point) for _, point in there]),
                "line": {
                    "color": COLOURS[models.index(entry.row.model_label) % len(COLOURS)],
                    "dash": DASHES[precisions.index(entry.row.precision) % len(DASHES)],
                },
            }
        )
    return traces


def level_map(
    eval_sets: Sequence[EvalSet], names: Names, title: str, value: Callable[[Entry], float | None]
) -> dict[str, Any]:
    """A row for each recognizer, a column for each level, the figure in each field."""
    rows = eval_sets[0].entries
    points = [[counterpart(entry, eval_set) for eval_set in eval_sets] for entry in rows]
    values = [[None if point is None else value(point) for point in row] for row in points]
    return {
        "type": "heatmap",
        "x": [level(eval_set) for eval_set in eval_sets],
        "y": [names.of(entry) for entry in rows],
        "z": values,
        "text": [["" if each is None else number(each) for each in row] for row in values],
        "texttemplate": "%{text}",
        "hovertext": [["" if point is None else hover(point) for point in row] for row in points],
        "hoverinfo": "text",
        "hoverongaps": False,
        "colorscale": "YlOrRd",
        "reversescale": True,
        "colorbar": {"title": {"text": title}, "thickness": 10, "outlinewidth": 0},
    }


def level(eval_set: EvalSet) -> str:
    snr = eval_set.condition.snr_db
    return "clean" if snr is None else f"{snr:g} dB"


def bubble_trace(entries: Sequence[Entry], names: Names, *, named: Sequence[Entry], coloured: bool) -> dict[str, Any]:
    """Size is memory; colour the real-time factor, or the same for all."""
    largest_first = sorted(entries, key=lambda entry: -(memory(entry) or 0))  # so that none hides another
    largest = max((memory(entry) or 0 for entry in entries), default=0) or 1
    marker: dict[str, Any] = {
        "size": [max(SMALLEST_PX, LARGEST_PX * math.sqrt((memory(entry) or 0) / largest)) for entry in largest_first],
        "color": COLOURS[0],
        "opacity": 0.82,
        "line": {"width": 1, "color": "#ffffff"},
    }
    if coloured:
        factors = [entry.row.rtf for entry in largest_first]
        marker |= {
            "color": factors,
            "cmin": 0,
            "cmax": max(factor for factor in factors if factor is not None),
            "colorscale": RTF_SCALE,
            "showscale": True,
            "colorbar": {"title": {"text": "RTF"}, "thickness": 10, "outlinewidth": 0},
        }
    return {**points(largest_first, names, named=named), "marker": marker}


def points(entries: Sequence[Entry], names: Names, *, named: Sequence[Entry]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [entry.row.j_per_audio_s or 0.0 for entry in entries],
        "y": [wer(entry) or 0.0 for entry in entries],
        "meta": {
            "names": [names.in_lines(entry) if entry in named else "" for entry in entries],
            "full": [entry.group.label for entry in entries],
        },
        "cliponaxis": False,
        "hovertext": [hover(entry) for entry in entries],
        "hoverinfo": "text",
    }


def with_intervals(
    entries: Sequence[Entry], name: str, colour: str, names: Names, named: Sequence[Entry]
) -> dict[str, Any]:
    trace = points(entries, names, named=named)
    return {
        **trace,
        "name": name,
        "error_x": error_bars(trace["x"], [entry.row.j_per_audio_s_ci95 for entry in entries]),
        "error_y": error_bars(trace["y"], [wer_interval(entry) for entry in entries]),
        "marker": {"size": 9, "color": colour},
    }
