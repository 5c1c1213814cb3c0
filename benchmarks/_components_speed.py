"""Processor time of targeted, uniform and global pruning, all models in turn on every utterance of one run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks._components_compare import STRATEGIES, Point, changed, cuts, errors_of
from benchmarks._components_models import Making, pruned
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.dense.surgery import Cut
from wattscribe.compression.opened import transcribe_stream
from wattscribe.compression.speech import SpeechSet
from wattscribe.energy.options import Decoding
from wattscribe.streaming import open_transducer

UTTERANCES = 120
ROUNDS = 3
"""Of which each utterance's best counts."""


def speed(making: Making, speech: SpeechSet) -> list[str]:
    """Markdown: RTF of each model of the first seed, and of targeted at the WER of its own points against the others' there."""
    chains = {kind: [Cut(), *rows] for kind, rows in cuts(making, speech).items()}
    candidates = {cut: pruned(making, cut, 0) for chain in chains.values() for cut in chain}
    some = speech.spread(speech.audio_s * UTTERANCES / len(speech))
    how = f"one thread, the best of {ROUNDS} rounds in turn. WER on all {len(speech)}."
    out = [f"{len(some)} utterances, {some.audio_s:.0f} s, {how}"]
    for decoding, beam in making.ways:
        rtf = dict(zip(candidates, _timed(list(candidates.values()), some, decoding, beam), strict=True))
        wer = {cut: errors_of(model, speech, making, decoding, beam).wer or 0.0 for cut, model in candidates.items()}
        fronts = {
            kind: [Point(wer=float(wer[cut]), cost={"rtf": rtf[cut]}) for cut in chain]
            for kind, chain in chains.items()
        }
        out += ["", f"## {decoding}, beam {beam}", "", *_rows(fronts)]
    return out


def _timed(models: Sequence[Candidate], speech: SpeechSet, decoding: Decoding, beam: int) -> NDArray[np.float64]:
    """RTF of each, in processor time."""
    best_s = np.full((len(models), len(speech)), np.inf)
    with contextlib.ExitStack() as stack:
        opened = [
            open_transducer(
                stack.enter_context(model.directory()), frame_by_frame=decoding == "frame-by-frame",
                decoding="beam" if beam > 1 else "greedy", beam=beam,
            )
            for model in models
        ]  # fmt: skip
        for turn in range(ROUNDS):
            for place, audio in enumerate(speech.audio):
                for number in np.roll(np.arange(len(opened)), turn + place):
                    began_s = time.process_time()
                    transcribe_stream(opened[number], audio)
                    best_s[number, place] = min(best_s[number, place], time.process_time() - began_s)
    rtf: NDArray[np.float64] = best_s.sum(1) / speech.audio_s
    return rtf


def _rows(fronts: Mapping[str, Sequence[Point]]) -> Iterator[str]:
    yield "| strategy | WER, %: RTF |"
    yield "|---|---|"
    for kind, points in fronts.items():
        cells = (f"{100 * point.wer:.1f}: {point.cost['rtf']:.5f}" for point in points)
        yield f"| {kind} | {'; '.join(cells)} |"
    yield ""
    yield "| RTF of targeted against | mean (least to most) |"
    yield "|---|---|"
    for other in STRATEGIES[1:]:
        yield f"| {other} | {changed([(fronts['targeted'], fronts[other])], 'rtf')} |"
