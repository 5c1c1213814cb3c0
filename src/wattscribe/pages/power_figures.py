"""The power trace of every trial with its window, so that a reader sees what the joules were made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wattscribe.pages.page import Choice, Figure
from wattscribe.records import PowerTrace, TrialFacts, Window
from wattscribe.results.findings import EvalSet
from wattscribe.results.words import number

POINTS_IN_PAGE = 120_000
"""Points over all trials: about 2 MB of the page."""
FEWEST_POINTS = 200
WINDOW_COLOUR = "rgba(224,122,31,0.16)"
IDLE_COLOUR = "rgba(75,107,184,0.13)"


def power_traces(all_eval_sets: Sequence[EvalSet]) -> Choice | None:
    """One figure per trial that has samples, chosen from a list; None where nothing was sampled."""
    trials = [
        (eval_set, entry.group.label, trial, entry.energy.readings)
        for eval_set in all_eval_sets
        for entry in eval_set.entries
        for trial in entry.group.trials
        if any(trace.t_s for trace in trial.traces)
    ]
    if not trials:
        return None
    budget = max(FEWEST_POINTS, POINTS_IN_PAGE // sum(len(trial.traces) for _, _, trial, _ in trials))
    figures = [
        _figure(index, f"{label}, {eval_set.name}", trial, budget)
        for index, (eval_set, label, trial, _) in enumerate(trials)
    ]
    return Choice(id="choose-trial", label="Trial", figures=figures)


def _figure(index: int, title: str, trial: TrialFacts, budget: int) -> Figure:
    zero_s = min(trace.t_s[0] for trace in trial.traces if trace.t_s)
    repeat = f", repeat {trial.trial.repeat + 1}" if trial.trial.repeat else ""
    window = trial.window
    described = f"Orange: the window of {number(window.duration_s)} s whose energy counts. " if window else ""
    return Figure(
        id=f"power-{index}",
        title=title + repeat,
        description=described
        + "Blue: idle before and after. Samples as the sensor gave them"
        + (", thinned to their extremes." if any(len(trace.t_s) > budget for trace in trial.traces) else "."),
        traces=[_line(trace, zero_s, budget) for trace in trial.traces if trace.t_s],
        layout={
            "xaxis": {"title": {"text": "Time, s"}},
            "yaxis": {"title": {"text": "Power, W"}, "rangemode": "tozero"},
            "hovermode": "closest",
            "shapes": [
                *_shade(trial.idle_before, zero_s, IDLE_COLOUR),
                *_shade(window, zero_s, WINDOW_COLOUR),
                *_shade(trial.idle_after, zero_s, IDLE_COLOUR),
            ],
        },
        height_px=380,
    )


def _shade(window: Window | None, zero_s: float, colour: str) -> list[dict[str, Any]]:
    if window is None:
        return []
    ends = {"x0": window.start_s - zero_s, "x1": window.end_s - zero_s}
    return [
        {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "fillcolor": colour}
        | {"line": {"width": 0}}
        | ends
    ]


def _line(trace: PowerTrace, zero_s: float, budget: int) -> dict[str, Any]:
    times, powers = thinned(np.asarray(trace.t_s) - zero_s, np.asarray(trace.power_w), budget)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{trace.channel} ({trace.covers})",
        "x": [round(float(time_s), 4) for time_s in times],
        "y": [None if np.isnan(power) else round(float(power), 5) for power in powers],
        "line": {"width": 1.4},
    }


def thinned(
    times: np.ndarray[Any, np.dtype[np.float64]], powers: np.ndarray[Any, np.dtype[np.float64]], budget: int
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """At most `budget` samples: of each stretch its lowest and highest, in the order of time, so that no peak is lost."""
    if len(times) <= budget:
        return times, powers
    ends = np.linspace(0, len(times), max(1, (budget - 2) // 2) + 1).astype(int)
    padded = np.full((len(ends) - 1, int(np.diff(ends).max())), np.nan)
    place = np.arange(padded.shape[1]) < np.diff(ends)[:, None]
    padded[place] = powers
    known = ~np.isnan(padded).all(axis=1)  # NaN: a counter was set back
    extremes = [ends[:-1][known] + find(padded[known], axis=1) for find in (np.nanargmin, np.nanargmax)]
    chosen = np.unique(np.concatenate([[0, len(times) - 1], *extremes]))
    return times[chosen], powers[chosen]
