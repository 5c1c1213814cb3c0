"""The proof: what a configuration did on the held-back speech, against the limits."""

from __future__ import annotations

from collections.abc import Sequence

from wattscribe.results.tuned import Check, Proof, TuningLimits
from wattscribe.scoring import wer_interval
from wattscribe.scoring.bounds import events_upper
from wattscribe.tuning.observed import LATENCY_POINT, Observed
from wattscribe.tuning.space import Configuration


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
