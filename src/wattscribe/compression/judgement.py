"""Whether a step stays: measured against the limit, against the energy and the speed before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wattscribe.compression import sets
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.recipe import Done
from wattscribe.compression.step import Step, Value
from wattscribe.compression.workbench import SLOWER, Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a step stays, why, and the figures after it."""

    kept: bool
    reason: str
    """For people."""
    numbers: Mapping[str, Value] = field(default_factory=dict)

    def of(self, steps: Sequence[Step], *, reason: str | None = None) -> list[Done]:
        """Steps that went together; `reason` in place of its own."""
        reason = self.reason if reason is None else reason
        return [Done(step=step, kept=self.kept, reason=reason, numbers=self.numbers) for step in steps]


def reverted(why: str, numbers: Mapping[str, Value]) -> Judgement:
    """A step that goes."""
    return Judgement(kept=False, reason=f"reverted: {why}", numbers=numbers)


def judge(
    bench: Workbench, strategy: str, before: Candidate, after: Candidate, steps: Sequence[Step], *, small: bool = False
) -> Judgement:
    """Measure a recipe against the limit and against the one before it."""
    measurement = bench.measure(after, small=small)
    change = sets.change(bench, after, small=small)
    kl = bench.kl(after).kl
    bench.note(strategy, steps, after, kl=kl, wer=measurement.wer, on="small" if small else "full")
    energy, energy_before = bench.energy_mj(after), bench.energy_mj(before)
    numbers: dict[str, Value] = {
        "energy_mj_per_audio_s": energy, "saved_mj": energy_before - energy, "wer": measurement.wer,
        "wer_increase": change.increase, "wer_margin": change.margin,
        "kl": kl, "size_bytes": after.size_bytes,
    }  # fmt: skip
    if not change.holds:
        return reverted(change.summary, numbers)
    if energy > energy_before * (1 + 1e-9):
        return reverted(f"modelled energy rises by {energy - energy_before:.4f} mJ/s", numbers)
    slower = bench.slower_by(before, after)
    numbers["time_ratio"] = slower
    if slower > SLOWER:
        return reverted(f"measured {100 * (slower - 1):.0f} % slower", numbers)
    saved = f"saves {energy_before - energy:.4f} mJ/s"
    reason = f"{saved}, WER {100 * change.increase:+.2f} points, time x{slower:.2f}"
    return Judgement(kept=True, reason=reason, numbers=numbers)
