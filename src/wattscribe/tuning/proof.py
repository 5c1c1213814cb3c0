"""The proof: the most promising on speech that nothing was chosen on, until one holds the limits there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wattscribe.results.tuned import Check, Proof, TuningLimits
from wattscribe.scoring import wer_interval
from wattscribe.scoring.bounds import events_upper
from wattscribe.tuning.observed import LATENCY_POINT, Observed
from wattscribe.tuning.partition import Partition
from wattscribe.tuning.race import Measure, Race
from wattscribe.tuning.space import Configuration

TOGETHER = 2
"""The first two are proven in turn in one bench, so that the next best stands beside the best under the same conditions."""
MOST_TRIED = 5
"""With every further one the chance grows that one holds by luck."""


def prove(
    race: Race,
    configurations: Mapping[str, Configuration],
    partition: Partition,
    measure: Measure,
    *,
    repeats: int,
) -> tuple[str | None, dict[str, Proof]]:
    """The key of the configuration that holds, and all that were tried, by key in this order."""
    ranked = race.ranked()[:MOST_TRIED]
    groups = [ranked[:TOGETHER], *([key] for key in ranked[TOGETHER:])]
    proofs: dict[str, Proof] = {}
    for number, keys in enumerate((group for group in groups if group), start=1):
        tried = [configurations[key] for key in keys]
        answers = measure(f"proof-{number}", tried, partition.held_back, repeats)
        for one in tried:
            seen = answers.get(one.key)
            if isinstance(seen, Observed):
                proofs[one.key] = proof_of(one, seen, race.limits, repeats=repeats, seed=race.seed)
        if (held := next((key for key in keys if key in proofs and proofs[key].holds), None)) is not None:
            return held, proofs
    return None, proofs


def proof_of(one: Configuration, seen: Observed, limits: TuningLimits, *, repeats: int, seed: int) -> Proof:
    """What was seen of it, against the limits."""
    interval = wer_interval(seen.counts, seen.speakers, seed=seed)
    return Proof(
        label=one.label,
        axes=one.axes,
        checks=_checks(seen, limits, None if interval.ci95 is None else interval.ci95[1]),
        utterances=len(seen.ids),
        speakers=len(set(seen.speakers)),
        words=round(float(seen.counts.words.sum())),
        audio_s=float(seen.audio_s.sum()),
        repeats=repeats,
        wer=seen.wer,
        wer_ci95=interval.ci95,
        wer_method=interval.method,
        cost=seen.rate,
        cost_ci95=seen.rate_ci95,
        evidence=seen.kind[0],
        covers=seen.kind[1],
        latency_p90_s=seen.latency_p90_s,
        peak_memory_bytes=seen.peak_memory_bytes,
    )


def _checks(seen: Observed, limits: TuningLimits, wer_upper: float | None) -> tuple[Check, ...]:
    checks = []
    if limits.max_wer is not None:
        checks.append(Check(what="WER", value=seen.wer, limit=limits.max_wer, upper=wer_upper))
    if limits.max_latency_s is not None:
        upper = limits.max_latency_s if _delays_shown(seen, limits.max_latency_s) else None
        checks.append(Check(what="latency", value=seen.latency_p90_s, limit=limits.max_latency_s, upper=upper))
    if limits.max_memory_bytes is not None:
        peak = seen.peak_memory_bytes
        checks.append(Check(what="memory", value=peak, limit=limits.max_memory_bytes, upper=peak))
    return tuple(checks)


def _delays_shown(seen: Observed, limit_s: float) -> bool:
    """Whether so few utterances were late that, with 95 % confidence, no more than one of ten is. Repeats add no utterances."""
    repeats = len(seen.latency_s) // len(seen.ids)
    late = float((seen.latency_s > limit_s).sum()) / repeats
    return events_upper(late, len(seen.ids)) / len(seen.ids) <= 1 - LATENCY_POINT / 100


def chosen_toml(one: Configuration, data: Sequence[str]) -> str:
    """The configuration as an experiment that bench takes."""
    import json

    def text(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    spec = one.recognizer
    lines = [
        f"data = {text(list(data))}",
        "",
        "[[models]]",
        f"model = {text(spec.name)}",
        f"precision = {text([spec.precision])}",
    ]
    lines += [f"device = {text(spec.device)}", f"threads = {spec.threads}", f"batch_size = {spec.batch_size}"]
    if spec.options:
        lines += ["[models.options]", *(f"{text(key)} = {text(value)}" for key, value in spec.options.items())]
    if one.mode is not None:
        mode = {key: value for key, value in one.mode.model_dump().items() if value is not None}
        lines += ["", "[[modes]]", *(f"{key} = {text(value)}" for key, value in mode.items())]
    return "\n".join(lines) + "\n"
