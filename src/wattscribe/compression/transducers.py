"""Transducers as `compress` sees them (`family`): three networks, of which the joiner is asked most often."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wattscribe.compression.bits import ladders
from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.divergence import Probe
from wattscribe.compression.linears import linears
from wattscribe.compression.moves import Move, moves, recurrent
from wattscribe.compression.options import Options
from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.step import Step
from wattscribe.compression.strategies import MOST_KL
from wattscribe.compression.workbench import Workbench


class Transducers:
    """See `family.Family`."""

    lossless: Sequence[Step] = (
        Step(lever="place", component="all"),
        Step(lever="place", component="all", options={"unit": "tensor"}),
        Step(lever="batched-joiner", component="all"),
        Step(lever="share-equal", component="encoder"),
        Step(lever="narrow-indices", component="encoder"),
        Step(lever="fold", component="encoder"),
        Step(lever="fold", component="predictor"),
        Step(lever="depthwise", component="encoder"),
    )
    even_levels: Sequence[tuple[str, Sequence[Step]]] = ()
    inner: Sequence[str] = ("encoder", "predictor")
    each_corpus = False
    most_probe_s = math.inf
    timed = (3, 6)
    most_kl = MOST_KL

    def check(self, options: Options) -> None:
        """Every option is for transducers."""

    def excerpt(self, speech: SpeechSet, seconds: float) -> SpeechSet:
        return speech.beginning(seconds)

    def calibration(self, original: Candidate, speech: SpeechSet) -> Calibration:
        return Calibration(original, speech)

    def probe(self, original: Candidate, speech: SpeechSet) -> Probe:
        return Probe(original, speech)

    def eight_bits(self, bench: Workbench) -> list[Step]:
        """A joiner may have no map, and a predictor no recurrence."""
        maps = [part for part in ("encoder", "predictor", "joiner") if linears(bench.original.model(part))]
        return [*(Step(lever="int8", component=part) for part in maps), *recurrent(moves(bench.original))]

    def moves(self, bench: Workbench, base: Sequence[Step]) -> list[Move]:
        return [*moves(bench.original), *ladders(bench, base)]

    def phases(self, bench: Workbench) -> Sequence[str]:
        """The study's."""
        return ("joiner", "predictor", "encoder", "all")
