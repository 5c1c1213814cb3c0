"""A Whisper's levers and the order of their turns (`family`): where most energy goes first, counted on this speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wattscribe.compression.bits import ladder
from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.divergence import Probe
from wattscribe.compression.moves import Move
from wattscribe.compression.options import Options
from wattscribe.compression.seq2seq.shorter import cuts, gates
from wattscribe.compression.seq2seq.speech import SpokenCalibration, SpokenProbe
from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError

MAPS = ("encoder", "cross_attention", "decoder")
"""Components of linear maps; the vocabulary is one matrix."""
MARGINS_S = (20.0, 10.0, 5.0)
"""Of silence behind the speech, from mild to strong."""
STEP_S = 5.0
SILENT = ((2.0, 1), (2.0, 8), (1.0, 8), (1.0, 32), (0.5, 32))
"""Margins where silence is remembered, and of how many frames one: windows then end on the next half second."""
GATED = SILENT[2:4]
"""Of these, those offered together with a voice gate as well: a gate alone shortens no window of 30 s."""
SILENT_STEP_S = 0.5
PROBE_S = 60.0
"""Asked of each candidate: a window of 1500 frames is two seconds of another model's work."""
BLOCKS_EVENLY = (32, 64, 128)
EIGHT = Step(lever="table-int8", component="vocabulary")
EIGHT_BITS = [*(Step(lever="int8", component=component) for component in MAPS), EIGHT]
TWO_STEP = Step(lever="two-step-vocabulary", component="vocabulary")
TWO_BITS = Step(lever="two-step-vocabulary", component="vocabulary", options={"candidates": 64, "bits": 2})
"""Codes of 2 bits err more: of tiny.en and base the chosen one of 1015 tokens stood at place 23 of the cheap pass at worst."""


def four(block: int, rows: int) -> Step:
    """The vocabulary in 4 bits, the rows of its embedding in 4 or 8."""
    return Step(lever="table-blockwise", component="vocabulary", options={"block": block, "accuracy": 4, "rows": rows})


def _even_levels() -> Iterator[tuple[str, list[Step]]]:
    """8 bits, then 4 bits in blocks that grow."""
    yield "uniform, 8 bits", EIGHT_BITS
    for block in BLOCKS_EVENLY:
        options = {"bits": 4, "block": block, "accuracy": 4}
        maps = [Step(lever="blockwise", component=component, options=options) for component in MAPS]
        yield f"uniform, 4 bits in blocks of {block}", [*maps, four(block, rows=4)]


class Whispers:
    """See `family.Family`."""

    lossless: Sequence[Step] = (
        Step(lever="place", component="all"),
        Step(lever="place", component="all", options={"unit": "tensor"}),
        Step(lever="stop-loops", component="encoder"),
    )
    even_levels: Sequence[tuple[str, Sequence[Step]]] = tuple(_even_levels())
    inner: Sequence[str] = ("encoder", "decoder")
    each_corpus = True
    most_probe_s = PROBE_S
    timed = (2, 2)
    most_kl = 0.5
    """A token is worth five frames of a transducer."""

    def check(self, options: Options) -> None:
        if options.max_latency_ms is not None:
            raise InputError(
                "`max_latency_ms` is for streaming transducers", fix="Leave it out: a Whisper hears windows"
            )

    def excerpt(self, speech: SpeechSet, seconds: float) -> SpeechSet:
        return speech.spread(seconds)

    def calibration(self, original: Candidate, speech: SpeechSet) -> Calibration:
        return SpokenCalibration(original, speech)

    def probe(self, original: Candidate, speech: SpeechSet) -> Probe:
        return SpokenProbe(original, speech)

    def eight_bits(self, bench: Workbench) -> list[Step]:
        return EIGHT_BITS

    def moves(self, bench: Workbench, base: Sequence[Step]) -> list[Move]:
        offered = [_move("window", "encoder", window(margin_s)) for margin_s in MARGINS_S]
        offered += [_move("window", "encoder", remembering(*sizes)) for sizes in SILENT]
        for gate in gates(bench):  # by itself it saves where a recording is longer than a window
            offered.append(_move("gate", "encoder", gate))
            offered += [_move("window", "encoder", remembering(*sizes), gate) for sizes in GATED]
        offered += [move for component in ("encoder", "decoder") for move in cuts(bench, base, component)]
        for component in ("encoder", "cross_attention"):
            offered += [_move(f"form:{component}", component, step) for step in forms(component)]
        offered += ladder(bench, base, "decoder", rest_float=True)
        # One slot: the candidates' rows may be those of a float table or of one in 8 bits, and no other form can follow.
        tables: list[tuple[Step, ...]] = [(EIGHT,), (TWO_STEP,), (TWO_BITS,), (EIGHT, TWO_STEP), (EIGHT, TWO_BITS)]
        tables += [(four(*sizes),) for sizes in ((32, 8), (64, 8), (32, 4))]
        offered += [_move("table:vocabulary", "vocabulary", *steps) for steps in tables]
        return offered

    def phases(self, bench: Workbench) -> Sequence[str]:
        """By modelled power."""
        original = bench.original
        spent = bench.measurer.energy(original, *bench.counts(original)).components
        ranked = sorted(spent, key=lambda component: -component.total_w.value)
        return (*(component.name for component in ranked), "all")


def _move(slot: str, component: str, *steps: Step) -> Move:
    return Move(slot=slot, component=component, steps=steps)


def window(margin_s: float) -> Step:
    """The step that asks the runtime for shorter windows."""
    return Step(lever="window", component="encoder", options={"margin_s": margin_s, "step_s": STEP_S})


def remembering(margin_s: float, stride: int) -> Step:
    """The same, and silence stays where it was: as constants."""
    options = {"margin_s": margin_s, "step_s": SILENT_STEP_S, "silence": stride}
    return Step(lever="window", component="encoder", options=options)


def forms(component: str) -> list[Step]:
    """All maps of a component together: of those that run once a window single maps decide little."""
    stored = ({"bits": bits, "block": block, "accuracy": 4} for bits, block in ((8, 128), (4, 32), (4, 128)))
    return [
        Step(lever="int8", component=component),
        *(Step(lever="blockwise", component=component, options=options) for options in stored),
    ]
