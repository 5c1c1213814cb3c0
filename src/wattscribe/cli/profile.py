"""`wattscribe profile`: where a streaming transducer spends its energy."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import cyclopts
from cyclopts import Group, Parameter

from wattscribe.cli.flags import spelled
from wattscribe.cli.one_list import Flag, defaults, flags_of
from wattscribe.cli.output import Json, Quiet
from wattscribe.energy.accuracy import AccuracyLaw, fit
from wattscribe.energy.options import Options
from wattscribe.energy.profile import Profile
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


GROUPS = {
    MODEL: (
        "precision",
        "vocab",
        "chunk_ms",
        "calls_per_s",
        "inputs",
        "dims",
        "decoding",
        "beam",
        "draft",
        "draft_tokens",
    ),
    RATES: ("data", "limit", "observe", "counters", "frames_per_s", "tokens_per_s", "words_per_s"),
    DEVICE: ("device", "local_memory_bytes", "placement", "activations", "battery_wh"),
    OUTPUT: ("laws", "seed"),
}
REPEATED = Flag(annotation=tuple[str, ...] | None, parameter=Parameter(negative=""))
TYPED = {
    "inputs": REPEATED,
    "dims": REPEATED,
    "observe": Flag(parameter=Parameter(negative=())),
    "device": Flag(annotation=str),
    "local_memory_bytes": Flag(annotation=str | None),
    "laws": Flag(annotation=Path | None),
}
"""What is typed as text, and read by `_asked`."""

Flags: TypeAlias = Any
if not TYPE_CHECKING:
    Flags = flags_of(Options, GROUPS, defaults(Options, AccuracyLaw=Any), TYPED, verb="profile")
NONE_GIVEN = Flags()


def _asked(flags: Flags) -> dict[str, Any]:
    """The options, with sizes, names and the file of laws read. Raises InputError."""
    values = {field.name: getattr(flags, field.name) for field in fields(flags)}
    if flags.local_memory_bytes is not None:
        values["local_memory_bytes"] = size_bytes(flags.local_memory_bytes)
    values["inputs"] = _named(flags.inputs or (), "--input", float)
    values["dims"] = _named(flags.dims or (), "--dim", _count)
    if flags.laws is not None:
        values["laws"] = read_laws(flags.laws)
    return values


@app.default
def profile(
    model: str,
    /,
    *,
    flags: Annotated[Flags, Parameter("*")] = NONE_GIVEN,
    page: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    json_output: Annotated[Json, Parameter(group=OUTPUT)] = False,
    quiet: Annotated[Quiet, Parameter(group=OUTPUT)] = False,
) -> int:
    """Print the breakdown of a model's power on a device.

    Parameters
    ----------
    model
        An exported model directory, one .onnx file (CTC), hf:MODEL (Whisper, wav2vec2, …) or arch:NAME[,key=value…].
    page
        Write one self-contained HTML page here as well.
    """
    import wattscribe

    told = say if sys.stderr.isatty() and not quiet else None
    priced = _with_flags(wattscribe.profile(model, **_asked(flags), say=told))
    show(priced, as_json=json_output, page=page, quiet=quiet)
    return 0


def _with_flags(priced: Profile) -> Profile:
    """The notes of what was assumed name options: here as flags."""
    workload = priced.breakdown.workload
    notes = tuple(spelled(note, "profile") for note in workload.notes)
    return replace(priced, breakdown=replace(priced.breakdown, workload=replace(workload, notes=notes)))


def show(priced: Profile, *, as_json: bool, page: Path | None, quiet: bool = False) -> None:
    """Print and write what was asked for."""
    if page is not None:
        from wattscribe.pages.profile_page import write_page

        write_page(priced, page)
    if as_json:
        print(json_text(priced.to_json(), indent=2))
        return
    from wattscribe.pages.profile_table import print_profile

    print_profile(priced)
    if page is not None and not quiet:
        print(f"\npage: {page}")


def _named(items: tuple[str, ...], option: str, parse: Callable[[str], Number]) -> dict[str, Number]:
    """NAME=VALUE items as a mapping. Raises InputError."""
    numbers: dict[str, Number] = {}
    for item in items:
        name, equals, value = item.rpartition("=")
        try:
            number = parse(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise InputError(f"{option} {item!r} is not NAME=NUMBER", fix=f"Write it as {option} sr=16000")
        numbers[name] = number
    return numbers


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10 and int(text)):
        raise ValueError(text)
    return int(text)


def size_bytes(text: str) -> int:
    """`4MB`, `512KiB`, `0` → bytes. Raises InputError for anything else."""
    lowered = text.strip().lower().replace(" ", "")
    match = re.fullmatch(r"(\d{1,18}(?:\.\d{0,18})?)([kmg]?i?b)?", lowered, re.ASCII)
    if match is not None and (match[2] is not None or "." not in match[1]) and (match[2] or "b") in UNITS:
        return round(float(match[1]) * UNITS[match[2] or "b"])
    raise InputError(f"{text!r} is not a size", fix="Write it as 4MB, 512KiB or a number of bytes")


def read_laws(path: Path) -> dict[str, AccuracyLaw]:
    """Fit a law to each component's points. Raises InputError for a bad file or too few points."""
    try:
        data = parse_json(read_bytes(path))
        points = {name: [(float(size), float(wer)) for size, wer in pairs] for name, pairs in data.items()}
        if not all(0 <= size < math.inf and 0 <= wer < math.inf for pairs in points.values() for size, wer in pairs):
            raise ValueError("sizes and word error rates must be 0 or more")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a JSON file of points: {error}", where=path, fix="Write {component: [[bytes, wer], …]}"
        ) from error
    return {name: fit(pairs) for name, pairs in points.items()}
