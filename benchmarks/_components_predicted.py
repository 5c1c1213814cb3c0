"""What targeted compression can save against uniform: from the energy model alone, before a model is trained.

The same bytes are removed, all weights in 8 bits. Targeted: step by step from the component that saves most milliwatts a megabyte
(`energy.sensitivity.order`). Uniform: the same part of every component. Word errors are not known here, so this is a bound where
equal bytes cost equally many of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

from wattscribe.energy import devices, rates
from wattscribe.energy.breakdown import power_w
from wattscribe.energy.devices import Device
from wattscribe.energy.files import of_directory
from wattscribe.energy.options import Decoding
from wattscribe.energy.rates import Rates
from wattscribe.energy.sensitivity import Step, merged, of_component, order, total_mw
from wattscribe.energy.workload import Component, WeightTensor, Workload
from wattscribe.errors import InputError, WattscribeError

DEVICES = ("phone", "wearable", "mcu-npu")
BEAMS = (1, 4)
DECODINGS: tuple[Decoding, ...] = get_args(Decoding)
WAYS: tuple[tuple[Decoding, int], ...] = tuple(product(DECODINGS, BEAMS))
SHARES = (0.05, 0.1, 0.2, 0.3)
"""Of all bytes that are removed, beside what brings the joiner into local memory."""
FITS = "joiner fits"
MOST_STEPS = 20
"""Of a tenth of a component each: enough for three tenths of all bytes."""
TOKENS_PER_S = {4096: (2.6, 3.4, 4.4), 500: (4.0, 4.8, 6.0)}
"""By units: slow, usual and quick speech. 2.7 words a second, 1.25 units a word of 4,096 and 1.8 of 500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Of one way of decoding on one device: what targeted saves of uniform's power."""

    device: str
    decoding: Decoding
    beam: int
    shares_of_power: dict[str, float]
    by_depth: dict[str, tuple[float, float]]
    """Least and most over speeds of speech, by what is removed."""
    first: str
    """The component that targeted compression begins with."""

    @property
    def most(self) -> float:
        return max(high for _, high in self.by_depth.values())


# --- models -------------------------------------------------------------------------------------------------------------
def testbed(recipe: Path, folder: Path) -> Workload:
    """Counted from an export of the recipe's model with random weights, which cost what trained ones do."""
    from wattscribe.training.experiment import model_config, read_experiment
    from wattscribe.training.export import export
    from wattscribe.training.model import build
    from wattscribe.training.tokens import Vocabulary

    if not (folder / "joiner.onnx").is_file():
        experiment = read_experiment(recipe)
        size = (experiment.units.size if experiment.units is not None else 0) or 500
        units = ("<blk>", "<sos/eos>", "<unk>", *(f"u{number}" for number in range(3, size)))
        export(build(model_config(experiment.model, size)), Vocabulary(units=units), folder)
    return eight_bits(of_directory(folder))


def eight_bits(workload: Workload) -> Workload:
    """Matrices and tables as int8, products as int8; vectors, activations and states as they are."""
    return dataclasses.replace(workload, components=tuple(map(_eight_bits, workload.components)))


def _eight_bits(component: Component) -> Component:
    weights = tuple(_quarter(weight) if len(weight.shape) > 1 else weight for weight in component.weights)
    macs = {"int8": component.total_macs}
    return dataclasses.replace(component, weights=weights, macs=macs)


def _quarter(weight: WeightTensor) -> WeightTensor:
    part = {"float32": 4, "float16": 2}.get(weight.dtype, 1)
    return dataclasses.replace(
        weight, dtype="int8", size_bytes=weight.size_bytes // part, call_bytes=weight.call_bytes / part,
        row_bytes=weight.row_bytes / part,
    )  # fmt: skip


def longer_calls(workload: Workload, factor: int) -> Workload:
    """A call of the encoder over so many segments: the same weights, so many times the arithmetic and activations."""
    encoder = workload.component("encoder")
    longer = dataclasses.replace(
        encoder, macs={dtype: factor * macs for dtype, macs in encoder.macs.items()},
        activation_bytes=factor * encoder.activation_bytes,
        activation_bytes_unfused=factor * encoder.activation_bytes_unfused,
        peak_activation_bytes=factor * encoder.peak_activation_bytes,
    )  # fmt: skip
    return dataclasses.replace(
        workload.replace(longer), segment_s=factor * (workload.segment_s or 0.0),
        frames_per_segment=factor * (workload.frames_per_segment or 0.0),
    )  # fmt: skip


