"""How often each component runs per second of audio: counted in a real decode, or stated; never mixed silently."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wattscribe.energy.options import DEFAULT_TOKENS_PER_S, Decoding
from wattscribe.energy.workload import DRAFT, Workload
from wattscribe.errors import InputError
from wattscribe.records import Counts
from wattscribe.units import FRAMES_PER_S

MOST_PER_S = 1e6
"""Of any rate: above the samples of a second, so above whatever a model can do."""
WORDS_PER_TOKEN = 1 / 1.7
"""Words per emitted token where none were counted: 500 to 4097 sentence pieces give 1.3 to 2.1 tokens per word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Invocations and rows of one component per second of audio."""

    calls_per_s: float
    rows_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates of all components. `source` is shown with every figure that rests on them."""

    components: Mapping[str, Rate]
    source: Literal["counted", "stated"]
    decoding: Decoding | None = None
    frames_per_s: float | None = None
    draft_frames_per_s: float | None = None
    """Encoder frames of the model that offers drafts; None: there is none."""
    tokens_per_s: float | None = None
    words_per_s: float | None = None
    beam: int = 1
    audio_s: float | None = None
    note: str = ""


def calls_and_rows(component: str, counts: Counts) -> tuple[int, int]:
    """What was counted of it. What has no count of its own runs once with the encoder, as a Whisper's cross-attention does."""
    decoder, draft = (counts.predictor_calls, counts.predictor_rows), (counts.draft_calls, counts.draft_rows)
    pairs = {
        "encoder": (counts.encoder_calls, counts.encoder_rows),
        "predictor": decoder,
        "decoder": decoder,
        "vocabulary": decoder,
        "joiner": (counts.joiner_calls, counts.joiner_rows),
        "gate": (counts.gate_calls, counts.gate_calls),
        f"{DRAFT}decoder": draft,
        f"{DRAFT}vocabulary": draft,
    }
    windows = counts.draft_windows if component.startswith(DRAFT) else counts.encoder_calls
    return pairs.get(component, (windows, windows))


def counted(
    workload: Workload, counts: Counts, audio_s: float, *, words: int | None = None, decoding: Decoding | None = None
) -> Rates:
    """Rates of a real decode: its counts over the seconds of audio decoded. Raises InputError without audio."""
    if not audio_s > 0:
        raise InputError(f"rates need audio, {audio_s:g} s were given", fix="Decode at least one utterance")
    by_component = {}
    for component in workload.components:
        calls, rows = calls_and_rows(component.name, counts)
        by_component[component.name] = Rate(calls_per_s=calls / audio_s, rows_per_s=max(rows, calls) / audio_s)
    return Rates(
        components=by_component,
        source="counted",
        decoding=decoding,
        frames_per_s=counts.frames / audio_s,
        draft_frames_per_s=counts.draft_frames / audio_s if counts.draft_windows else None,
        tokens_per_s=counts.tokens / audio_s,
        words_per_s=None if words is None else words / audio_s,
        audio_s=audio_s,
        note=f"counted over {audio_s:.1f} s of audio",
    )


