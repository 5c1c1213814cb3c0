"""The same rows as Markdown for people, CSV, JSON and Parquet for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from wattscribe import whole_file
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.pages import model_card, open_asr, prometheus, tracking
from wattscribe.pages.in_markdown import aligned, cell_text, inline
from wattscribe.pages.listening import listening_sentences, listening_table
from wattscribe.pages.modes import mode_sentences, mode_tables
from wattscribe.pages.page import Cell, Table
from wattscribe.pages.sections import streaming_table
from wattscribe.pages.sentences import (
    basis_sentences,
    board_sentences,
    recording_sentences,
    scaling_sentences,
    sensor_sentences,
    starved_sentences,
)
from wattscribe.records import Interval, RunFacts, finite
from wattscribe.results.basis import bases, energy_name
from wattscribe.results.findings import eval_sets
from wattscribe.results.groups import rejected_under, short_corpus
from wattscribe.results.modelled import counted
from wattscribe.results.notes import once_sentences, rule_sentences
from wattscribe.results.row import COLUMNS, Row, to_plain
from wattscribe.results.table import SCHEMA, View, rows, view
from wattscribe.results.words import bytes_text, interval_text, number, percent_text

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device
    from wattscribe.results.findings import Limits

FORMATS = ("html", "md", "csv", "json", "parquet", "open-asr", "model-card", "prometheus", "mlflow")
FOLDERS = ("open-asr", "model-card")
"""Formats of several files, which are written into a folder."""
REJECTED_SHOWN = 20
"""Inputs that Markdown names; the rest is counted."""


def to_json(
    facts: RunFacts,
    *,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
) -> str:
    """`{"schema": 1, "rows": [...]}`; strict JSON: a value that is not finite becomes null."""
    finite_rows = finite(rows(facts, device=device, grid_gco2_per_kwh=grid_gco2_per_kwh, battery_wh=battery_wh))
    return json.dumps({"schema": SCHEMA, "rows": finite_rows}, indent=1, ensure_ascii=False, allow_nan=False)


def to_csv(
    facts: RunFacts,
    *,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
) -> str:
    """One line per row; an interval becomes two columns `…_low` and `…_high`, nested values are JSON, missing is empty."""
    flat = [
        _flat(row)
        for row in finite(rows(facts, device=device, grid_gco2_per_kwh=grid_gco2_per_kwh, battery_wh=battery_wh))
    ]
    names = list(column_types())
    return "".join(map(_csv_line, [names, *([_inert(row.get(name)) for name in names] for row in flat)]))


def to_parquet(
    facts: RunFacts,
    path: Path,
    *,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
) -> None:
    """The columns of CSV, of the same types whatever the run holds; schema version in the metadata. Raises MissingExtraError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet", needed_for="a report as Parquet") from error
    types = {str: pyarrow.string(), bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema(
        [(name, types[kind]) for name, kind in column_types().items()],
        metadata={"wattscribe.schema": str(SCHEMA), "wattscribe.run": facts.name},
    )
    flat = [
        _flat(row)
        for row in finite(rows(facts, device=device, grid_gco2_per_kwh=grid_gco2_per_kwh, battery_wh=battery_wh))
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat, schema=schema), str(path))


def column_types() -> dict[str, type]:
    """The flat columns of schema 1 with what they hold: str, bool, int or float; any of them may be missing."""
    types: dict[str, type] = {}
    hints = get_type_hints(Row)
    for name in COLUMNS:
        hint = hints[name]
        parts = get_args(hint)
        kind = next(part for part in parts if part is not NoneType) if NoneType in parts else hint
        if kind == Interval:
            types |= {f"{name}_low": float, f"{name}_high": float}
        else:
            types[name] = kind if kind in (bool, int, float) else str
    return types


