"""One row per recognizer × corpus × condition: the machine-readable contract, schema 1 (docs/report.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from wattscribe.records import Counts, Evidence, Interval, RunFacts, StreamingLatency, TrialFacts, to_json
from wattscribe.results.cost import (
    Energy,
    EnergyRule,
    cpu_energy_of,
    device_energy_of,
    energy_of,
    energy_rule,
    percentiles,
    speed_of,
    starved_s,
    starved_share,
)
from wattscribe.results.energy_columns import check_grid, cpu_columns, device_columns, energy_columns, planning_columns
from wattscribe.results.groups import Group, group
from wattscribe.results.modelled import DEFAULT_DEVICE
from wattscribe.results.once import languages_of

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The columns of schema 1, in their order; None where there is no figure. WER and CER are fractions."""

    model: str
    precision: str
    precision_ok: bool | None
    precision_reason: str | None
    device: str
    threads: int
    batch_size: int
    options: dict[str, str]
    corpus: str
    condition: str
    snr_db: float | None
    status: str
    reason: str | None
    repeats: int
    utterances: int
    failed: int
    rejected: int
    speakers: int
    audio_s: float | None
    scaled_utterances: int | None
    scale_min: float | None
    words: int | None
    empty_references: int | None
    wer: float | None
    wer_ci95: Interval | None
    wer_method: str | None
    substitutions: float | None
    deletions: float | None
    insertions: float | None
    cer: float | None
    rtf: float | None
    rtf_ci95: Interval | None
    rtfx: float | None
    latency_p50_s: float | None
    latency_p90_s: float | None
    latency_p99_s: float | None
    load_s: float | None
    warmup_s: float | None
    prepare_s: float | None
    languages: dict[str, int] | None
    starved_s: float | None
    starved_share: float | None
    peak_memory_bytes: int | None
    gpu_memory_bytes: int | None
    parameters: int | None
    weight_bytes: int | None
    energy_j: float | None
    energy_ci95_j: Interval | None
    energy_idle_j: float | None
    energy_net_j: float | None
    energy_net_ci95_j: Interval | None
    energy_evidence: Evidence
    energy_covers: str | None
    energy_reason: str | None
    j_per_audio_s: float | None
    j_per_audio_s_ci95: Interval | None
    mean_power_w: float | None
    rails: list[dict[str, Any]]
    energy_wh: float | None
    wh_per_audio_h: float | None
    wh_per_audio_h_ci95: Interval | None
    grid_gco2_per_kwh: float | None
    energy_gco2: float | None
    gco2_per_audio_h: float | None
    gco2_per_audio_h_ci95: Interval | None
    cpu_s: float | None
    cpu_energy_j: float | None
    cpu_energy_ci95_j: Interval | None
    cpu_energy_covers: str | None
    cpu_energy_reason: str | None
    cpu_j_per_audio_s: float | None
    cpu_j_per_audio_s_ci95: Interval | None
    device_profile: str | None
    device_energy_j: float | None
    device_energy_ci95_j: Interval | None
    device_energy_evidence: Evidence | None
    device_energy_covers: str | None
    device_energy_reason: str | None
    device_j_per_audio_s: float | None
    device_j_per_audio_s_ci95: Interval | None
    first_partial_p50_s: float | None
    emission_delay_p50_s: float | None
    emission_delay_p99_s: float | None
    segment_compute_p50_s: float | None
    segment_compute_p99_s: float | None
    finalisation_p50_s: float | None
    finalisation_p99_s: float | None
    partials: int | None
    partials_revised: int | None
    encoder_calls_per_audio_s: float | None
    predictor_calls_per_audio_s: float | None
    joiner_calls_per_audio_s: float | None
    tokens_per_audio_s: float | None
    blank_share: float | None
    model_label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A run as every format shows it: groups with their scores, their energy, and the rows made of both."""

    facts: RunFacts
    normaliser: str
    groups: tuple[Group, ...]
    energies: tuple[Energy, ...]
    """On the machine of the run: measured, or modelled from its CPU seconds."""
    device_energies: tuple[Energy | None, ...]
    """On a device profile, from counted invocations."""
    rows: tuple[Row, ...]


def view(
    facts: RunFacts,
    *,
    normaliser: str | None = None,
    resamples: int = 1000,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
) -> View:
    """Score and cost a run. The text rule is the experiment's own unless given; Whisper's where neither says.

    `device`: the profile of the device columns. `grid_gco2_per_kwh`: grams of CO2 per kWh of the grid that feeds the machine;
    without it nothing is said about CO2. Raises InputError for an intensity that is none.
    """
    check_grid(grid_gco2_per_kwh)
    rule = energy_rule(facts, device)
    text_rule = normaliser or _recorded_normaliser(facts)
    groups = group(facts, normaliser=text_rule, resamples=resamples)
    energies = tuple(energy_of(each.done, rule) for each in groups)
    on_device = tuple(device_energy_of(each.done, rule) for each in groups)
    profile = device.name if device else DEFAULT_DEVICE
    made = tuple(
        _row(
            each,
            energy,
            cpu_energy_of(each.done, rule),
            device_columns(modelled, each.done, profile),
            grid_gco2_per_kwh,
        )
        for each, energy, modelled in zip(groups, energies, on_device, strict=True)
    )
    return View(
        facts=facts, normaliser=text_rule, groups=groups, energies=energies, device_energies=on_device, rows=made
    )


def rows(
    facts: RunFacts,
    *,
    normaliser: str | None = None,
    resamples: int = 1000,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
) -> list[dict[str, Any]]:
    """The rows as plain data: strings, numbers, booleans, lists, None."""
    seen = view(facts, normaliser=normaliser, resamples=resamples, device=device, grid_gco2_per_kwh=grid_gco2_per_kwh)
    return [to_json(row) for row in seen.rows]


def on_basis(row: Row, energy: Energy, done: Sequence[TrialFacts]) -> Row:
    """The same row with another basis of its energy in front: what every figure and sentence about energy then speaks of."""
    return replace(row, **energy_columns(energy, done), **planning_columns(energy, done, row.grid_gco2_per_kwh))


def _recorded_normaliser(facts: RunFacts) -> str:
    name = facts.experiment.get("normaliser")
    return name if isinstance(name, str) else "whisper"


def _row(each: Group, energy: Energy, cpu: Energy, device: dict[str, Any], grid_gco2_per_kwh: float | None) -> Row:
    columns: dict[str, Any] = {
        **_identity(each),
        **_state(each),
        **_score(each),
        **_speed_and_memory(each.done),
        "languages": languages_of(each.trials),
        **_audit(each),
        **energy_columns(energy, each.done),
        **planning_columns(energy, each.done, grid_gco2_per_kwh),
        **cpu_columns(cpu, each.done),
        **device,
        **_streaming(each.done),
        **_invocations(each.done),
    }
    return Row(**{field.name: columns[field.name] for field in fields(Row)})


def _identity(each: Group) -> dict[str, Any]:
    spec = each.recognizer
    return {
        "model": spec.name,
        "model_label": each.model_label,
        "precision": spec.precision,
        "device": spec.device,
        "threads": spec.threads,
        "batch_size": spec.batch_size,
        "options": dict(spec.options),
        "corpus": each.corpus,
        "condition": each.condition.name,
        "snr_db": each.condition.snr_db,
    }


def _state(each: Group) -> dict[str, Any]:
    statuses = {trial.status for trial in each.trials}
    status = next(iter(statuses)) if len(statuses) == 1 else "partial" if statuses & {"done", "failed"} else "running"
    reasons = dict.fromkeys(trial.reason for trial in each.trials if trial.reason)
    heard = {result.id: result for trial in each.trials for result in trial.utterances}
    unanswered = {r.id for trial in each.trials for r in trial.utterances if r.hypothesis is None}
    return {
        "status": status,
        "reason": "; ".join(reasons) or None,
        "repeats": len(each.done),
        "utterances": len(each.scored.ids) if each.scored else len(heard),
        "failed": each.scored.failed if each.scored else len(unanswered),
        "rejected": len(each.rejected),
        "speakers": len({result.speaker for result in heard.values()}),
        "scaled_utterances": each.heard.scaled_utterances if each.heard else None,
        "scale_min": each.heard.scale_min if each.heard else None,
    }


def _score(each: Group) -> dict[str, Any]:
    names = (
        "wer",
        "wer_ci95",
        "wer_method",
        "cer",
        "words",
        "empty_references",
        "substitutions",
        "deletions",
        "insertions",
    )
    if each.scored is None:
        return dict.fromkeys(names)
    counts, interval = each.scored.counts, each.scored.interval
    return {
        "wer": interval.rate,
        "wer_ci95": interval.ci95,
        "wer_method": interval.method,
        "cer": counts.cer,
        "words": int(counts.words.sum()),
        "empty_references": counts.empty_references,
        "substitutions": float(counts.substitutions.sum()),
        "deletions": float(counts.deletions.sum()),
        "insertions": float(counts.insertions.sum()),
    }


def _speed_and_memory(done: Sequence[TrialFacts]) -> dict[str, Any]:
    speed = speed_of(done)
    peaks = [trial.peak_memory_bytes for trial in done if trial.peak_memory_bytes is not None]
    on_gpu = [trial.gpu_memory_bytes for trial in done if trial.gpu_memory_bytes is not None]
    return {
        **{field.name: getattr(speed, field.name) for field in fields(speed)},
        "starved_s": starved_s(done),
        "starved_share": starved_share(done),
        "rtfx": 1.0 / speed.rtf if speed.rtf else None,
        "peak_memory_bytes": max(peaks, default=None),
        "gpu_memory_bytes": max(on_gpu, default=None),
    }


def _audit(each: Group) -> dict[str, Any]:
    audits = [trial.audit for trial in each.trials if trial.audit is not None]
    if not audits:
        return dict.fromkeys(("precision_ok", "precision_reason", "parameters", "weight_bytes"))
    bad = next((audit for audit in audits if not audit.ok), None)
    chosen = bad or audits[0]
    return {
        "precision_ok": bad is None,
        "precision_reason": chosen.reason or chosen.note,
        "parameters": chosen.parameters,
        "weight_bytes": sum(chosen.weight_bytes.values()) or None,
    }


def _streaming(done: Sequence[TrialFacts]) -> dict[str, Any]:
    found = [result.latency for trial in done for result in trial.utterances if result.latency is not None]

    def spread(name: str, *points: float) -> tuple[float | None, ...]:
        return percentiles([v for each in found if (v := getattr(each, name)) is not None], *points)

    finalisation = spread("finalisation_s", 50, 99)
    return {
        "first_partial_p50_s": spread("first_partial_s", 50)[0],
        "emission_delay_p50_s": spread("emission_delay_p50_s", 50)[0],
        "emission_delay_p99_s": spread("emission_delay_p99_s", 99)[0],
        "segment_compute_p50_s": spread("segment_compute_p50_s", 50)[0],
        "segment_compute_p99_s": spread("segment_compute_p99_s", 99)[0],
        "finalisation_p50_s": finalisation[0],
        "finalisation_p99_s": finalisation[1],
        "partials": _total(found, "partials"),
        "partials_revised": _total(found, "partials_revised"),
    }


def _total(found: Sequence[StreamingLatency], name: str) -> int | None:
    return sum(getattr(each, name) for each in found) if found else None


def _invocations(done: Sequence[TrialFacts]) -> dict[str, Any]:
    names = ("encoder_calls", "predictor_calls", "joiner_calls", "tokens")
    counted = [result for trial in done for result in trial.utterances if result.counts is not None]
    audio_s = sum(result.audio_s for result in counted)
    if not counted or not audio_s:
        return {**{f"{name}_per_audio_s": None for name in names}, "blank_share": None}
    total = sum((result.counts for result in counted if result.counts is not None), Counts())
    emitted = total.blanks + total.tokens
    return {
        **{f"{name}_per_audio_s": getattr(total, name) / audio_s for name in names},
        "blank_share": total.blanks / emitted if emitted else None,
    }


__all__ = ["SCHEMA", "EnergyRule", "Row", "View", "on_basis", "rows", "view"]
