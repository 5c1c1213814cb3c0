"""`wattscribe profile`: where a streaming transducer spends its energy."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import cyclopts
from cyclopts import Group, Parameter

from wattscribe.cli.flags import spelled
from wattscribe.energy.accuracy import AccuracyLaw, fit
from wattscribe.energy.profile import Profile
from wattscribe.energy.rates import DEFAULT_TOKENS_PER_S
from wattscribe.errors import InputError
from wattscribe.records import json_text
from wattscribe.results.quantities import UNITS
from wattscribe.terminal import say
from wattscribe.text_files import parse_json, read_bytes

app = cyclopts.App(
    name="wattscribe profile",
    help="Where a streaming transducer spends its energy: component, invocation, memory tier.",
)

Number = TypeVar("Number", int, float)

MODEL = Group("The model", sort_key=1)
RATES = Group("How often it runs", sort_key=2)
DEVICE = Group("The device", sort_key=3)
OUTPUT = Group("Output", sort_key=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `profiling.profile_model` is asked; each field is called after its parameter."""

    precision: Annotated[str | None, Parameter(group=MODEL)] = None
    """fp32, fp16 or int8: which of the model's files, or which dtype of an arch: preset."""
    vocab: Annotated[int | None, Parameter(group=MODEL)] = None
    """Tokens of an arch: preset."""
    chunk_ms: Annotated[float | None, Parameter(group=MODEL)] = None
    """Length of a segment, for models that do not fix it; the hop of a graph with a fixed input."""
    calls_per_s: Annotated[float | None, Parameter(group=MODEL)] = None
    """Calls of the encoder (or the only graph) per second of audio, where the model does not say it."""
    inputs: Annotated[tuple[str, ...], Parameter("--input", group=MODEL, negative="")] = ()
    """NAME=VALUE: fill an input with a value, as in --input sr=16000; may be repeated."""
    dims: Annotated[tuple[str, ...], Parameter("--dim", group=MODEL, negative="")] = ()
    """NAME=SIZE: size of a free dimension; may be repeated."""
    decoding: Annotated[Literal["batched", "frame-by-frame"], Parameter(group=MODEL)] = "batched"
    """batched: one joiner call per segment and one per token; frame-by-frame: one per frame."""
    beam: Annotated[int, Parameter(group=MODEL)] = 1
    """Live hypotheses; 1 is greedy."""
    data: Annotated[str | None, Parameter(group=RATES)] = None
    """Decode this speech and count what really ran; without it the rates are stated by the options below."""
    limit: Annotated[int | None, Parameter(group=RATES)] = None
    """Decode at most so many utterances of it."""
    frames_per_s: Annotated[float | None, Parameter(group=RATES)] = None
    """Encoder output frames per second of audio, where rates are stated."""
    tokens_per_s: Annotated[float, Parameter(group=RATES)] = DEFAULT_TOKENS_PER_S
    """Emitted tokens per second of audio, where rates are stated."""
    words_per_s: Annotated[float | None, Parameter(group=RATES)] = None
    """Words per second of audio, for the energy per word."""
    device: Annotated[str, Parameter(group=DEVICE)] = "phone"
    """A shipped profile (wattscribe devices) or a TOML file of your own."""
    local_memory_bytes: Annotated[str | None, Parameter("--local-memory", group=DEVICE)] = None
    """Another size of local memory: 4MB, 512KiB, 0."""
    placement: Annotated[Literal["component", "tensor"], Parameter(group=DEVICE)] = "component"
    """Weights go to local memory by whole component or by tensor."""
    activations: Annotated[Literal["fused", "unfused"], Parameter(group=DEVICE)] = "fused"
    """fused: element-wise operators cost nothing of their own; unfused: every operator reads and writes memory."""
    battery_wh: Annotated[float | None, Parameter(group=DEVICE)] = None
    """Print how long a battery of so many watt-hours lasts."""
    laws: Annotated[Path | None, Parameter("--accuracy", group=OUTPUT)] = None
    """JSON {component: [[size_bytes, wer], …]}, four or more sizes each: the order then weighs power against accuracy."""
    seed: Annotated[int, Parameter(group=OUTPUT)] = 0
    """Of the draws behind the intervals."""

    def asked(self) -> dict[str, Any]:
        """The parameters, with the size and the file of laws read. Raises InputError."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.local_memory_bytes is not None:
            values["local_memory_bytes"] = size_bytes(self.local_memory_bytes)
        values["inputs"] = _named(self.inputs, "--input", float)
        values["dims"] = _named(self.dims, "--dim", _count)
        if self.laws is not None:
            values["laws"] = read_laws(self.laws)
        return values


@app.default
def profile(
    model: str,
    /,
    *,
    options: Annotated[Options, Parameter("*")] = Options(),
    json_output: Annotated[bool, Parameter("--json", negative=(), show_default=False, group=OUTPUT)] = False,
    page: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
) -> int:
    """Print the breakdown of a model's power on a device.

    Parameters
    ----------
    model
        An exported model directory, one .onnx file (CTC), hf:MODEL (Whisper, wav2vec2, …) or arch:NAME[,key=value…].
    json_output
        Print JSON (schema 1) instead of a table.
    page
        Write one self-contained HTML page here as well.
    """
    import wattscribe

    show(
        _with_flags(wattscribe.profile(model, **options.asked(), say=say if sys.stderr.isatty() else None)),
        as_json=json_output,
        page=page,
    )
    return 0


def _with_flags(found: Profile) -> Profile:
    """The notes of what was assumed name options: here as flags."""
    workload = found.breakdown.workload
    notes = tuple(spelled(note, "profile") for note in workload.notes)
    return replace(found, breakdown=replace(found.breakdown, workload=replace(workload, notes=notes)))


def show(found: Profile, *, as_json: bool, page: Path | None) -> None:
    """Print and write what was asked for."""
    if page is not None:
        from wattscribe.pages.profile_page import write_page

        write_page(found, page)
    if as_json:
        print(json_text(found.to_json(), indent=2))
        return
    from wattscribe.pages.profile_table import print_profile

    print_profile(found)
    if page is not None:
        print(f"\npage: {page}")


def _named(items: tuple[str, ...], option: str, parse: Callable[[str], Number]) -> dict[str, Number]:
    """NAME=VALUE items as a mapping. Raises InputError."""
    found: dict[str, Number] = {}
    for item in items:
        name, equals, value = item.rpartition("=")
        try:
            number = parse(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise InputError(f"{option} {item!r} is not NAME=NUMBER", fix=f"Write it as {option} sr=16000")
        found[name] = number
    return found


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10 and int(text)):
        raise ValueError(text)
    return int(text)


def size_bytes(text: str) -> int:
    """`4MB`, `512KiB`, `0` → bytes. Raises InputError for anything else."""
    lowered = text.strip().lower().replace(" ", "")
    found = re.fullmatch(r"(\d{1,18}(?:\.\d{0,18})?)([kmg]?i?b)?", lowered, re.ASCII)
    if found is not None and (found[2] is not None or "." not in found[1]) and (found[2] or "b") in UNITS:
        return round(float(found[1]) * UNITS[found[2] or "b"])
    raise InputError(f"{text!r} is no size", fix="Write it as 4MB, 512KiB or a number of bytes")


def read_laws(path: Path) -> dict[str, AccuracyLaw]:
    """Fit a law to each component's points. Raises InputError for a bad file or too few points."""
    try:
        data = parse_json(read_bytes(path))
        points = {name: [(float(size), float(wer)) for size, wer in pairs] for name, pairs in data.items()}
        if not all(0 <= size < math.inf and 0 <= wer < math.inf for pairs in points.values() for size, wer in pairs):
            raise ValueError("sizes and word error rates are numbers from 0 on")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a JSON file of points: {error}", where=path, fix="Write {component: [[bytes, wer], …]}"
        ) from error
    return {name: fit(pairs) for name, pairs in points.items()}
