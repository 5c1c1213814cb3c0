"""What differs between kinds of models: which levers there are, in which order they are tried, how speech goes through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from wattscribe.compression.step import Step

if TYPE_CHECKING:
    from wattscribe.compression.calibrate import Calibration
    from wattscribe.compression.candidate import Candidate
    from wattscribe.compression.divergence import Probe
    from wattscribe.compression.moves import Move
    from wattscribe.compression.options import Options
    from wattscribe.compression.speech import SpeechSet

Bench = TypeVar("Bench", contravariant=True)


class Family(Protocol[Bench]):
    """A kind of model, for the strategies, which know of moves, steps and their figures alone. `Bench`: the workbench."""

    lossless: Sequence[Step]
    """Steps that may change no text, in the order in which they are offered."""
    each_corpus: bool
    """Whether each corpus is held to the limit by itself although nobody gave it one of its own."""
    most_kl: float
    """Nat: beyond this divergence a recognizer no longer hears the same language, and a move is not worth a decode."""
    even_levels: Sequence[tuple[str, Sequence[Step]]]
    """The uniform strategy's, from mild to strong, by name; empty: those of transducers."""
    inner: Sequence[str]
    """Components whose maps may have inner channels, which the global strategy ranks together."""
    most_probe_s: float
    """Of the development set, at most so much is compared on."""
    timed: tuple[int, int]
    """Rounds and utterances by which two models' processor times are compared."""

    def check(self, options: Options) -> None:
        """Raises InputError for options that mean nothing here."""
        ...

    def excerpt(self, speech: SpeechSet, seconds: float) -> SpeechSet:
        """Of the development set, to calibrate and to compare on where no other speech is given."""
        ...

    def calibration(self, original: Candidate, speech: SpeechSet) -> Calibration:
        """What flows through the model."""
        ...

    def probe(self, original: Candidate, speech: SpeechSet) -> Probe:
        """What it is asked to see how far another model is from it."""
        ...

    def eight_bits(self, bench: Bench) -> list[Step]:
        """All that can be in 8 bits: what the global strategy ends with."""
        ...

    def moves(self, bench: Bench, base: Sequence[Step]) -> list[Move]:
        """All that may be chosen."""
        ...

    def phases(self, bench: Bench) -> Sequence[str]:
        """Components in the order of their turns; `all` is the last."""
        ...