def stated(
    workload: Workload,
    *,
    tokens_per_s: float = DEFAULT_TOKENS_PER_S,
    frames_per_s: float | None = None,
    chunk_ms: float | None = None,
    beam: int = 1,
    decoding: Decoding = "batched",
    words_per_s: float | None = None,
) -> Rates:
    """Rates from an operating point instead of a decode.

    frame-by-frame: one joiner call per frame (+ one per token where a frame may emit several) over all live hypotheses.
    batched: one call per segment and one for each new predictor vector, over the segment's remaining frames, tokens spread
    evenly. The predictor runs once per token, with a beam whenever a hypothesis has grown (`_BEAM`). Speech is fed live, one
    segment after the other. Raises InputError for rates that cannot be.
    """
    segment_s = chunk_ms / 1000 if chunk_ms is not None else workload.segment_s
    if segment_s is None:
        raise InputError("the length of a segment is not known", where=workload.name, fix="Give `chunk_ms`")
    per_s = _frames_per_s(workload, frames_per_s)
    for what, value in (("`chunk_ms`", 1000 * segment_s), ("`frames_per_s`", per_s), ("`beam`", beam),
                        ("`words_per_s`", 1 if words_per_s is None else words_per_s)):  # fmt: skip
        if not 0 < value <= MOST_PER_S:
            raise InputError(f"{what} must be above 0, at most {MOST_PER_S:g}", where=workload.name)
    if not 0 <= tokens_per_s <= MOST_PER_S:
        raise InputError(f"`tokens_per_s` must be between 0 and {MOST_PER_S:g}", where=workload.name)
    rate = {"encoder": Rate(calls_per_s=1 / segment_s, rows_per_s=1 / segment_s)}
    if workload.kind == "transducer":
        many = workload.symbols_per_frame == "many"
        rate["joiner"] = _joiner(per_s, tokens_per_s, segment_s, beam, decoding, many)
        growth = _growth(beam)
        calls = tokens_per_s * growth.predictor_calls
        rate["predictor"] = Rate(
            calls_per_s=calls if many else min(calls, per_s), rows_per_s=tokens_per_s * growth.predictor_rows
        )
    rate["decoder"] = rate["vocabulary"] = Rate(calls_per_s=tokens_per_s, rows_per_s=tokens_per_s * beam)
    return Rates(
        components={component.name: rate.get(component.name, rate["encoder"]) for component in workload.components},
        source="stated",
        decoding=decoding,
        frames_per_s=per_s,
        tokens_per_s=tokens_per_s,
        words_per_s=tokens_per_s * WORDS_PER_TOKEN if words_per_s is None else words_per_s,
        beam=beam,
        note=f"stated: segments of {1000 * segment_s:g} ms, {per_s:g} frames/s, {tokens_per_s:g} tokens/s, beam {beam}",
    )


@dataclass(frozen=True, slots=True)
class _Growth:
    """What modified beam search does per token of the best hypothesis, and hypotheses alive per frame."""

    predictor_calls: float
    predictor_rows: float
    live: float


_BEAM: Mapping[int, _Growth] = {
    1: _Growth(1, 1, 1),
    2: _Growth(2.50, 2.81, 1.87),
    4: _Growth(2.87, 4.70, 3.51),
    8: _Growth(3.45, 9.37, 6.95),
}
"""Counted, not derived: how often hypotheses grow depends on how sure a model is. A zipformer of 3.3 M weights on 25 utterances
of clean LibriSpeech; in noise of 1 to 9 dB calls are up to 6 % and rows up to 11 % more (docs/energy-model.md)."""


def _growth(beam: int) -> _Growth:
    """Of any beam: linear between the counted ones, in proportion to the beam beyond them."""
    known = sorted(_BEAM)
    if beam >= known[-1]:
        last, factor = _BEAM[known[-1]], beam / known[-1]
        return _Growth(last.predictor_calls, last.predictor_rows * factor, last.live * factor)
    low = max(width for width in known if width <= beam)
    high = min(width for width in known if width > beam)
    part = (beam - low) / (high - low)
    lower, other = _BEAM[low], _BEAM[high]
    return _Growth(
        *(
            getattr(lower, name) + part * (getattr(other, name) - getattr(lower, name))
            for name in ("predictor_calls", "predictor_rows", "live")
        )
    )


def _frames_per_s(workload: Workload, frames_per_s: float | None) -> float:
    if frames_per_s is not None:
        return frames_per_s
    if workload.frames_per_segment and workload.segment_s:
        return workload.frames_per_segment / workload.segment_s
    return FRAMES_PER_S / 4


def _joiner(frames: float, tokens: float, segment_s: float, beam: int, decoding: Decoding, many: bool) -> Rate:
    evaluations = frames + tokens if many else frames
    growth, per_segment = _growth(beam), frames * segment_s
    if decoding == "frame-by-frame":
        return Rate(calls_per_s=evaluations, rows_per_s=evaluations * growth.live)
    if beam > 1:
        asking = min(frames, tokens * growth.predictor_calls)
        calls = asking + (frames - asking) / per_segment
        grown = tokens * growth.predictor_rows
        rows = grown * (per_segment + 1) / 2 + max(0.0, frames * growth.live - grown)
        return Rate(calls_per_s=calls, rows_per_s=max(rows, calls))
    again = 1.0 if many else max(0.0, 1 - 1 / per_segment)  # a token on the last frame leaves nothing to ask again
    calls = 1 / segment_s + tokens * again
    rewound = tokens * max(0.0, (per_segment + 1) / 2 if many else (per_segment - 1) / 2)
    return Rate(calls_per_s=calls, rows_per_s=max(calls, frames + rewound))


def with_beam(rates: Rates, beam: int, note: str) -> Rates:
    """Counted rates with the beam under which they were counted, and where."""
    return dataclasses.replace(rates, beam=beam, note=note)
