"""Join a real decode with the energy model: `wattscribe.profile` and `wattscribe profile` are this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from wattscribe.energy import arch, devices, profile, rates
from wattscribe.energy.devices import Device
from wattscribe.energy.files import of_directory
from wattscribe.energy.observed import Observed
from wattscribe.energy.options import Decoding, Options
from wattscribe.energy.profile import Profile
from wattscribe.energy.rates import Rates
from wattscribe.energy.windows import heard_s
from wattscribe.energy.workload import DRAFT, Workload
from wattscribe.errors import InputError, ModelError
from wattscribe.models import locate
from wattscribe.observing.counters import of_file
from wattscribe.observing.memory import cache_of
from wattscribe.observing.observe import observe
from wattscribe.observing.recorded import record
from wattscribe.observing.simulate import need_valgrind
from wattscribe.recognizers.detect import stored_as
from wattscribe.recognizers.registry import RUNTIMES
from wattscribe.records import Counts, Rejected, Transcript
from wattscribe.units import FRAMES_PER_S, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from wattscribe.streaming import Transducer
    from wattscribe.streaming.features import Samples

SAY_EVERY = 10
"""Utterances decoded between two lines of progress."""


def profile_model(model: str, options: Options, *, say: Callable[[str], None] | None = None) -> Profile:
    """Profile an exported model, `hf:NAME` or `arch:NAME` on a device.

    With `data` the rates are counted in a real decode of it, else stated. Raises InputError and ModelError.
    """
    device = devices.load(options.device)
    if options.local_memory_bytes is not None:
        device = device.with_local_memory(options.local_memory_bytes)
    if options.counters is not None and options.data is None:
        raise InputError("counters say what decoding `data` moved", where=options.counters, fix="Give `data`")
    if options.observe:
        _observable(model, options, device)
    if options.draft is not None:
        _draftable(model, options)
    elif options.draft_tokens is not None:
        raise InputError(
            "`draft_tokens` are of a draft, and none is given", where=model, fix="Give `draft`, a directory"
        )
    workload = _workload(model, options, options.chunk_ms)
    if options.observe and (workload.kind != "transducer" or not _exported(model)):
        raise InputError("the memory traffic of exported transducers alone can be observed", where=model)
    decoded = _rates(model, workload, options, say)
    own_s, draft_s = _windows_s(workload, decoded)
    if (own_s or draft_s) and options.chunk_ms is None:
        workload = _workload(model, options, _ms(own_s), _ms(draft_s))
    profiled = profile.build(
        workload,
        decoded,
        device,
        unit=options.placement,
        activations=options.activations,
        laws=options.laws,
        battery_wh=options.battery_wh,
        seed=options.seed,
    )
    audio_s = profiled.breakdown.rates.audio_s
    if options.counters is not None and audio_s is not None:
        profiled = replace(profiled, counted=of_file(options.counters, audio_s))
    return replace(profiled, observed=_observed(model, options, profiled, say)) if options.observe else profiled


def _draftable(model: str, options: Options) -> None:
    """Raises InputError."""
    if options.data is None:
        raise InputError("how many drafts are agreed to is counted in a real decode", where=model, fix="Give `data`")
    if not _exported(model):
        raise InputError("drafts are verified by exported encoder–decoders alone", where=model, fix="Leave out `draft`")


def _workload(model: str, options: Options, chunk_ms: float | None, draft_ms: float | None = None) -> Workload:
    """With that of the model that offers drafts, whose windows are of `draft_ms`."""
    own = workload_of(
        model,
        precision=options.precision,
        vocab=options.vocab,
        chunk_ms=chunk_ms,
        calls_per_s=options.calls_per_s,
        inputs=options.inputs,
        dims=options.dims,
    )
    if options.draft is None:
        return own
    if own.kind != "encoder-decoder":
        raise InputError("drafts are verified by encoder–decoders alone", where=model, fix="Leave out `draft`")
    return own.with_draft(workload_of(options.draft, chunk_ms=draft_ms))


def _windows_s(workload: Workload, decoded: Rates) -> tuple[float | None, float | None]:
    """What a window held on average where the decode asked for shorter ones than whole, and what one of the draft's did, of
    which a whole one is as long."""
    if decoded.source == "stated":
        return None, None
    own, drafts = (decoded.components.get(f"{of}encoder") for of in ("", DRAFT))
    return (
        None if own is None else heard_s(workload, decoded.frames_per_s or 0.0, own.rows_per_s),
        None if drafts is None else heard_s(workload, decoded.draft_frames_per_s or 0.0, drafts.rows_per_s),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _exported(model: str) -> bool:
    return not model.startswith((arch.PREFIX, "hf:"))


def _observable(model: str, options: Options, device: Device) -> None:
    """Raises InputError before anything is decoded where nothing can be observed."""
    if options.data is None:
        raise InputError("observing takes speech whose calls are simulated", where=model, fix="Give `data`")
    if len(device.tiers) == 1:
        raise InputError(f"{device.title} has one memory, past which nothing goes", fix="Take another `device`")
    cache_of(device.local.capacity_bytes)
    need_valgrind()


def _observed(model: str, options: Options, profiled: Profile, say: Callable[[str], None] | None) -> Observed:
    """The calls of the first utterance of `data` that can be decoded, a few segments of it simulated."""
    from wattscribe.corpora import open_corpus

    how = _how(options.precision, options.decoding, options.beam)
    transducer = _opened(model, how)
    corpus = open_corpus(str(options.data))
    entry = next(each for each in corpus if not isinstance(each, Rejected))
    calls = record(transducer, lambda audio: _transcribed_live(transducer, audio), corpus.audio(entry))
    return observe(profiled.breakdown, calls, transducer, how, entry.id, say or (lambda _: None))


def _how(precision: str | None, decoding: Decoding, beam: int) -> dict[str, Any]:
    """The options of `open_transducer`."""
    return {
        "precision": precision,
        "decoding": "greedy" if beam == 1 else "beam",
        "beam": beam,
        "frame_by_frame": decoding == "frame-by-frame",
    }


def _opened(model: str, how: Mapping[str, Any]) -> Transducer:
    from wattscribe.streaming import open_transducer

    return open_transducer(model.removeprefix("onnx:").removeprefix("sherpa:"), **how)


def _rates(model: str, workload: Workload, options: Options, say: Callable[[str], None] | None) -> Rates:
    if options.data is None:
        return rates.stated(
            workload,
            tokens_per_s=options.tokens_per_s,
            frames_per_s=options.frames_per_s,
            beam=options.beam,
            decoding=options.decoding,
            words_per_s=options.words_per_s,
        )
    return decode(
        model,
        options.data,
        workload,
        precision=options.precision,
        decoding=options.decoding,
        beam=options.beam,
        limit=options.limit,
        say=say,
        drafts=_drafts(options),
    )


def _drafts(options: Options) -> Mapping[str, str]:
    """The recognizer's options of the draft."""
    given = {"draft": options.draft, "draft_tokens": options.draft_tokens}
    return {name: str(value) for name, value in given.items() if value is not None}