def to_markdown(
    facts: RunFacts,
    *,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
) -> str:
    """A table that is read in a terminal, and below it what a reader must know: flags, failures, rejected inputs."""
    seen = view(facts, device=device, grid_gco2_per_kwh=grid_gco2_per_kwh, battery_wh=battery_wh)
    columns = energy_columns(seen.rows)
    header = ("model", "precision", "corpus", "condition", "utt.", "WER %", "CER %", "RTF", "p50 s", "p99 s", "memory")
    table = [(*header, *columns)]
    table += [(*_cells(row), *(column[at] for column in columns.values())) for at, row in enumerate(seen.rows)]
    lines = aligned(table)
    notes = [
        *(f"- ! {inline(sentence)}" for sentence in board_sentences(facts)),
        *markdown_notes(seen.rows),
        *(f"- {inline(sentence)}" for sentence in basis_sentences(seen)),
        *_rejected_notes(seen),
    ]
    sentences = [*starved_sentences(seen.rows), *scaling_sentences(seen.rows), *recording_sentences(facts)]
    sentences += [*once_sentences(seen.rows), *sensor_sentences(seen), *rule_sentences(seen.normaliser, seen.groups)]
    sentences += [*listening_sentences(seen.rows), *mode_sentences(eval_sets(seen))]
    notes += [f"- {inline(sentence)}" for sentence in sentences]
    below = [streaming_table(seen) if any(row.finalisation_p50_s is not None for row in seen.rows) else None]
    below += [listening_table(seen.rows), *mode_tables(eval_sets(seen))]
    parts = [line for table in below if table is not None for line in table_lines(table)]
    return "\n".join([*lines, *parts, *(["", *notes] if notes else []), ""])


def table_lines(table: Table) -> list[str]:
    """A table of the page under the first one."""
    texts = [[cell_text(_with_note(cell)) for cell in row] for row in table.rows]
    return ["", inline(table.caption), "", *aligned([table.header, *texts])]


def _with_note(cell: Cell) -> str:
    """An interval stands beside its figure, anything else in brackets behind it."""
    if not cell.note:
        return cell.text
    return f"{cell.text} {cell.note}" if cell.note.startswith("[") else f"{cell.text} ({cell.note})"


def energy_columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The cells about energy by their headers: joules of the pass, what they cover, joules per second of audio on each basis,
    and grams of CO2 where the grid's intensity was stated."""
    columns = {
        "J": [f"{number(row.energy_j)} {interval_text(row.energy_ci95_j)}".strip() for row in rows],
        "energy of": [cell_text(energy_name(row.energy_evidence, row.energy_covers)) for row in rows],
    }
    for basis in bases(rows):
        columns[cell_text(basis.header)] = [number(basis.per_audio_s(row)[0]) for row in rows]
    if any(row.gco2_per_audio_h is not None for row in rows):
        columns["gCO2/h audio"] = [number(row.gco2_per_audio_h) for row in rows]
    return columns


def markdown_notes(rows: Sequence[Row]) -> list[str]:
    """What the table cannot hold, one line each."""
    notes = []
    for row in rows:
        name = f"{row.model_label} {row.precision}, {short_corpus(row.corpus)}, {row.condition}"
        if row.precision_ok is False:
            notes.append(f"- ! {name}: precision not as requested: {cell_text(row.precision_reason or '')}")
        if row.status != "done":
            notes.append(f"- {name}: {row.status}: {cell_text(row.reason or 'not run yet')}")
        elif row.failed:
            notes.append(f"- {name}: {row.failed} of {row.utterances} utterances got no answer: all words deleted")
    unavailable = sorted({row.energy_reason or "" for row in rows if row.energy_j is None and row.repeats})
    notes += [f"- energy unavailable: {cell_text(reason)}" for reason in unavailable if reason]
    return notes


def _rejected_notes(seen: View) -> list[str]:
    """How many inputs were left out, as in the rows, and why."""
    left_out = rejected_under(seen.groups, seen.facts.rejected)
    if not left_out:
        return []
    counts = {(row.corpus, row.condition): row.rejected for row in seen.rows}
    total = f"{len(left_out)} inputs rejected, excluded from the score"
    if any(count != len(left_out) for count in counts.values()):
        total += ": " + "; ".join(f"{n} of {short_corpus(corpus)}, {name}" for (corpus, name), n in counts.items())
    lines = [f"- {cell_text(total)}:"]
    for entry, conditions in left_out[:REJECTED_SHOWN]:
        where = f" (under {conditions})" if conditions else ""
        lines.append(f"  - {cell_text(entry.id)}: {cell_text(entry.reason + where)}")
    more = len(left_out) - REJECTED_SHOWN
    return [*lines, f"  - and {more} more"] if more > 0 else lines


