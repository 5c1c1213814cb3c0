"""Where recipes are built, measured and remembered: every strategy works on one, and every recipe tried leaves a record."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from wattscribe.compression.budget import Budget
from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.divergence import Divergence, Probe
from wattscribe.compression.family import Family
from wattscribe.compression.held import Held
from wattscribe.compression.levers import LEVERS, apply
from wattscribe.compression.measure import Decoded, Measurement, Measurer, texts_equal
from wattscribe.compression.memo import Memo
from wattscribe.compression.recipe import Done
from wattscribe.compression.shelf import Shelf
from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.step import Step
from wattscribe.errors import InputError
from wattscribe.records import Counts
from wattscribe.units import SAMPLE_RATE_HZ

NOTHING = 1e-5
"""Relative: what sums in another order or the few bytes of an operator's constants cost."""
SLOWER = 1.05
"""A step is slower where a set takes this much longer: the spread of processor time between repeats of one model."""
SEVERAL = ("prune-width", "segments", "cut-layers")
"""Levers that may change more than the network of their component, or how it is decoded."""
SEEN = 3e-4
"""Seconds of processor time per second of audio: smaller differences are left out of account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One recipe that was measured; `wer` None: only its energy and its divergence are known."""

    strategy: str
    steps: tuple[Step | str, ...]
    energy_mj: float
    size_bytes: int
    kl: float | None = None
    wer: float | None = None
    on: str = ""
    """`small` or `full`: the part of the development set that `wer` is of; `full` is all that may be chosen on."""


