"""Power against what a designer can choose: local memory, segment length, beam, vocabulary."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wattscribe.energy.breakdown import power_w
from wattscribe.energy.devices import Device
from wattscribe.energy.options import Unit
from wattscribe.energy.rates import Rate, Rates
from wattscribe.energy.workload import DRAFT, Component, WeightTensor, Workload
from wattscribe.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One setting and the watts of each component there."""

    x: float
    power_w: dict[str, float]


def local_memory(
    workload: Workload, rates: Rates, device: Device, capacities: Sequence[int], unit: Unit = "component"
) -> list[Point]:
    """x: bytes of local memory. Devices of one tier have no curve."""
    if len(device.tiers) == 1:
        return []
    return [
        Point(x=capacity, power_w=power_w(workload, rates, device.with_local_memory(capacity), unit=unit))
        for capacity in capacities
    ]


def segment_length(workload: Workload, rates: Rates, device: Device, factors: Sequence[float]) -> list[Point]:
    """x: seconds of audio per encoder invocation. A segment of k times the length runs 1/k as often, reads its weights
    once all the same, and does k times the arithmetic and activations; batched joiner calls per segment fall alike."""
    if workload.segment_s is None or "encoder" not in rates.components:
        return []
    return [_at_length(workload, rates, device, factor) for factor in factors]


def _at_length(workload: Workload, rates: Rates, device: Device, factor: float) -> Point:
    encoder = workload.component("encoder")
    longer = dataclasses.replace(
        encoder,
        macs={dtype: count * factor for dtype, count in encoder.macs.items()},
        activation_bytes=encoder.activation_bytes * factor,
        activation_bytes_unfused=encoder.activation_bytes_unfused * factor,
        peak_activation_bytes=round(encoder.peak_activation_bytes * factor),
    )
    was = rates.components["encoder"]
    changed = dict(rates.components)
    changed["encoder"] = Rate(calls_per_s=was.calls_per_s / factor, rows_per_s=was.rows_per_s / factor)
    if rates.decoding == "batched" and rates.beam == 1 and "joiner" in changed:
        joiner = changed["joiner"]
        saved = was.calls_per_s * (1 - 1 / factor)
        changed["joiner"] = Rate(calls_per_s=max(0.0, joiner.calls_per_s - saved), rows_per_s=joiner.rows_per_s)
    at = dataclasses.replace(rates, components=changed)
    return Point(x=(workload.segment_s or 0.0) * factor, power_w=power_w(workload.replace(longer), at, device))


def utterance_length(workload: Workload, rates: Rates, device: Device, lengths: Sequence[float]) -> list[Point]:
    """x: seconds of an utterance that is alone in its window. The whole window is heard however short it is, tokens keep their
    rate; watts are joules per second of audio."""
    if not workload.windows or workload.segment_s is None:
        return []
    window_s = workload.segment_s
    return [
        Point(x=length, power_w=power_w(workload, _often(rates, _PER_TOKEN, 1 / length, others=True), device))
        for length in (*(length for length in lengths if length < window_s), window_s)
    ]


def talkativeness(workload: Workload, rates: Rates, device: Device, tokens_per_s: Sequence[float]) -> list[Point]:
    """x: tokens per second of audio, each of which is a run of the decoder, or as many as were counted where
    drafts save some."""
    if workload.kind != "encoder-decoder":
        return []
    if rates.draft_frames_per_s is not None:
        return [
            Point(x=per_s, power_w=power_w(workload, _scaled(rates, per_s / (rates.tokens_per_s or per_s)), device))
            for per_s in tokens_per_s
        ]
    return [
        Point(x=per_s, power_w=power_w(workload, _often(rates, _PER_TOKEN, per_s, others=False), device))
        for per_s in tokens_per_s
    ]


_PER_TOKEN = frozenset(("decoder", "vocabulary", f"{DRAFT}decoder", f"{DRAFT}vocabulary"))


def _scaled(rates: Rates, factor: float) -> Rates:
    """What runs for tokens does so `factor` times as often."""
    by_component = {
        name: Rate(calls_per_s=factor * was.calls_per_s, rows_per_s=factor * was.rows_per_s)
        if name in _PER_TOKEN
        else was
        for name, was in rates.components.items()
    }
    return dataclasses.replace(rates, components=by_component)


def _often(rates: Rates, parts: frozenset[str], per_s: float, *, others: bool) -> Rates:
    """These parts, or all others, run `per_s` times a second, with as many rows a call as before."""
    by_component = {}
    for name, was in rates.components.items():
        rows = was.rows_per_s / was.calls_per_s if was.calls_per_s else 1.0
        by_component[name] = was if (name in parts) == others else Rate(calls_per_s=per_s, rows_per_s=per_s * rows)
    return dataclasses.replace(rates, components=by_component)


def beam(workload: Workload, device: Device, make_rates: Callable[[int], Rates], beams: Sequence[int]) -> list[Point]:
    """x: live hypotheses; `make_rates` states the rates of a beam."""
    return [Point(x=width, power_w=power_w(workload, make_rates(width), device)) for width in beams]


def vocabulary(workload: Workload, rates: Rates, device: Device, sizes: Sequence[int]) -> list[Point]:
    """x: tokens. The tensors with one entry per token grow: the joiner's output, the predictor's embedding. Tokens per
    second are kept, although a larger vocabulary needs fewer of them."""
    if not workload.vocabulary:
        return []
    return [Point(x=size, power_w=power_w(with_vocabulary(workload, size), rates, device)) for size in sizes]


def with_vocabulary(workload: Workload, size: int) -> Workload:
    """The workload with another number of tokens. Raises InputError where it has no vocabulary."""
    if not workload.vocabulary or size < 1:
        raise InputError(f"the vocabulary cannot become {size}", where=workload.name, fix="Use 1 or more tokens")
    factor = size / workload.vocabulary
    grown = tuple(
        _grown(component, workload.vocabulary, factor) if component.name != "encoder" else component
        for component in workload.components
    )
    return dataclasses.replace(workload, components=grown, vocabulary=size)


def _grown(component: Component, vocabulary: int, factor: float) -> Component:
    added = 0.0
    weights: list[WeightTensor] = []
    for weight in component.weights:
        if vocabulary not in weight.shape:
            weights.append(weight)
            continue
        if len(weight.shape) > 1 and weight.call_bytes:
            elements = 1
            for length in weight.shape:
                elements *= length
            added += elements * (factor - 1)
        weights.append(
            dataclasses.replace(
                weight,
                shape=tuple(round(length * factor) if length == vocabulary else length for length in weight.shape),
                size_bytes=round(weight.size_bytes * factor),
                call_bytes=weight.call_bytes * factor,
            )
        )
    macs = dict(component.macs)
    if macs and added:
        widest = max(macs, key=lambda dtype: macs[dtype])
        macs[widest] = max(0.0, macs[widest] + added)
    return dataclasses.replace(component, weights=tuple(weights), macs=macs)
