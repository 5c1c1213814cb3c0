"""`wattscribe profile`: where a streaming transducer spends its energy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import cyclopts

from wattscribe.energy.accuracy import AccuracyLaw, fit
from wattscribe.energy.profile import Profile
from wattscribe.energy.rates import DEFAULT_TOKENS_PER_S
from wattscribe.errors import InputError

app = cyclopts.App(
    name="wattscribe profile",
    help="Where a streaming transducer spends its energy: component, invocation, memory tier.",
)

_SIZES = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9, "b": 1}


@app.default
def profile(
    model: str,
    /,
    *,
    device: str = "phone",
    data: str | None = None,
    limit: int | None = None,
    precision: str | None = None,
    local_memory: str | None = None,
    chunk_ms: float | None = None,
    decoding: Literal["batched", "frame-by-frame"] = "batched",
    beam: int = 1,
    frames_per_s: float | None = None,
    tokens_per_s: float = DEFAULT_TOKENS_PER_S,
    words_per_s: float | None = None,
    vocab: int | None = None,
    placement: Literal["component", "tensor"] = "component",
    activations: Literal["fused", "unfused"] = "fused",
    accuracy: Path | None = None,
    battery_wh: float | None = None,
    seed: int = 0,
    json_output: Annotated[bool, cyclopts.Parameter(name="--json", negative=())] = False,
    page: Path | None = None,
) -> int:
    """Print the breakdown of a model's power on a device.

    Parameters
    ----------
    model
        An exported model directory, one .onnx file (CTC), hf:MODEL (Whisper, wav2vec2, …) or arch:NAME[,key=value…].
    device
        A shipped profile (wattscribe devices) or a TOML file of your own.
    data
        Decode this speech and count what really ran; without it the rates are stated by the options below.
    limit
        Decode at most so many utterances of it.
    precision
        fp32, fp16 or int8: which of the model's files, or which dtype of an arch: preset.
    local_memory
        Another size of local memory: 4MB, 512KiB, 0.
    chunk_ms
        Length of a segment, for models that do not fix it.
    decoding
        batched: one joiner call per segment and one per token; frame-by-frame: one per frame.
    beam
        Live hypotheses; 1 is greedy.
    frames_per_s
        Encoder output frames per second of audio, where rates are stated.
    tokens_per_s
        Emitted tokens per second of audio, where rates are stated.
    words_per_s
        Words per second of audio, for the energy per word.
    vocab
        Tokens of an arch: preset.
    placement
        Weights go to local memory by whole component or by tensor.
    activations
        fused: element-wise operators cost nothing of their own; unfused: every operator reads and writes memory.
    accuracy
        JSON {component: [[size_bytes, wer], …]}, four or more sizes each: the order then weighs power against accuracy.
    battery_wh
        Print how long a battery of so many watt-hours lasts.
    seed
        Of the draws behind the intervals.
    json_output
        Print JSON (schema 1) instead of a table.
    page
        Write one self-contained HTML page here as well.
    """
    from wattscribe.profiling import profile_model

    found = profile_model(
        model,
        device=device,
        data=data,
        limit=limit,
        precision=precision,
        local_memory_bytes=None if local_memory is None else size_bytes(local_memory),
        chunk_ms=chunk_ms,
        decoding=decoding,
        beam=beam,
        frames_per_s=frames_per_s,
        tokens_per_s=tokens_per_s,
        words_per_s=words_per_s,
        vocab=vocab,
        placement=placement,
        activations=activations,
        laws=None if accuracy is None else read_laws(accuracy),
        battery_wh=battery_wh,
        seed=seed,
    )
    show(found, as_json=json_output, page=page)
    return 0


def show(found: Profile, *, as_json: bool, page: Path | None) -> None:
    """Print and write what was asked for."""
    if page is not None:
        from wattscribe.report.profile_page import write_page

        write_page(found, page)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
        return
    from wattscribe.report.profile_table import print_profile

    print_profile(found)
    if page is not None:
        print(f"\npage: {page}")


def size_bytes(text: str) -> int:
    """`4MB`, `512KiB`, `0` → bytes. Raises InputError for anything else."""
    lowered = text.strip().lower().replace(" ", "")
    for unit, factor in _SIZES.items():
        if lowered.endswith(unit) and lowered[: -len(unit)].replace(".", "", 1).isdigit():
            return round(float(lowered[: -len(unit)]) * factor)
    if lowered.isdigit():
        return int(lowered)
    raise InputError(f"{text!r} is no size", fix="Write it as 4MB, 512KiB or a number of bytes")


def read_laws(path: Path) -> dict[str, AccuracyLaw]:
    """Fit a law to each component's points. Raises InputError for a bad file or too few points."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        points = {name: [(float(size), float(wer)) for size, wer in pairs] for name, pairs in data.items()}
    except (OSError, UnicodeDecodeError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a JSON file of points: {error}", where=path, fix="Write {component: [[bytes, wer], …]}"
        ) from error
    return {name: fit(pairs) for name, pairs in points.items()}
