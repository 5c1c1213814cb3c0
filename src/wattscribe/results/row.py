"""A row's columns: typed parts, each filled where its figures are known, and the row that has all of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from wattscribe.records import Evidence, Interval, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class RailEnergy:
    """What another rail than the one in front took."""

    covers: str
    energy_j: float | None
    energy_ci95_j: Interval | None
    energy_idle_j: float | None
    energy_net_j: float | None
    energy_net_ci95_j: Interval | None
    energy_evidence: Evidence
    energy_reason: str | None


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which recognizer, on which speech."""

    model: str
    precision: str
    device: str
    threads: int
    batch_size: int
    options: dict[str, str]
    corpus: str
    condition: str
    snr_db: float | None
    mode: str | None
    mode_settings: dict[str, str] | None
    model_label: str


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What really ran, against what was asked for."""

    precision_ok: bool | None = None
    precision_reason: str | None = None
    parameters: int | None = None
    weight_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class State:
    """How far its trials came, and what was left out."""

    status: str
    reason: str | None
    repeats: int
    utterances: int
    failed: int
    rejected: int
    speakers: int
    scaled_utterances: int | None
    scale_min: float | None
    languages: dict[str, int] | None


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Word and character errors; WER and CER are fractions."""

    words: int | None = None
    empty_references: int | None = None
    wer: float | None = None
    wer_ci95: Interval | None = None
    wer_method: str | None = None
    substitutions: float | None = None
    deletions: float | None = None
    insertions: float | None = None
    cer: float | None = None


@dataclass(frozen=True, kw_only=True)
class Times:
    """What it took of time."""

    audio_s: float | None
    rtf: float | None
    rtf_ci95: Interval | None
    rtf_p99: float | None
    rtfx: float | None
    latency_p50_s: float | None
    latency_p90_s: float | None
    latency_p99_s: float | None
    load_s: float | None
    warmup_s: float | None
    prepare_s: float | None
    starved_s: float | None
    starved_share: float | None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What it took of memory."""

    peak_memory_bytes: int | None
    gpu_memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class MachineEnergy:
    """What the run's own machine took."""

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
    rails: tuple[RailEnergy, ...]


@dataclass(frozen=True, kw_only=True)
class Planning:
    """For who plans a fleet or a year: Wh of the pass and of an hour of audio, and grams of CO2."""

    energy_wh: float | None
    wh_per_audio_h: float | None
    wh_per_audio_h_ci95: Interval | None
    grid_gco2_per_kwh: float | None
    energy_gco2: float | None
    gco2_per_audio_h: float | None
    gco2_per_audio_h_ci95: Interval | None


@dataclass(frozen=True, kw_only=True)
class CpuEnergy:
    """CPU seconds × watts per core: one figure that compares over all rows."""

    cpu_s: float | None
    cpu_energy_j: float | None
    cpu_energy_ci95_j: Interval | None
    cpu_energy_covers: str | None
    cpu_energy_reason: str | None
    cpu_j_per_audio_s: float | None
    cpu_j_per_audio_s_ci95: Interval | None


@dataclass(frozen=True, kw_only=True)
class DeviceEnergy:
    """Counted invocations × a device profile: another machine than the run's."""

    device_profile: str | None
    device_energy_j: float | None
    device_energy_ci95_j: Interval | None
    device_energy_evidence: Evidence | None
    device_energy_covers: str | None
    device_energy_reason: str | None
    device_j_per_audio_s: float | None
    device_j_per_audio_s_ci95: Interval | None


@dataclass(frozen=True, kw_only=True)
class Delays:
    """How it kept up with speech that arrives in real time."""

    first_partial_p50_s: float | None = None
    emission_delay_p50_s: float | None = None
    emission_delay_p99_s: float | None = None
    segment_compute_p50_s: float | None = None
    segment_compute_p99_s: float | None = None
    finalisation_p50_s: float | None = None
    finalisation_p99_s: float | None = None
    partials: int | None = None
    partials_revised: int | None = None