def write(
    facts: RunFacts,
    kind: str,
    path: Path | None,
    *,
    limits: Limits | None = None,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
    tracking_uri: str | None = None,
) -> str | None:
    """Write to `path`, whole or not at all, or return the text where there is none; of `mlflow` the id of what was logged.

    Raises InputError where the file cannot be written.
    """
    options: dict[str, Any] = {
        "device": device,
        "grid_gco2_per_kwh": grid_gco2_per_kwh,
        "battery_wh": battery_wh,
    }
    makers = {"md": to_markdown, "csv": to_csv, "json": to_json, "prometheus": _to_prometheus}
    if kind not in FORMATS:
        raise InputError(f"there is no format {kind!r}", fix=f"Choose one of: {', '.join(FORMATS)}")
    if device is not None and not any(map(counted, facts.trials)):  # before a good page is overwritten by empty columns
        raise InputError(
            f"nothing in the run {facts.name} can be modelled on {device.name}: no recognizer counted its invocations",
            fix="Bench onnx: transducers, or leave `device` out",
        )
    if tracking_uri is not None and kind != "mlflow":
        raise InputError(
            f"`tracking_uri` does nothing with `format` {kind}", fix="Leave it out, or give `format` mlflow"
        )
    if kind == "mlflow":
        return _to_mlflow(facts, path, limits, tracking_uri, options)
    if path is None:
        if kind not in makers:
            raise InputError(f"{kind} is not printed", fix=f"Give a file: `out` report.{kind}")
        return makers[kind](facts, **options)
    try:
        if kind == "html":
            from wattscribe.pages.run_page import run_page

            whole_file.write_text(path, run_page(facts, limits=limits, **options))
        elif kind == "parquet":
            with whole_file.beside(path) as draft:
                to_parquet(facts, draft, **options)
        elif kind == "open-asr":
            open_asr.write(facts, path)
        elif kind == "model-card":
            model_card.write(view(facts, **options), path)
        else:
            whole_file.write_text(path, makers[kind](facts, **options))
    except OSError as error:
        raise InputError(f"the report cannot be written: {obstacle(path, error)}", where=path) from error
    return None


def _to_prometheus(facts: RunFacts, **options: Any) -> str:
    return prometheus.to_prometheus(view(facts, **options))


def _to_mlflow(
    facts: RunFacts, path: Path | None, limits: Limits | None, uri: str | None, options: dict[str, Any]
) -> str:
    from wattscribe.pages.run_page import run_page

    if path is not None:
        raise InputError("MLflow keeps its files itself", where=path, fix="Give `tracking_uri` instead of `out`")
    texts = {
        "report.html": run_page(facts, limits=limits, **options),
        "report.json": to_json(facts, **options),
        "report.md": to_markdown(facts, **options),
    }
    return tracking.log(view(facts, **options), lambda row: _flat(to_plain(row)), texts, uri=uri)


def obstacle(path: Path, error: OSError) -> str:
    """What is in the way, and what to do about it."""
    if isinstance(error, IsADirectoryError):
        return f"this is a directory. Name a file in it, for instance {path / 'report.html'}"
    if isinstance(error, FileNotFoundError):
        return f"there is no directory {path.parent}. Make it first, or choose another `out`"
    if isinstance(error, NotADirectoryError):
        return f"{path.parent} is a file. Choose another `out`"
    return f"{error.strerror or error}. Choose another `out`"


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if "ci95" in name:
            low, high = value or (None, None)
            flat[f"{name}_low"], flat[f"{name}_high"] = low, high
        elif isinstance(value, (dict, list)):
            flat[name] = json.dumps(value)
        else:
            flat[name] = value
    return flat


def _csv_line(cells: Sequence[Any]) -> str:
    """Cells with either end of a line in them are quoted: until Python 3.13 only those that hold the writer's own are."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _inert(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _cells(row: Row) -> tuple[str, ...]:
    flag = " !" if row.precision_ok is False else ""
    return (
        cell_text(row.model_label),
        cell_text(row.precision) + flag,
        cell_text(short_corpus(row.corpus)),
        cell_text(row.condition),
        f"{row.utterances - row.failed}/{row.utterances}" if row.failed else str(row.utterances),
        f"{percent_text(row.wer)} {interval_text(row.wer_ci95, 100)}".strip(),
        percent_text(row.cer),
        number(row.rtf),
        number(row.latency_p50_s),
        number(row.latency_p99_s),
        bytes_text(row.peak_memory_bytes),
    )
