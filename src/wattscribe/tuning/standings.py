"""What became of every configuration: chosen, refused by the proof, finalist, dropped after a stage, failed, or not tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wattscribe.results.tuned import Outcome, Proof, Standing
from wattscribe.scoring import wer_interval
from wattscribe.tuning.race import Race
from wattscribe.tuning.space import Configuration


def standings(
    configurations: Sequence[Configuration], race: Race, chosen: str | None, proofs: Mapping[str, Proof]
) -> tuple[Standing, ...]:
    """In the order of the space."""
    return tuple(_standing(each, race, *_outcome(each.key, race, chosen, proofs)) for each in configurations)


def _outcome(key: str, race: Race, chosen: str | None, proofs: Mapping[str, Proof]) -> tuple[Outcome, str | None]:
    if key == chosen:
        return "chosen", None
    if key in proofs and not proofs[key].holds:
        broken = [check.text for check in proofs[key].checks if not check.holds]
        return "refused", "on the held-back speech: " + ("; ".join(broken) or "its cost is not known")
    if (left := race.dropped.get(key)) is not None:
        return ("failed" if left.reason.startswith("failed") else "dropped"), f"after stage {left.stage}: {left.reason}"
    return ("finalist", None) if key in race.order else ("not tried", "the sampler did not choose it")


def _standing(one: Configuration, race: Race, outcome: Outcome, reason: str | None) -> Standing:
    stages = sum(one.key in stage for stage in race.stages)
    if not stages:
        return Standing(
            label=one.label, axes=one.axes, outcome=outcome, reason=reason, stages=0, audio_s=0.0, wer=None, wer_ci95=None,
            cost=None, cost_ci95=None, latency_p90_s=None, peak_memory_bytes=None, best=None,
        )  # fmt: skip
    seen = race.seen(one.key)
    left = race.dropped.get(one.key)
    chance = race.found.get(one.key) if left is None else left.chance
    return Standing(
        label=one.label,
        axes=one.axes,
        outcome=outcome,
        reason=reason,
        stages=stages,
        audio_s=float(seen.audio_s.sum()),
        wer=seen.wer,
        wer_ci95=wer_interval(seen.counts, seen.speakers, seed=race.seed).ci95,
        cost=seen.rate,
        cost_ci95=seen.rate_ci95,
        latency_p90_s=seen.latency_p90_s,
        peak_memory_bytes=seen.peak_memory_bytes,
        best=None if chance is None else chance.best,
    )