@dataclass(frozen=True, kw_only=True)
class Invocations:
    """What a transducer's components did per second of audio."""

    encoder_calls_per_audio_s: float | None = None
    predictor_calls_per_audio_s: float | None = None
    joiner_calls_per_audio_s: float | None = None
    tokens_per_audio_s: float | None = None
    blank_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Listening:
    """What listening takes where speech arrived in real time; None throughout where it did not."""

    duty: float | None = None
    listening_w: float | None = None
    listening_w_ci95: Interval | None = None
    speech_w: float | None = None
    speech_w_ci95: Interval | None = None
    pause_w: float | None = None
    pause_w_ci95: Interval | None = None
    idle_w: float | None = None
    idle_w_ci95: Interval | None = None
    j_per_listening_h: float | None = None
    j_per_listening_h_ci95: Interval | None = None
    battery_wh: float | None = None
    battery_h: float | None = None
    battery_h_ci95: Interval | None = None
    listening_reason: str | None = None
    tail_p50_s: float | None = None
    tail_p90_s: float | None = None
    tail_p99_s: float | None = None
    whole_wer: float | None = None
    streamed_wer_change: float | None = None
    streamed_wer_change_ci95: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Row(
    Identity, Audit, State, Errors, Times, Memory, MachineEnergy, Planning, CpuEnergy, DeviceEnergy, Delays, Invocations,
    Listening,
):  # fmt: skip
    """One row of schema 1: all parts side by side. None where there is no figure."""


def row_of(
    *,
    identity: Identity,
    audit: Audit,
    state: State,
    errors: Errors,
    times: Times,
    memory: Memory,
    energy: MachineEnergy,
    planning: Planning,
    cpu: CpuEnergy,
    device: DeviceEnergy,
    delays: Delays,
    invocations: Invocations,
    listening: Listening,
) -> Row:
    """All parts as one row."""
    parts = (
        identity, audit, state, errors, times, memory, energy, planning, cpu, device, delays, invocations, listening,
    )  # fmt: skip
    return Row(**figures(*parts))


def figures(*parts: Any) -> dict[str, Any]:
    """What parts hold, by the names of their fields."""
    return {field.name: getattr(part, field.name) for part in parts for field in fields(part)}


COLUMNS = (
    "model", "precision", "precision_ok", "precision_reason", "device", "threads", "batch_size", "options", "corpus",
    "condition", "snr_db", "status", "reason", "repeats", "utterances", "failed", "rejected", "speakers", "audio_s",
    "scaled_utterances", "scale_min", "words", "empty_references", "wer", "wer_ci95", "wer_method", "substitutions",
    "deletions", "insertions", "cer", "rtf", "rtf_ci95", "rtfx", "latency_p50_s", "latency_p90_s", "latency_p99_s",
    "load_s", "warmup_s", "prepare_s", "languages", "starved_s", "starved_share", "peak_memory_bytes",
    "gpu_memory_bytes", "parameters", "weight_bytes", "energy_j", "energy_ci95_j", "energy_idle_j", "energy_net_j",
    "energy_net_ci95_j", "energy_evidence", "energy_covers", "energy_reason", "j_per_audio_s", "j_per_audio_s_ci95",
    "mean_power_w", "rails", "energy_wh", "wh_per_audio_h", "wh_per_audio_h_ci95", "grid_gco2_per_kwh", "energy_gco2",
    "gco2_per_audio_h", "gco2_per_audio_h_ci95", "cpu_s", "cpu_energy_j", "cpu_energy_ci95_j", "cpu_energy_covers",
    "cpu_energy_reason", "cpu_j_per_audio_s", "cpu_j_per_audio_s_ci95", "device_profile", "device_energy_j",
    "device_energy_ci95_j", "device_energy_evidence", "device_energy_covers", "device_energy_reason",
    "device_j_per_audio_s", "device_j_per_audio_s_ci95", "first_partial_p50_s", "emission_delay_p50_s",
    "emission_delay_p99_s", "segment_compute_p50_s", "segment_compute_p99_s", "finalisation_p50_s",
    "finalisation_p99_s", "partials", "partials_revised", "encoder_calls_per_audio_s", "predictor_calls_per_audio_s",
    "joiner_calls_per_audio_s", "tokens_per_audio_s", "blank_share", "duty", "listening_w", "listening_w_ci95",
    "speech_w", "speech_w_ci95", "pause_w", "pause_w_ci95", "idle_w", "idle_w_ci95", "j_per_listening_h",
    "j_per_listening_h_ci95", "battery_wh", "battery_h", "battery_h_ci95", "listening_reason", "tail_p50_s",
    "tail_p90_s", "tail_p99_s", "whole_wer", "streamed_wer_change", "streamed_wer_change_ci95", "mode",
    "mode_settings", "rtf_p99", "model_label",
)  # fmt: skip
"""All of them, in the order of schema 1."""


def to_plain(row: Row) -> dict[str, Any]:
    """The row as JSON has it, its columns in their order."""
    return {name: to_json(getattr(row, name)) for name in COLUMNS}
