"""How a window's two ends are read, where it is known that the load begins or ends there and the machine is idle beyond."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from wattscribe.metering.window.signal import Signal, cumulative_j
from wattscribe.records import Window

MIN_INSIDE = 2
"""Samples that must remain when those that saw the outside are left out."""
IDLE_TOLERANCE = 0.1
"""Beyond the window the power must lie this near to idle, as a share of the load above idle; else something ran there too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePower:
    """Mean power of an idle window, with its variance."""

    power_w: float
    variance_w2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`interpolated`: between the samples on both sides. `inside`: samples that saw the outside are left out, their neighbour
    inside stands for them. `outside`: integrated `beyond_s` further, to where the sensor has shown all of the load, and
    idle power taken off for that time."""

    kind: Literal["interpolated", "inside", "outside"] = "interpolated"
    beyond_s: float = 0.0
    idle: IdlePower | None = None


INTERPOLATED = Edge()
INSIDE = Edge(kind="inside")


def choose(signal: Signal, window: Window, idle: IdlePower | None, *, first: bool) -> Edge:
    """The way to read a side on which an idle window is given.

    A sensor that averages (or counts) smears the load's edge beyond the window but loses nothing of it: integrate the smear.
    One that shows instants says nothing between its samples: those inside are the better witnesses.
    """
    if not signal.resolved:
        return INSIDE
    if idle is None:
        return INTERPOLATED
    edge_s = window.start_s if first else window.end_s
    beyond_s = _beyond_s(signal, edge_s, first=first)
    if beyond_s is None or not _is_idle(
        signal, window, idle, edge_s - beyond_s if first else edge_s + beyond_s, first=first
    ):
        return INTERPOLATED
    return Edge(kind="outside", beyond_s=beyond_s, idle=idle)


def _beyond_s(signal: Signal, edge_s: float, *, first: bool) -> float | None:
    """As far as the smear reaches, and a counter on to its next update; None where the trace ends before."""
    if signal.interval_means:
        index = int(np.searchsorted(signal.t_s, edge_s, side="right" if first else "left")) - (1 if first else 0)
        # The update's own time is known to half a read only: one update further is surely idle.
        index += -1 if first else 1
        if not 0 <= index < len(signal.t_s):
            return None
        return abs(edge_s - float(signal.t_s[index]))
    beyond_s = signal.margin_s + signal.spacing_s
    end_s = edge_s - beyond_s if first else edge_s + beyond_s
    return beyond_s if signal.t_s[0] <= end_s <= signal.t_s[-1] else None


def _is_idle(signal: Signal, window: Window, idle: IdlePower, beyond_s: float, *, first: bool) -> bool:
    """Whether the power at the far point is near idle, measured by how far the load is above it."""
    at_j = cumulative_j(signal, np.array([window.start_s, window.end_s]))
    load_w = float(at_j[1] - at_j[0]) / window.duration_s
    span_s = signal.update_s
    near = np.array([beyond_s - span_s, beyond_s] if first else [beyond_s, beyond_s + span_s])
    around_j = cumulative_j(signal, near)
    there_w = float(around_j[1] - around_j[0]) / span_s
    tolerance_w = IDLE_TOLERANCE * abs(load_w - idle.power_w) + 3 * idle.variance_w2**0.5
    return bool(abs(there_w - idle.power_w) <= tolerance_w)


def trim(signal: Signal, window: Window, edges: tuple[Edge, Edge]) -> tuple[Signal, tuple[Edge, Edge]]:
    """Leave out what an `inside` edge leaves out; where too little remains, both sides are interpolated instead."""
    keep = np.ones(len(signal.t_s), dtype=bool)
    if edges[0].kind == "inside":
        keep &= signal.t_s >= window.start_s + signal.margin_s
    if edges[1].kind == "inside":
        keep &= signal.t_s <= window.end_s - signal.margin_s
    if keep.all():
        return signal, edges
    if np.count_nonzero(keep) < MIN_INSIDE + (1 if signal.interval_means else 0):
        kept = tuple(INTERPOLATED if edge.kind == "inside" else edge for edge in edges)
        return signal, (kept[0], kept[1])
    kept_signal = replace(signal, t_s=signal.t_s[keep], power_w=signal.power_w[keep], after_gap=signal.after_gap[keep])
    return kept_signal, edges


def window_energy_j(signal: Signal, window: Window, edges: tuple[Edge, Edge]) -> float:
    """The energy between both edges, what lies beyond them taken off at idle power."""
    first, last = edges
    times = np.array([window.start_s - first.beyond_s, window.end_s + last.beyond_s])
    at_j = cumulative_j(signal, times)
    beyond_j = sum(edge.beyond_s * edge.idle.power_w for edge in edges if edge.idle is not None)
    return float(at_j[1] - at_j[0]) - beyond_j