# --- the two ways of removing bytes -------------------------------------------------------------------------------------
def uniform(workload: Workload, removed: float) -> Workload:
    """Every component to the same part."""
    part = 1 - removed / workload.size_bytes
    return dataclasses.replace(workload, components=tuple(component.scaled(part) for component in workload.components))


def targeted(workload: Workload, steps: Sequence[Step], removed: float) -> Workload:
    """The steps of the order that the model implies until so many bytes are gone; the last one in part.

    Raises InputError where they remove fewer.
    """
    left, now = removed, workload
    for step in steps:
        taken = min(left, step.from_bytes - step.to_bytes)
        component = now.component(step.component)
        now = now.replace(component.scaled(1 - taken / component.size_bytes))
        left -= taken
        if left <= 0:
            return now
    raise InputError(f"the order's {len(steps)} steps remove {removed - left:.0f} bytes, not {removed:.0f}")


def amounts(workload: Workload, at: Rates, device: Device) -> Iterator[tuple[str, float]]:
    """Bytes to remove: what brings the joiner into local memory, where it is not there, and shares of the whole."""
    joiner = of_component(workload, "joiner", at, device)
    if joiner.fits_at_bytes is not None:
        yield FITS, joiner.size_bytes - joiner.fits_at_bytes
    yield from ((f"{100 * share:.0f} %", share * workload.size_bytes) for share in SHARES)


# --- the band -----------------------------------------------------------------------------------------------------------
def bands(workload: Workload) -> Iterator[Band | str]:
    """For each device and way of decoding; a line instead where the model does not run there."""
    whole = merged(workload)
    for name in DEVICES:
        device = devices.load(name)
        try:
            for decoding, beam in WAYS:
                yield _band(whole, device, decoding, beam)
        except WattscribeError as error:
            yield f"{name}: {error}"


def _band(workload: Workload, device: Device, decoding: Decoding, beam: int) -> Band:
    speeds = TOKENS_PER_S[min(TOKENS_PER_S, key=lambda units: abs(units - (workload.vocabulary or 500)))]
    usual = rates.stated(workload, tokens_per_s=speeds[1], beam=beam, decoding=decoding)
    steps = order(workload, usual, device, most_steps=MOST_STEPS)  # a designer knows usual speech, not who will speak
    power = power_w(workload, usual, device)
    spoken = [rates.stated(workload, tokens_per_s=speed, beam=beam, decoding=decoding) for speed in speeds]
    by_depth = {}
    for depth, removed in amounts(workload, usual, device):
        by_power, even = targeted(workload, steps, removed), uniform(workload, removed)
        savings = [1 - total_mw(by_power, at, device) / total_mw(even, at, device) for at in spoken]
        by_depth[depth] = (min(savings), max(savings))
    return Band(
        device=device.name, decoding=decoding, beam=beam, first=steps[0].component, by_depth=by_depth,
        shares_of_power={name: watts / sum(power.values()) for name, watts in power.items()},
    )  # fmt: skip


def lines(title: str, workload: Workload, rows: Sequence[Band | str]) -> list[str]:
    """Markdown."""
    depths = (FITS, *(f"{100 * share:.0f} %" for share in SHARES))
    sizes = ", ".join(f"{part.name} {part.size_bytes / 1e6:.2f} MB" for part in workload.components)
    out = [
        f"## {title}", "", f"In 8 bits: {sizes}; segments of {1000 * (workload.segment_s or 0):.0f} ms.", "",
        "Targeted against uniform, per cent of the power, for slow to quick speech, by the bytes that are removed:", "",
        "| device | joiner calls | beam | power: encoder, predictor, joiner | first | " + " | ".join(depths) + " |",
        "|---" * (5 + len(depths)) + "|",
    ]  # fmt: skip
    for row in rows:
        if isinstance(row, str):
            continue
        power = ", ".join(f"{100 * row.shares_of_power[name]:.0f} %" for name in ("encoder", "predictor", "joiner"))
        out.append(
            f"| {row.device} | {row.decoding} | {row.beam} | {power} | {row.first} | "
            + " | ".join(_cell(row.by_depth.get(depth)) for depth in depths) + " |"
        )  # fmt: skip
    return [*out, "", *(f"- {row}" for row in rows if isinstance(row, str)), ""]


def _cell(saving: tuple[float, float] | None) -> str:
    """`−7.9 to −12.0`; nothing where the joiner is in local memory already, or never will be."""
    return "" if saving is None else " to ".join(f"{-100 * part:+.1f}".replace("-", "−") for part in saving)
