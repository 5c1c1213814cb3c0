"""Sections of the run's page that are tables and words."""

from __future__ import annotations

from wattscribe.records import Interval
from wattscribe.report.groups import short_corpus, short_model
from wattscribe.report.page import Cell, Section, Table
from wattscribe.report.table import Row, View
from wattscribe.report.words import bytes_text, interval_text, number, percent_text

HEADER = (
    "Recognizer",
    "Precision",
    "Corpus",
    "Condition",
    "Utt.",
    "WER %",
    "CER %",
    "RTF",
    "p50 s",
    "p99 s",
    "Memory",
    "J / s audio",
    "J",
    "W",
    "Evidence",
)
TITLES = {
    4: "Utterances with an answer, of all that were heard",
    5: "Word error rate with its 95 % interval",
    7: "Real-time factor: seconds of work per second of audio",
    8: "Median time for one utterance",
    10: "Peak resident memory of the worker above its empty self",
    11: "Gross joules per second of audio",
    12: "Gross joules for one pass over the corpus, with its 95 % interval",
    13: "Mean power while transcribing",
}


def table_section(seen: View) -> Section:
    """Every row, sortable."""
    table = Table(
        caption="Press a heading to sort. Energy is gross; figures of different evidence must not be compared.",
        header=HEADER,
        rows=[_row(row) for row in seen.rows],
        numeric=frozenset(range(4, 14)),
        titles=TITLES,
    )
    return Section(id="table", title="All results", blocks=[table])


def _row(row: Row) -> list[Cell]:
    asked = row.precision_ok is not False
    return [
        Cell(text=short_model(row.model), sort=row.model, title=row.model, note=_settings(row)),
        Cell(
            text=row.precision,
            sort=row.precision,
            note="" if asked else "not as requested",
            warn=not asked,
            title=row.precision_reason or "",
        ),
        Cell(text=short_corpus(row.corpus), sort=row.corpus, title=row.corpus),
        Cell(text=row.condition, sort=row.condition),
        Cell(
            text=f"{row.utterances - row.failed}/{row.utterances}" if row.failed else str(row.utterances),
            sort=row.utterances - row.failed,
            warn=bool(row.failed) or row.status != "done",
            note="" if row.status == "done" else row.status,
            title=row.reason or "",
        ),
        _figure(row.wer, percent_text(row.wer), row.wer_ci95, 100, row.wer_method or ""),
        _figure(row.cer, percent_text(row.cer)),
        _figure(row.rtf, number(row.rtf), row.rtf_ci95),
        _figure(row.latency_p50_s, number(row.latency_p50_s)),
        _figure(row.latency_p99_s, number(row.latency_p99_s)),
        _figure(row.peak_memory_bytes, bytes_text(row.peak_memory_bytes)),
        _figure(row.j_per_audio_s, number(row.j_per_audio_s), row.j_per_audio_s_ci95),
        _figure(row.energy_j, number(row.energy_j), row.energy_ci95_j),
        _figure(row.mean_power_w, number(row.mean_power_w)),
        Cell(
            text=row.energy_evidence,
            sort=row.energy_evidence,
            note=row.energy_covers or "",
            title=row.energy_reason or "",
        ),
    ]


def _settings(row: Row) -> str:
    parts = [] if row.device == "cpu" else [row.device]
    parts += [f"{row.threads} threads"] if row.threads != 1 else []
    parts += [f"batch {row.batch_size}"] if row.batch_size != 1 else []
    return ", ".join([*parts, *(f"{key}={value}" for key, value in row.options.items())])


def _figure(
    value: float | None, text: str, interval: Interval | None = None, scale: float = 1.0, title: str = ""
) -> Cell:
    return Cell(text=text, sort=value, note=interval_text(interval, scale), title=title)