def workload_of(
    model: str,
    *,
    precision: str | None = None,
    vocab: int | None = None,
    chunk_ms: float | None = None,
    calls_per_s: float | None = None,
    inputs: Mapping[str, float] | None = None,
    dims: Mapping[str, int] | None = None,
) -> Workload:
    """The workload of a model as the user names it. Raises InputError for options that the model fixes itself."""
    configured = model.startswith((arch.PREFIX, "hf:"))
    for option, asked in (("`calls_per_s`", calls_per_s), ("`inputs`", inputs), ("`dims`", dims)):
        if configured and asked not in (None, {}):
            raise InputError(
                f"{option} is for exported graphs; this model's calls follow from its configuration", where=model
            )
    if model.startswith(arch.PREFIX):
        return arch.of_arch(model, vocab=vocab, chunk_ms=chunk_ms, precision=precision or "fp32")
    if vocab is not None:
        raise InputError("`vocab` is for arch: presets; an exported model fixes its own", where=model)
    if model.startswith("hf:"):
        from wattscribe.energy.hf import workload_of as of_transformers

        return of_transformers(model.removeprefix("hf:"), precision=precision or "fp32", segment_s=_seconds(chunk_ms))
    runtime, colon, name = model.partition(":")
    counted = runtime in ("onnx", "sherpa", "ct2")
    if colon and runtime in RUNTIMES and not counted:
        raise _uncounted(runtime, model)
    path = locate(name if colon and counted else model)
    if path.is_dir() and stored_as(path) != "graphs":
        return _of_other(path, precision, _seconds(chunk_ms))
    return of_directory(
        path,
        precision=precision,
        segment_s=_seconds(chunk_ms),
        calls_per_s=calls_per_s,
        values=inputs,
        dims=dims,
    )


