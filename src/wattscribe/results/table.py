"""One row per recognizer × corpus × condition: the machine-readable contract, schema 1 (docs/report.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wattscribe.records import Counts, RunFacts, StreamingLatency, TrialFacts
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
from wattscribe.results.groups import Group, group, settings_of
from wattscribe.results.listening import check_battery, listening_columns
from wattscribe.results.modelled import DEFAULT_DEVICE
from wattscribe.results.notes import languages_of
from wattscribe.results.row import (
    Audit,
    Delays,
    DeviceEnergy,
    Errors,
    Identity,
    Invocations,
    Listening,
    Memory,
    Row,
    State,
    Times,
    figures,
    row_of,
    to_plain,
)
from wattscribe.results.shards import joined

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device

SCHEMA = 1


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
    battery_wh: float | None = None,
) -> View:
    """Score and cost a run. The text rule is the experiment's own unless given; Whisper's where neither says.

    `device`: the profile of the device columns. `grid_gco2_per_kwh`: grams of CO2 per kWh of the grid that feeds the machine;
    without it nothing is said about CO2. `battery_wh`: the battery whose hours of listening are told. Raises InputError for an
    intensity or a capacity that is none.
    """
    check_grid(grid_gco2_per_kwh)
    check_battery(battery_wh)
    facts = joined(facts)
    rule = energy_rule(facts, device)
    text_rule = normaliser or _recorded_normaliser(facts)
    groups = group(facts, normaliser=text_rule, resamples=resamples)
    energies = tuple(energy_of(row_group.done, rule) for row_group in groups)
    on_device = tuple(device_energy_of(row_group.done, rule) for row_group in groups)
    profile = device.name if device else DEFAULT_DEVICE
    table_rows = tuple(
        _row(
            row_group,
            energy,
            cpu_energy_of(row_group.done, rule),
            device_columns(modelled, row_group.done, profile),
            grid_gco2_per_kwh,
            listening_columns(row_group, rule, battery_wh, seed=facts.seed),
        )
        for row_group, energy, modelled in zip(groups, energies, on_device, strict=True)
    )
    return View(
        facts=facts, normaliser=text_rule, groups=groups, energies=energies, device_energies=on_device, rows=table_rows
    )


def rows(
    facts: RunFacts,
    *,
    normaliser: str | None = None,
    resamples: int = 1000,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
) -> list[dict[str, Any]]:
    """The rows as plain data: strings, numbers, booleans, lists, None."""
    seen = view(
        facts,
        normaliser=normaliser,
        resamples=resamples,
        device=device,
        grid_gco2_per_kwh=grid_gco2_per_kwh,
        battery_wh=battery_wh,
    )
    return [to_plain(row) for row in seen.rows]


def on_basis(row: Row, energy: Energy, done: Sequence[TrialFacts]) -> Row:
    """The same row with another basis of its energy in front: what every figure and sentence about energy then speaks of."""
    planning = planning_columns(energy, done, row.grid_gco2_per_kwh)
    return replace(row, **figures(energy_columns(energy, done), planning))


def _recorded_normaliser(facts: RunFacts) -> str:
    name = facts.experiment.get("normaliser")
    return name if isinstance(name, str) else "whisper"


def _row(
    row_group: Group,
    energy: Energy,
    cpu: Energy,
    device: DeviceEnergy,
    grid_gco2_per_kwh: float | None,
    listening: Listening,
) -> Row:
    return row_of(
        identity=_identity(row_group),
        audit=_audit(row_group),
        state=_state(row_group),
        errors=_errors(row_group),
        times=_times(row_group.done),
        memory=_memory(row_group.done),
        energy=energy_columns(energy, row_group.done),
        planning=planning_columns(energy, row_group.done, grid_gco2_per_kwh),
        cpu=cpu_columns(cpu, row_group.done),
        device=device,
        delays=_delays(row_group.done),
        invocations=_invocations(row_group.done),
        listening=listening,
    )


def _identity(row_group: Group) -> Identity:
    spec = row_group.recognizer
    return Identity(
        model=spec.name,
        model_label=row_group.model_label,
        precision=spec.precision,
        device=spec.device,
        threads=spec.threads,
        batch_size=spec.batch_size,
        options=dict(spec.options),
        corpus=row_group.corpus,
        condition=row_group.condition.name,
        snr_db=row_group.condition.snr_db,
        mode=row_group.mode_name,
        mode_settings=None if row_group.mode is None else settings_of(row_group.mode),
    )


def _state(row_group: Group) -> State:
    statuses = {trial.status for trial in row_group.trials}
    status = next(iter(statuses)) if len(statuses) == 1 else "partial" if statuses & {"done", "failed"} else "running"
    reasons = dict.fromkeys(trial.reason for trial in row_group.trials if trial.reason)
    answers = {result.id: result for trial in row_group.trials for result in trial.utterances}
    unanswered = {r.id for trial in row_group.trials for r in trial.utterances if r.hypothesis is None}
    return State(
        status=status,
        reason="; ".join(reasons) or None,
        repeats=len(row_group.done),
        utterances=len(row_group.scored.ids) if row_group.scored else len(answers),
        failed=row_group.scored.failed if row_group.scored else len(unanswered),
        rejected=len(row_group.rejected),
        speakers=len({result.speaker for result in answers.values()}),
        scaled_utterances=row_group.speech.scaled_utterances if row_group.speech else None,
        scale_min=row_group.speech.scale_min if row_group.speech else None,
        languages=languages_of(row_group.trials),
    )


def _errors(row_group: Group) -> Errors:
    if row_group.scored is None:
        return Errors()
    counts, interval = row_group.scored.counts, row_group.scored.interval
    return Errors(
        wer=interval.rate,
        wer_ci95=interval.ci95,
        wer_method=interval.method,
        cer=counts.cer,
        words=int(counts.words.sum()),
        empty_references=counts.empty_references,
        substitutions=float(counts.substitutions.sum()),
        deletions=float(counts.deletions.sum()),
        insertions=float(counts.insertions.sum()),
    )


def _times(done: Sequence[TrialFacts]) -> Times:
    speed = speed_of(done)
    return Times(
        audio_s=speed.audio_s,
        rtf=speed.rtf,
        rtf_ci95=speed.rtf_ci95,
        rtf_p99=speed.rtf_p99,
        rtfx=1.0 / speed.rtf if speed.rtf else None,
        latency_p50_s=speed.latency_p50_s,
        latency_p90_s=speed.latency_p90_s,
        latency_p99_s=speed.latency_p99_s,
        load_s=speed.load_s,
        warmup_s=speed.warmup_s,
        prepare_s=speed.prepare_s,
        starved_s=starved_s(done),
        starved_share=starved_share(done),
    )


def _memory(done: Sequence[TrialFacts]) -> Memory:
    peaks = [trial.peak_memory_bytes for trial in done if trial.peak_memory_bytes is not None]
    on_gpu = [trial.gpu_memory_bytes for trial in done if trial.gpu_memory_bytes is not None]
    return Memory(peak_memory_bytes=max(peaks, default=None), gpu_memory_bytes=max(on_gpu, default=None))


def _audit(row_group: Group) -> Audit:
    audits = [trial.audit for trial in row_group.trials if trial.audit is not None]
    if not audits:
        return Audit()
    bad = next((audit for audit in audits if not audit.ok), None)
    chosen = bad or audits[0]
    return Audit(
        precision_ok=bad is None,
        precision_reason=chosen.reason or chosen.note,
        parameters=chosen.parameters,
        weight_bytes=sum(chosen.weight_bytes.values()) or None,
    )


def _delays(done: Sequence[TrialFacts]) -> Delays:
    latencies = [result.latency for trial in done for result in trial.utterances if result.latency is not None]

    def spread(value: Callable[[StreamingLatency], float | None], point: float) -> float | None:
        return percentiles([v for latency in latencies if (v := value(latency)) is not None], point)[0]

    return Delays(
        first_partial_p50_s=spread(lambda latency: latency.first_partial_s, 50),
        emission_delay_p50_s=spread(lambda latency: latency.emission_delay_p50_s, 50),
        emission_delay_p99_s=spread(lambda latency: latency.emission_delay_p99_s, 99),
        segment_compute_p50_s=spread(lambda latency: latency.segment_compute_p50_s, 50),
        segment_compute_p99_s=spread(lambda latency: latency.segment_compute_p99_s, 99),
        finalisation_p50_s=spread(lambda latency: latency.finalisation_s, 50),
        finalisation_p99_s=spread(lambda latency: latency.finalisation_s, 99),
        partials=sum(latency.partials for latency in latencies) if latencies else None,
        partials_revised=sum(latency.partials_revised for latency in latencies) if latencies else None,
    )


def _invocations(done: Sequence[TrialFacts]) -> Invocations:
    counted = [result for trial in done for result in trial.utterances if result.counts is not None]
    audio_s = sum(result.audio_s for result in counted)
    if not counted or not audio_s:
        return Invocations()
    total = sum((result.counts for result in counted if result.counts is not None), Counts())
    emitted = total.blanks + total.tokens
    return Invocations(
        encoder_calls_per_audio_s=total.encoder_calls / audio_s,
        predictor_calls_per_audio_s=total.predictor_calls / audio_s,
        joiner_calls_per_audio_s=total.joiner_calls / audio_s,
        tokens_per_audio_s=total.tokens / audio_s,
        blank_share=total.blanks / emitted if emitted else None,
    )


__all__ = ["SCHEMA", "EnergyRule", "Row", "View", "on_basis", "rows", "view"]
