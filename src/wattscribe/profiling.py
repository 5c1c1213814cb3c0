"""Join a real decode with the energy model: `api.profile` and `wattscribe profile` are this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wattscribe.as_found import as_found
from wattscribe.energy import arch, devices, files, profile, rates
from wattscribe.energy.accuracy import AccuracyLaw
from wattscribe.energy.breakdown import Activations
from wattscribe.energy.placement import Unit
from wattscribe.energy.profile import Profile
from wattscribe.energy.rates import Decoding, Rates
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError
from wattscribe.models import locate
from wattscribe.records import Counts, Rejected
from wattscribe.units import SAMPLE_RATE_HZ


@as_found()
def profile_model(
    model: str,
    *,
    device: str | Path = "phone",
    data: str | None = None,
    limit: int | None = None,
    precision: str | None = None,
    local_memory_bytes: int | None = None,
    chunk_ms: float | None = None,
    decoding: Decoding = "batched",
    beam: int = 1,
    frames_per_s: float | None = None,
    tokens_per_s: float = rates.DEFAULT_TOKENS_PER_S,
    words_per_s: float | None = None,
    vocab: int | None = None,
    placement: Unit = "component",
    activations: Activations = "fused",
    laws: Mapping[str, AccuracyLaw] | None = None,
    battery_wh: float | None = None,
    seed: int = 0,
) -> Profile:
    """Profile an exported model, `hf:NAME` or `arch:NAME` on a device.

    With `data` the rates are counted in a real decode of it (transducers), else stated. Raises InputError and ModelError.
    """
    chosen = devices.load(device)
    if local_memory_bytes is not None:
        chosen = chosen.with_local_memory(local_memory_bytes)
    workload = workload_of(model, precision=precision, vocab=vocab, chunk_ms=chunk_ms)
    if data is not None:
        if workload.kind != "transducer" or model.startswith((arch.PREFIX, "hf:")):
            raise InputError("rates can be counted on an exported transducer only", where=model, fix="State the rates")
        at = decode(model, data, workload, precision=precision, decoding=decoding, beam=beam, limit=limit)
    else:
        at = rates.stated(
            workload,
            tokens_per_s=tokens_per_s,
            frames_per_s=frames_per_s,
            beam=beam,
            decoding=decoding,
            words_per_s=words_per_s,
        )
    return profile.build(
        workload, at, chosen, unit=placement, activations=activations, laws=laws, battery_wh=battery_wh, seed=seed
    )


def workload_of(
    model: str, *, precision: str | None = None, vocab: int | None = None, chunk_ms: float | None = None
) -> Workload:
    """The workload of a model as the user names it. Raises InputError for options that the model fixes itself."""
    if model.startswith(arch.PREFIX):
        return arch.of_arch(model, vocab=vocab, chunk_ms=chunk_ms, precision=precision or "fp32")
    if vocab is not None:
        raise InputError("--vocab is for arch: presets; an exported model fixes its own", where=model)
    if model.startswith("hf:"):
        from wattscribe.energy.hf import workload_of as of_transformers

        return of_transformers(model.removeprefix("hf:"), precision=precision or "fp32", segment_s=_seconds(chunk_ms))
    path = locate(model.removeprefix("onnx:").removeprefix("sherpa:"))
    workload = files.workload_of(path, precision=precision, segment_s=_seconds(chunk_ms))
    fixed = workload.segment_s
    if chunk_ms is not None and fixed is not None and abs(fixed - chunk_ms / 1000) > 1e-6:
        raise InputError(
            f"the graph fixes segments of {1000 * fixed:g} ms", where=model, fix="Export it with another chunk length"
        )
    return workload


def _seconds(chunk_ms: float | None) -> float | None:
    return None if chunk_ms is None else chunk_ms / 1000


def decode(
    model: str,
    data: str,
    workload: Workload,
    *,
    precision: str | None = None,
    decoding: Decoding = "batched",
    beam: int = 1,
    limit: int | None = None,
) -> Rates:
    """Decode `data` and count: the rates of what really ran. Raises InputError where no utterance can be heard."""
    from wattscribe.corpora import open_corpus
    from wattscribe.streaming import open_transducer

    transducer = open_transducer(
        model.removeprefix("onnx:").removeprefix("sherpa:"),
        precision=precision,
        decoding="greedy" if beam == 1 else "beam",
        beam=beam,
        frame_by_frame=decoding == "frame-by-frame",
    )
    corpus = open_corpus(data)
    counts, audio_s, words, heard = Counts(), 0.0, 0, 0
    for entry in corpus:
        if limit is not None and heard >= limit:
            break
        if isinstance(entry, Rejected):
            continue
        audio = corpus.audio(entry)
        transcript = transducer.transcribe([audio])[0]
        counts += transcript.counts or Counts()
        audio_s += len(audio) / SAMPLE_RATE_HZ
        words += len(transcript.text.split())
        heard += 1
    if not heard:
        raise InputError("no utterance could be heard", where=data, fix="Look at `wattscribe bench` for the reasons")
    found = rates.counted(workload, counts, audio_s, words=words, decoding=decoding)
    return rates.with_beam(found, beam, f"counted: {heard} utterances, {audio_s:.1f} s of {data}")