def _of_other(path: Path, precision: str | None, segment_s: float | None) -> Workload:
    """A directory that is told by other files than ONNX, as in the bench. Raises ModelError where nothing can count it."""
    from wattscribe.energy import hf
    from wattscribe.recognizers.ct2_file import whisper_sizes

    stored = stored_as(path)
    if stored == "hf":
        return hf.workload_of(str(path), precision=precision or "fp32", segment_s=segment_s)
    if stored == "ct2":
        sizes, kept = whisper_sizes(path / "model.bin")
        return hf.whisper_of(path.name, precision=precision or kept, **sizes)
    raise _uncounted(stored, path)


def _uncounted(runtime: str, where: object) -> ModelError:
    return ModelError(
        f"is run by {runtime}:, whose models cannot be counted",
        where=where,
        fix="Profile an ONNX export of it, by its directory",
    )


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
    say: Callable[[str], None] | None = None,
    drafts: Mapping[str, str] | None = None,
) -> Rates:
    """Decode `data` as a device receives it, segment by segment, and count: the rates of what really ran.

    Exported transducers and Transformers encoder–decoders can be counted; `drafts` are options of the runtime. Raises
    InputError for other models, and where no utterance can be decoded.
    """
    from wattscribe.corpora import open_corpus

    transcribe = _transcriber(model, workload, precision, decoding, beam, drafts or {})
    corpus = open_corpus(data)
    counts, audio_s, words, utterances = Counts(), 0.0, 0, 0
    for entry in corpus:
        if limit is not None and utterances >= limit:
            break
        if isinstance(entry, Rejected):
            continue
        audio = corpus.audio(entry)
        transcript = transcribe(audio)
        counts += transcript.counts or Counts()
        audio_s += len(audio) / SAMPLE_RATE_HZ
        words += len(transcript.text.split())
        utterances += 1
        if say is not None and utterances % SAY_EVERY == 0:
            say(f"{utterances} utterances decoded, {audio_s:.0f} s")
    if not utterances:
        raise InputError("no utterance could be decoded", where=data, fix="Run `wattscribe bench` to see the reasons")
    counted = rates.counted(workload, counts, audio_s, words=words, decoding=decoding)
    return rates.with_beam(counted, beam, f"counted: {utterances} utterances, {audio_s:.1f} s of {data}")


def _transcriber(
    model: str,
    workload: Workload,
    precision: str | None,
    decoding: Decoding,
    beam: int,
    drafts: Mapping[str, str],
) -> Callable[[Samples], Transcript]:
    """What transcribes one utterance and counts its invocations."""
    if workload.kind == "transducer" and not model.startswith(arch.PREFIX):
        transducer = _opened(model, _how(precision, decoding, beam))
        return lambda audio: _transcribed_live(transducer, audio)
    if workload.kind == "encoder-decoder" and not _is_transformers(model):
        from wattscribe.recognizers import open_recognizer, parse_model

        how = {} if beam == 1 else {"decoding": "beam", "beam": str(beam)}
        path = str(locate(model.removeprefix("onnx:").removeprefix("sherpa:")))
        exported = open_recognizer(parse_model(f"onnx:{path}", precision=precision, options={**how, **drafts}))
        return lambda audio: exported.transcribe([audio])[0]
    if workload.kind == "encoder-decoder" and _is_transformers(model):
        from wattscribe.recognizers import open_recognizer, parse_model
        from wattscribe.recognizers.hf import HfRecognizer
        from wattscribe.recognizers.hf_count import transcribe_counted

        if beam != 1:
            raise InputError("Transformers models are decoded greedily here", where=model, fix="Leave out `beam`")
        spec = parse_model(model if model.startswith("hf:") else f"hf:{model}", precision=precision)
        recognizer = cast(HfRecognizer, open_recognizer(spec))
        return lambda audio: transcribe_counted(recognizer, audio)
    raise InputError(
        "rates can be counted on exported transducers and Transformers encoder–decoders",
        where=model,
        fix="State the rates",
    )


def _is_transformers(model: str) -> bool:
    return model.startswith("hf:") or (Path(model) / "model.safetensors").is_file()


def _transcribed_live(transducer: Transducer, audio: Samples) -> Transcript:
    """Fed a segment at a time: of a file that is all there, several segments would be decoded together."""
    stream = transducer.stream()
    step = round(transducer.encoder.layout.shift_frames * SAMPLE_RATE_HZ / FRAMES_PER_S)
    for start in range(0, len(audio), step):
        stream.accept(audio[start : start + step])
    transcript = stream.finish()
    stream.release()
    return transcript
