"""Open a directory as an encoder–decoder, whichever layout its files have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from wattscribe.errors import InputError, ModelError
from wattscribe.seq2seq.checkpoint import read_json, read_special, read_vocabulary
from wattscribe.seq2seq.files import Files
from wattscribe.seq2seq.gate import Gate, gate_of
from wattscribe.seq2seq.loops import stops_loops
from wattscribe.seq2seq.moonshine_net import MoonshineNet
from wattscribe.seq2seq.network_io import EncoderDecoder
from wattscribe.seq2seq.optimum_net import OptimumNet
from wattscribe.seq2seq.recognize import Recogniser, Style
from wattscribe.seq2seq.search import Rules
from wattscribe.seq2seq.special import Special
from wattscribe.seq2seq.vocabulary import Texts, bytes_of, piece, read_binary, read_tokens
from wattscribe.seq2seq.whisper_net import Recall, WhisperNet
from wattscribe.seq2seq.windows import Window, window_of
from wattscribe.text_files import whole

MOST_TOKENS = 448
"""Places of a Whisper's decoder, where nothing says it."""
_MOST_FRAMES = 1500
"""Of its encoder, likewise."""
_MOONSHINE_START, _MOONSHINE_END = 1, 2
_SOME_NEVER = "transcribe", "translate", "sot", "sot_prev", "sot_lm", "no_speech"


def open_model(
    files: Files,
    *,
    threads: int = 1,
    width: int = 1,
    window: Window | Literal["stated"] | None = "stated",
    limit: int | None = None,
    recall: Recall | None = None,
    gate: float | Literal["stated"] | None = "stated",
    stop_loops: bool | Literal["stated"] = "stated",
) -> Recogniser:
    """The loaded model. `width` hypotheses of a beam; the `window` that the directory states, another one, or None: whole ones;
    at most `limit` tokens; `recall` may know what a Whisper's encoder answers; `gate` keeps so many seconds of silence around
    speech, as stated or None: all audio is heard; `stop_loops`: as `Rules` has it, or as stated. Raises ModelError,
    InputError, MissingExtraError."""
    net, style = _networks(files, threads)
    if recall is not None and isinstance(net, WhisperNet):
        net.recall = recall
    if window == "stated":
        window = window_of(net.metadata, files.parts["encoder"]) if isinstance(net, WhisperNet) else None
    if window is not None and not (style.bands is None or net.any_length):
        raise InputError("its encoder takes windows of 30 s alone", where=files.directory, fix="Leave out window=short")
    if limit is not None:
        style = replace(style, rules=replace(style.rules, limit=min(limit, style.rules.limit)))
    if gate == "stated":
        gate = gate_of(net.metadata, files.parts["encoder"]) if isinstance(net, WhisperNet) else None
    if stop_loops == "stated":
        stop_loops = isinstance(net, WhisperNet) and stops_loops(net.metadata, files.parts["encoder"])
    style = replace(style, rules=replace(style.rules, stop_loops=stop_loops))
    return Recogniser(net, style, width=width, window=window, gate=None if gate is None else Gate(gate))


def _networks(files: Files, threads: int) -> tuple[EncoderDecoder, Style]:
    """The networks and how they are fed."""
    if files.kind == "sherpa-onnx Whisper":
        net = WhisperNet(files.parts["encoder"], files.parts["decoder"], threads=threads)
        special = _special(net.metadata, files.parts["encoder"])
        style = _whisper_style(special, read_tokens(files.tokens, encoded=True), net.places, net.number("n_mels"))
        return net, replace(style, window_frames=net.window_frames)
    if files.kind == "sherpa-onnx Moonshine":
        return MoonshineNet(files.parts, threads=threads, places=MOST_TOKENS), _moonshine_style(files, MOST_TOKENS)
    return _of_optimum(files, threads)


def _of_optimum(files: Files, threads: int) -> tuple[EncoderDecoder, Style]:
    config = read_json(files.directory / "config.json", needed=False)
    places = int(config.get("max_target_positions") or config.get("max_position_embeddings") or MOST_TOKENS)
    net = OptimumNet(files.parts, threads=threads, places=places)
    if net.raw:
        return net, _moonshine_style(files, places, config)
    _, added = read_vocabulary(files.directory)
    special = read_special(files.directory, config, added)
    vocabulary, _ = read_vocabulary(files.directory)
    texts = Texts(pieces={number: bytes_of(text) for text, number in vocabulary.items() if number < special.end})
    frames = net.window_frames or 2 * int(config.get("max_source_positions") or _MOST_FRAMES)
    return net, replace(_whisper_style(special, texts, places, net.bands), window_frames=frames)


def _whisper_style(special: Special, texts: Texts, places: int, bands: int) -> Style:
    rules = Rules(end=special.end, limit=places, never=special.suppressed, never_first=special.suppressed_first)
    return Style(texts=texts, rules=rules, special=special, bands=bands)


def _moonshine_style(files: Files, places: int, config: Mapping[str, Any] | None = None) -> Style:
    """Start and end as every Moonshine has them, unless its configuration says others."""
    stated = config or {}
    end = int(stated.get("eos_token_id") or _MOONSHINE_END)
    return Style(
        texts=_pieces(files.tokens),
        rules=Rules(end=end, limit=places),
        start=int(stated.get("decoder_start_token_id") or _MOONSHINE_START),
    )


def _pieces(path: Path) -> Texts:
    if path.suffix == ".bin":
        return read_binary(path)
    if path.suffix == ".txt":
        return read_tokens(path, encoded=False)
    vocabulary, _ = read_vocabulary(path.parent)
    return Texts(pieces={number: piece(text) for text, number in vocabulary.items()})


def _special(metadata: Mapping[str, str], path: Path) -> Special:
    """From the metadata of sherpa-onnx's export. What is never said: as ours state it, else as openai/whisper decides it."""

    def number(key: str) -> int:
        value = whole(metadata.get(key, ""))
        if value is None:
            raise ModelError(
                f"its metadata say no {key}", where=path, fix="Export it with `wattscribe export hf:MODEL`"
            )
        return value

    def numbers(key: str) -> tuple[int, ...]:
        return tuple(value for text in metadata.get(key, "").split(",") if (value := whole(text.strip())) is not None)

    start, end = number("sot"), number("eot")
    never = numbers("suppress_tokens")
    if "suppress_tokens" not in metadata:
        never = (*numbers("non_speech_tokens"), *(number(key) for key in _SOME_NEVER))
    first = numbers("begin_suppress_tokens") if "begin_suppress_tokens" in metadata else (number("blank_id"), end)
    codes = [code for code in metadata.get("all_language_codes", "").split(",") if code]
    several = metadata.get("is_multilingual", "0") != "0"
    return Special(
        start=start,
        end=end,
        transcribe=number("transcribe"),
        translate=number("translate"),
        previous=number("sot_prev"),
        language_model=number("sot_lm"),
        no_speech=number("no_speech"),
        no_timestamps=number("no_timestamps"),
        languages=dict(zip(codes, numbers("all_language_tokens"), strict=True)) if several else {},
        suppressed=never,
        suppressed_first=first,
        most=whole(metadata.get("max_new_tokens", "")),
    )