@dataclass(slots=True, kw_only=True)
class Workbench:
    """The model as it is, the device, the speech, and what was found out so far."""

    original: Candidate
    family: Family[Workbench]
    measurer: Measurer
    dev: SpeechSet
    """What a strategy may choose on: the development set, or the part of it that is not held back."""
    small: SpeechSet
    calibration: Calibration
    probe: Probe
    limit: float
    """WER that may be added, as a fraction."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Of corpora that have one of their own, by name."""
    against: Candidate | None = None
    """What the result is compared with where that is not `original`: the dense model before pruning."""
    seed: int = 0
    held: Held | None = None
    budget: Budget = field(default_factory=Budget)
    memo: Memo = field(default_factory=Memo)
    say: Callable[[str], None] = lambda _: None
    tried: list[Tried] = field(default_factory=list)
    _built: Shelf[tuple[str, ...], Candidate] = field(
        default_factory=lambda: Shelf(lambda candidate: candidate.size_bytes)
    )
    _pieces: Shelf[tuple[str, tuple[str, ...]], bytes] = field(default_factory=lambda: Shelf(len))
    counted: dict[Any, tuple[tuple[Counts, ...], float]] = field(default_factory=dict)
    """Counts and seconds of the development set by how it was decoded, by the original."""

    @property
    def reference(self) -> Candidate:
        """The model whose WER and energy count as before."""
        return self.against or self.original

    @property
    def whole(self) -> SpeechSet:
        """The development set with what is held back."""
        return self.dev if self.held is None else self.held.whole

    @property
    def digest(self) -> str:
        """Of all that the figures of a recipe depend on but its steps."""
        asked = (self.original.digest, repr(self.measurer.device), self.dev.digest, self.probe.speech.digest,
                 self.calibration.speech.digest)  # fmt: skip
        return hashlib.sha256("\n".join(asked).encode()).hexdigest()

    # --- building ---------------------------------------------------------------------------------------------------
    def build(self, steps: Sequence[Step]) -> Candidate:
        """The original after these steps. Parts that other recipes share are made once."""
        key = tuple(step.key for step in steps)
        if not key:
            return self.original
        return self._built.get(key, lambda: self._apply(self.build(steps[:-1]), steps))

    def _apply(self, before: Candidate, steps: Sequence[Step]) -> Candidate:
        self.budget.check()
        last = steps[-1]
        if last.component not in before.COMPONENTS or last.lever in SEVERAL:
            return apply(before, last, self.calibration)
        network = before.network_of(last.component)
        chain = tuple(step.key for step in steps if _touches(step, network, before))
        network_bytes = self._pieces.get(
            (network, chain), lambda: apply(before, last, self.calibration).networks[network]
        )
        return before.with_bytes(last.component, network_bytes)

    # --- measuring --------------------------------------------------------------------------------------------------
    def energy_mj(self, candidate: Candidate) -> float:
        """Modelled, at the counts of the original decoded the same way: no decode needed, so recipes are compared by cost
        alone and not by the tokens that they happen to emit."""
        return self.measurer.energy_mj(candidate, *self.counts(candidate))

    def counts(self, candidate: Candidate) -> tuple[tuple[Counts, ...], float]:
        """Counts and seconds of the development set, decoded by the original as the candidate is decoded."""
        key = (candidate.decoding, candidate.segments)
        if key not in self.counted:
            like = self.original
            if candidate.segments > 1:
                like = self.build([joined(candidate.segments)])
            decoded = self.measurer.decode(like, self.dev, candidate.decoding)
            self.counted[key] = (decoded.counts, decoded.audio_s)
        counts, audio_s = self.counted[key]
        return candidate.own_counts(counts, self.dev.audio), audio_s

    def kl(self, candidate: Candidate, probe: Probe | None = None) -> Divergence:
        """Distance from the original on unlabelled audio, or on that of another probe."""
        self.budget.check()
        asked = probe or self.probe
        key = f"{self.original.digest}-{candidate.digest}-{asked.speech.digest}"
        return self.memo.recall(
            "divergence", key, lambda: asked.of(candidate), of=lambda row: Divergence(**row), to=asdict
        )

    def measure(self, candidate: Candidate, *, small: bool = False) -> Measurement:
        """A real decode of the development set, or of the small part of it."""
        return self.measurer.measure(candidate, self.small if small else self.dev)

    def note(self, strategy: str, steps: Sequence[Step], candidate: Candidate, **figures: Any) -> Tried:
        """Record a recipe."""
        tried = Tried(
            strategy=strategy, steps=tuple(steps), energy_mj=self.energy_mj(candidate), size_bytes=candidate.size_bytes,
            **figures,
        )  # fmt: skip
        self.tried.append(tried)
        return tried

    # --- lossless ---------------------------------------------------------------------------------------------------
    def lossless(self) -> list[Done]:
        """The lossless levers with their proof: the text of the whole development set is the same, letter by letter.

        All are proven at once by one decode; where a text differs, one after the other, and those at fault are left out.
        """
        offered, left_out = self._offered()
        if self.identical(self.original, self.build(offered)) == len(self.whole):
            return [*(self._proven(offered[: number + 1]) for number in range(len(offered))), *left_out]
        done: list[Done] = []
        good: list[Step] = []
        for step in offered:
            proven = self._proven([*good, step])
            done.append(proven)
            if proven.kept:
                good.append(step)
        return [*done, *left_out]

    def _offered(self) -> tuple[list[Step], list[Done]]:
        """The lossless steps that apply and cost no energy, and why the others are left out."""
        offered: list[Step] = []
        left_out: list[Done] = []
        for step in self.family.lossless:
            try:
                after = self.build([*offered, step])
            except InputError as error:
                left_out.append(Done(step=step, kept=False, reason=f"not applicable: {error.what}"))
                continue
            before = self.energy_mj(self.build(offered))
            saved = before - self.energy_mj(after)
            if saved < -NOTHING * before:
                reason = f"reverted: costs {-saved:.4f} mJ/s on this device"
                left_out.append(Done(step=step, kept=False, reason=reason, numbers={"saved_mj": saved}))
            else:
                offered.append(step)
        return offered, left_out

    def identical(self, before: Candidate, after: Candidate) -> int:
        """Utterances of the whole development set whose text is the same: nothing is chosen here that could be luck."""
        return sum(map(texts_equal, *([each.texts for each in self.decoded(side)] for side in (before, after))))

    def decoded(self, candidate: Candidate) -> list[Decoded]:
        """The whole development set, part by part."""
        parts = (self.dev,) if self.held is None else (self.held.choose, self.held.confirm)
        return [self.measurer.decode(candidate, part) for part in parts]

    def _proven(self, steps: Sequence[Step]) -> Done:
        """The last of the steps as it went; a decode of a later prefix of an identical chain proves the earlier ones."""
        before, after = self.build(steps[:-1]), self.build(steps)
        saved = self.energy_mj(before) - self.energy_mj(after)
        whole = len(self.whole)
        same = whole if self._chain_proven(steps) else self.identical(self.original, after)
        good = same == whole
        proof = f"text of {same} of {whole} utterances identical"
        reason = f"{LEVERS[steps[-1].lever].says}; {proof}" if good else f"reverted: {proof}"
        self.say(f"  {steps[-1]}: {'kept' if good else 'reverted'}, {self.energy_mj(after):.4f} mJ/s, {proof}")
        numbers = {"energy_mj_per_audio_s": self.energy_mj(after), "saved_mj": saved, "size_bytes": after.size_bytes}
        return Done(step=steps[-1], kept=good, reason=reason, numbers={**numbers, "identical": same})

    def _chain_proven(self, steps: Sequence[Step]) -> bool:
        offered, _ = self._offered()
        return list(steps) == offered[: len(steps)] and self.identical(self.original, self.build(offered)) == len(
            self.whole
        )

    # --- speed ------------------------------------------------------------------------------------------------------
    def slower_by(self, before: Candidate, after: Candidate) -> float:
        """Processor time of `after` over that of `before`: utterances alternated, the least of several rounds each. What seems
        slower is measured again, in twice the rounds, and the better of both counts: a machine has other work, too.

        A difference below SEEN of real time is 1.0: nobody notices it, and short utterances cannot show it.
        """
        if before.digest == after.digest and before.decoding == after.decoding:
            return 1.0
        rounds, utterances = self.family.timed
        ratio = self._time_ratio(before, after, rounds, utterances)
        return ratio if ratio <= SLOWER else min(ratio, self._time_ratio(before, after, 2 * rounds, utterances))

    def _time_ratio(self, before: Candidate, after: Candidate, rounds: int, utterances: int) -> float:
        self.budget.check()
        sides = "-".join(
            f"{candidate.digest}-{candidate.decoding}-{candidate.segments}" for candidate in (before, after)
        )
        key = f"{sides}-{self.small.digest}-{rounds}-{utterances}"
        return self.memo.recall(
            "time_ratio", key, lambda: self._timed(before, after, rounds, utterances), of=float, to=float
        )

    def _timed(self, before: Candidate, after: Candidate, rounds: int, utterances: int) -> float:
        speech = self.small.audio[:utterances]
        best: list[dict[int, float]] = [{}, {}]
        with before.directory() as one, after.directory() as other:
            models = [
                candidate.open(folder, candidate.decoding) for folder, candidate in ((one, before), (other, after))
            ]
            for model in models:
                model.transcribe(speech[0])
            for _ in range(rounds):
                for number, audio in enumerate(speech):
                    for times, model in zip(best, models, strict=True):
                        start = time.process_time()
                        model.transcribe(audio)
                        spent = time.process_time() - start
                        times[number] = min(spent, times.get(number, spent))
        first, second = (sum(times.values()) for times in best)
        audio_s = sum(len(audio) for audio in speech) / SAMPLE_RATE_HZ
        return 1.0 if abs(second - first) < SEEN * audio_s else second / max(first, 1e-9)


def joined(count: int) -> Step:
    """The step that joins so many segments of the encoder in one call."""
    return Step(lever="segments", component="encoder", options={"count": count})


def _touches(step: Step, network: str, candidate: Candidate) -> bool:
    """Whether a step may change a network."""
    if step.lever in ("place", "batched-joiner"):
        return False
    if step.component == "all" or (step.lever in SEVERAL and step.component in ("joiner", "decoder")):
        return True
    return candidate.network_of(step.component) == network


def with_baseline_placement(candidate: Candidate) -> Candidate:
    """The same model with its best placement by component: the harder baseline."""
    return replace(candidate, placement="component")
