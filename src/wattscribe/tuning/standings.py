"""What became of every configuration: chosen, refused by the proof, finalist, dropped, failed, or not tried."""

from __future__ import annotations

from collections.abc import Sequence

from wattscribe.results.tuned import Outcome, Standing
from wattscribe.scoring import wer_interval
from wattscribe.tuning.race import UNLIKELY, Race
from wattscribe.tuning.space import Configuration


def standings(configurations: Sequence[Configuration], race: Race) -> tuple[Standing, ...]:
    """In the order of the space."""
    return tuple(_standing(each, race, *_outcome(each.key, race)) for each in configurations)


def _outcome(key: str, race: Race) -> tuple[Outcome, str | None]:
    if key == race.chosen:
        return "chosen", None
    if (why := race.failed.get(key)) is not None:
        return "failed", f"stage {race.last[key]}: failed: {why}"
    if key not in race.found:
        return "not tried", "the sampler did not choose it"
    chance, after = race.found[key], f"after stage {race.last[key]}: "
    if (proof := race.proofs.get(key)) is not None:
        broken = [check.text for check in proof.checks if not check.holds]
        refused = "on the held-back speech: " + ("; ".join(broken) or "its cost is not known")
        return ("finalist", None) if proof.holds else ("refused", refused)
    if chance.holds < UNLIKELY or (race.complete(key) and chance.overshoot > 1):
        return "dropped", after + "breaks a limit"
    if race.complete(key):
        return "finalist", None
    if chance.best < UNLIKELY:
        return "dropped", after + f"{100 * chance.best:.1f} % likely the best, and so not worth audio"
    return "dropped", after + f"no audio left: {100 * chance.best:.1f} % likely the best"


def _standing(one: Configuration, race: Race, outcome: Outcome, reason: str | None) -> Standing:
    shown = [part for part in race.shown.get(one.key, [])[:-1] if part is not None]
    if not shown:
        return Standing(
            label=one.label, axes=one.axes, outcome=outcome, reason=reason, stages=0, audio_s=0.0, wer=None, wer_ci95=None,
            cost=None, cost_ci95=None, latency_p90_s=None, peak_memory_bytes=None, best=None,
        )  # fmt: skip
    seen, chance = race.seen(one.key), race.found.get(one.key)
    return Standing(
        label=one.label,
        axes=one.axes,
        outcome=outcome,
        reason=reason,
        stages=len(shown),
        audio_s=float(seen.audio_s.sum()),
        wer=seen.wer,
        wer_ci95=wer_interval(seen.counts, seen.speakers, seed=race.seed).ci95,
        cost=seen.rate,
        cost_ci95=seen.rate_ci95,
        latency_p90_s=seen.latency_p90_s,
        peak_memory_bytes=seen.peak_memory_bytes,
        best=None if chance is None else chance.best,
    )
