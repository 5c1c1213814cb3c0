"""Which of a run's traces stands for the device: one trace, never a sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wattscribe.metering.base import PSYS_SHARE
from wattscribe.records import PowerTrace


def preferred(traces: Sequence[PowerTrace], device: str = "cpu") -> PowerTrace | None:
    """The one trace that stands for the device, never a sum of traces.

    A recording of the whole device that somebody attached comes first, then a meter of the whole device; then the GPU's for a
    `cuda` device and the CPU's for any other; then the rail that covers most of what computes. `cuda:1` is never answered by
    another numbered GPU than 1. A rail that neither is a total nor feeds a processor stands for nothing. A modelled trace is
    taken only where nothing is measured.
    """
    filled = [
        trace
        for trace in traces
        if trace.evidence != "unavailable"
        and np.isfinite(trace.power_w).any()
        and (trace.total or trace.processors)
        and not _is_another_gpu(trace, device)
    ]
    filled = _without_false_psys(filled)
    if not filled:
        return None
    wanted = "gpu" if device.startswith("cuda") else "cpu"

    def rank(trace: PowerTrace) -> tuple[bool, bool, bool, bool, bool, float]:
        return (
            trace.evidence == "modelled",
            not (trace.total and trace.origin == "attached"),
            trace.evidence == "calibrated",
            not (trace.total and trace.processors in ((), (wanted,))),
            wanted not in trace.processors,
            -float(np.nanmean(trace.power_w)),
        )

    return min(filled, key=rank)


def _without_false_psys(traces: Sequence[PowerTrace]) -> list[PowerTrace]:
    """psys holds the packages and their DRAM; one that shows less than they do is miswired, and the CPU's sum is the total."""
    by_name = {trace.channel: trace for trace in traces}
    psys, cpu = by_name.get("rapl.psys"), by_name.get("rapl.cpu")
    if psys is None or cpu is None or np.nanmean(psys.power_w) >= PSYS_SHARE * np.nanmean(cpu.power_w):
        return list(traces)
    return [replace(cpu, total=True) if trace is cpu else trace for trace in traces if trace is not psys]


def _is_another_gpu(trace: PowerTrace, device: str) -> bool:
    kind, _, index = device.partition(":")
    return trace.gpu_index is not None and kind == "cuda" and index not in ("", str(trace.gpu_index))
