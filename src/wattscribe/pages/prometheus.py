"""A run's rows as Prometheus' text format, for node_exporter's textfile collector (`--collector.textfile.directory`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from wattscribe.records import RunFacts
from wattscribe.results.row import Row
from wattscribe.results.table import View

_LABELS = ("model", "precision", "device", "threads", "batch_size", "options", "corpus", "condition", "mode")
"""What tells rows apart; every sample has all of them."""
GAUGES: Mapping[str, tuple[str, str]] = {
    "wer_ratio": ("wer", "Word error rate."),
    "cer_ratio": ("cer", "Character error rate."),
    "real_time_factor": ("rtf", "Seconds in the recognizer per second of audio."),
    "audio_seconds": ("audio_s", "Audio of one pass."),
    "utterances": ("utterances", "Utterances that were transcribed."),
    "failed_utterances": ("failed", "Utterances without an answer."),
    "load_seconds": ("load_s", "Time to load the recognizer."),
    "peak_memory_bytes": ("peak_memory_bytes", "Peak resident memory above the empty worker's."),
    "gpu_memory_bytes": ("gpu_memory_bytes", "Peak memory of the GPU."),
    "cpu_seconds": ("cpu_s", "Processor time of one pass."),
}
"""Metric without its prefix → column and help; units are Prometheus' base units."""
ENERGY: Mapping[str, tuple[str, str]] = {
    "energy_joules": ("energy_j", "Energy of one pass, idle included where it was measured."),
    "energy_joules_per_audio_second": ("j_per_audio_s", "Energy per second of audio."),
    "mean_power_watts": ("mean_power_w", "Mean power while transcribing."),
}
"""These say in labels how the figure came about and what it covers: figures that differ there must not be compared."""
LATENCY = {"0.5": "latency_p50_s", "0.9": "latency_p90_s", "0.99": "latency_p99_s"}


def to_prometheus(seen: View) -> str:
    """Text of one line per figure that is there; without time stamps, which the textfile collector refuses."""
    lines = list(_run(seen.facts))
    for name, (column, said) in GAUGES.items():
        lines += _gauge(name, said, [(_labels(row), getattr(row, column)) for row in seen.rows])
    at = [({**_labels(row), "quantile": q}, getattr(row, column)) for row in seen.rows for q, column in LATENCY.items()]
    lines += _gauge("latency_seconds", "Time for one utterance once its audio is there, by quantile.", at)
    for name, (column, said) in ENERGY.items():
        lines += _gauge(name, said, [(_with_evidence(row), getattr(row, column)) for row in seen.rows])
    return "".join(f"{line}\n" for line in lines)


def _run(facts: RunFacts) -> Iterator[str]:
    labels = {"run": facts.name, "created": facts.created, "machine": str(facts.machine.get("machine") or "")}
    yield from _gauge("run_info", "The run that these figures are of.", [(labels, 1)])


def _labels(row: Row) -> dict[str, str]:
    options = ",".join(f"{key}={value}" for key, value in sorted(row.options.items()))
    return {name: options if name == "options" else str(getattr(row, name) or "") for name in _LABELS}


def _with_evidence(row: Row) -> dict[str, str]:
    return {**_labels(row), "evidence": row.energy_evidence, "covers": row.energy_covers or ""}


def _gauge(name: str, said: str, samples: Sequence[tuple[Mapping[str, str], float | None]]) -> Iterator[str]:
    """HELP, TYPE and the samples that have a figure; nothing where none has."""
    there = [(labels, value) for labels, value in samples if value is not None and math.isfinite(value)]
    if not there:
        return
    yield f"# HELP wattscribe_{name} {said}"
    yield f"# TYPE wattscribe_{name} gauge"
    for labels, value in there:
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"wattscribe_{name}{{{shown}}} {float(value)!r}"


def _escaped(text: str) -> str:
    """Of a label's value: the three characters that the format escapes."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
