"""Sections of the run's page that are tables and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from wattscribe.pages.page import Cell, Section, Table, Words
from wattscribe.pages.sentences import scaling_sentences
from wattscribe.records import Interval
from wattscribe.results.basis import Basis, bases, short_covers
from wattscribe.results.cost import STARVED_SHARE
from wattscribe.results.findings import EvalSet, PairTest
from wattscribe.results.groups import rejected_under, settings_text, short_corpus
from wattscribe.results.notes import once_sentences
from wattscribe.results.recommend import by_kind
from wattscribe.results.row import Row
from wattscribe.results.table import View
from wattscribe.results.words import MISSING, bytes_text, interval_text, number, percent_text, sentence

UNANSWERED_SHOWN = 20

HEADER = ("Recognizer", "Speech", "Utt.", "WER %", "CER %", "RTF", "Latency s", "Memory")
TITLES = {
    0: "Model, and below it its precision and settings",
    1: "Condition and corpus",
    2: "Utterances with an answer, of all that were transcribed",
    3: "Word error rate with its 95 % interval",
    5: "Real-time factor: seconds of work per second of audio",
    6: "Time for one utterance: median, and below it the 99th percentile",
    7: "Peak resident memory of the worker above its empty self; on a GPU the GPU's memory below it",
}


def table_section(seen: View) -> Section:
    """Every row, sortable; joules in one column per thing that they cover, so that no sorting ranks what does not compare."""
    columns = bases(seen.rows)
    titles = {
        len(HEADER)
        + at: f"Joules per second of audio, which are Wh per hour of audio, with their 95 % interval. {basis.name}"
        for at, basis in enumerate(columns)
    }
    table = Table(
        caption="WER and CER: words and characters that are wrong. RTF: seconds of work per second of audio, below 1 keeps up "
        "with speech. Latency: the median, and the 99th percentile below it. Energy is gross, idle included where it was "
        "measured; each of its columns covers one thing, and columns must not be compared. Press a heading to sort.",
        header=(*HEADER, *(basis.header for basis in columns), "Energy of"),
        rows=[_row(row, columns) for row in seen.rows],
        numeric=frozenset(range(2, len(HEADER) + len(columns))),
        titles={**TITLES, **titles},
    )
    lines = [*scaling_sentences(seen.rows), *once_sentences(seen.rows)]
    notes = [Words(lines=lines, as_list=True)] if lines else []
    return Section(id="table", title="All results", blocks=[table, *notes])


def _row(row: Row, columns: Sequence[Basis]) -> list[Cell]:
    asked = row.precision_ok is not False
    return [
        Cell(
            text=row.model_label,
            sort=f"{row.model} {row.precision}",
            title=f"{row.model} {row.precision}" + (f": {row.precision_reason}" if row.precision_reason else ""),
            note=", ".join(
                part for part in (row.precision, "" if asked else "not as requested", _settings(row)) if part
            ),
            warn=not asked,
        ),
        Cell(text=row.condition, sort=f"{row.corpus} {row.condition}", title=row.corpus, note=short_corpus(row.corpus)),
        Cell(
            text=f"{row.utterances - row.failed}/{row.utterances}" if row.failed else str(row.utterances),
            sort=row.utterances - row.failed,
            warn=bool(row.failed) or row.status != "done",
            note="" if row.status == "done" else row.status,
            title=row.reason or "",
        ),
        _figure(row.wer, percent_text(row.wer), row.wer_ci95, 100, row.wer_method or ""),
        _figure(row.cer, percent_text(row.cer)),
        _rtf(row),
        Cell(
            text=number(row.latency_p50_s),
            sort=row.latency_p50_s,
            note="" if row.latency_p99_s is None else f"p99 {number(row.latency_p99_s)}",
        ),
        Cell(
            text=bytes_text(row.peak_memory_bytes),
            sort=row.peak_memory_bytes,
            note="" if row.gpu_memory_bytes is None else f"GPU {bytes_text(row.gpu_memory_bytes)}",
        ),
        *(_on_basis(row, basis) for basis in columns),
        Cell(
            text=short_covers(row.energy_covers) or MISSING,
            sort=f"{row.energy_evidence} {row.energy_covers}",
            note=row.energy_evidence,
            title="; ".join(part for part in (row.energy_covers, row.energy_reason) if part),
        ),
    ]


def _on_basis(row: Row, basis: Basis) -> Cell:
    value, interval = basis.per_audio_s(row)
    return _figure(value, number(value), interval, title=basis.name if value is not None else "")


def _rtf(row: Row) -> Cell:
    if row.starved_share is None or row.starved_share <= STARVED_SHARE:
        return _figure(row.rtf, number(row.rtf), row.rtf_ci95)
    title = f"waited for a core that other work had for {100 * row.starved_share:.0f} % of its time: an upper bound"
    return Cell(text=number(row.rtf), sort=row.rtf, note="upper bound", warn=True, title=title)


def _settings(row: Row) -> str:
    return settings_text(row.device, row.threads, row.batch_size, row.options)


def _figure(
    value: float | None, text: str, interval: Interval | None = None, scale: float = 1.0, title: str = ""
) -> Cell:
    return Cell(text=text, sort=value, note=interval_text(interval, scale), title=title)


def energy_tables(all_eval_sets: Sequence[EvalSet]) -> list[Table]:
    """Gross, idle and net, Wh and CO2 of every row: one table per thing that the joules cover, and one of what has none."""
    entries_by_kind = by_kind([entry for eval_set in all_eval_sets for entry in eval_set.entries])
    tables = [_energy_table(name, [entry.row for entry in entries]) for name, entries in entries_by_kind.items()]
    missing = [
        entry.row
        for eval_set in all_eval_sets
        for entry in eval_set.entries
        if entry.row.energy_j is None and entry.row.energy_reason and entry.row.repeats
    ]
    if not missing:
        return tables
    nothing = Table(
        caption="Without a figure of energy.",
        header=("Recognizer", "Speech", "Why"),
        rows=[[*_who(row), _text(row.energy_reason or MISSING)] for row in missing],
    )
    return [*tables, nothing]


def _energy_table(kind: tuple[str, str], rows: Sequence[Row]) -> Table:
    """Idle and net have columns where idle power was measured, CO2 where the grid's intensity was stated."""
    evidence, covers = kind
    grid = next((row.grid_gco2_per_kwh for row in rows if row.grid_gco2_per_kwh is not None), None)
    idle = any(row.energy_idle_j is not None for row in rows)
    caption = f"{sentence(evidence)}: {covers}. Joules and Wh of one pass with 95 % intervals."
    caption += " Net is gross less the idle power measured around the trial." if idle else ""
    caption += f" CO2 at {number(grid)} g per kWh, as stated." if grid is not None else ""
    columns = {
        **({"Gross J": _gross, "Idle J": _idle, "Net J": _net} if idle else {"J": _gross}),
        "Mean W": lambda row: _figure(row.mean_power_w, number(row.mean_power_w)),
        "Wh": lambda row: _figure(row.energy_wh, number(row.energy_wh)),
        "Wh / h audio": lambda row: _figure(row.wh_per_audio_h, number(row.wh_per_audio_h), row.wh_per_audio_h_ci95),
        **({"g CO2 / h audio": _co2} if grid is not None else {}),
    }
    return Table(
        caption=caption,
        header=("Recognizer", "Speech", *columns, "To know"),
        rows=[[*_who(row), *(cell(row) for cell in columns.values()), _to_know(row)] for row in rows],
        numeric=frozenset(range(2, 2 + len(columns))),
        titles={
            2 + list(columns).index("Mean W"): "Over the window; none where the joules are modelled on another device"
        },
    )


def _gross(row: Row) -> Cell:
    return _figure(row.energy_j, number(row.energy_j), row.energy_ci95_j)


def _idle(row: Row) -> Cell:
    return _figure(row.energy_idle_j, number(row.energy_idle_j))


def _net(row: Row) -> Cell:
    return _figure(row.energy_net_j, number(row.energy_net_j), row.energy_net_ci95_j)


def _co2(row: Row) -> Cell:
    return _figure(row.gco2_per_audio_h, number(row.gco2_per_audio_h), row.gco2_per_audio_h_ci95)


def _who(row: Row) -> list[Cell]:
    return [
        Cell(text=f"{row.model_label} {row.precision}", sort=row.model, note=_settings(row)),
        Cell(text=row.condition, sort=f"{row.corpus} {row.condition}", note=short_corpus(row.corpus)),
    ]


def _to_know(row: Row) -> Cell:
    """A warning for a measured figure; for a modelled one what was multiplied, its sources on hovering."""
    reason = row.energy_reason
    if reason is None or row.energy_evidence != "modelled":
        return Cell(text=reason or MISSING, sort=reason, warn=reason is not None)
    return Cell(text=reason.removeprefix("modelled: ").partition(" (")[0], sort=reason, title=reason)


def pair_table(tests: Sequence[PairTest]) -> Table:
    """Both tests of every pair."""
    return Table(
        caption="Second minus first, in points of WER. Holm p is corrected for all rows of this table.",
        header=(
            "First",
            "Second",
            "Corpus",
            "Condition",
            "WER points",
            "Bootstrap p",
            "Holm p",
            "MAPSSWE p",
            "Differs",
        ),
        rows=[_pair_row(test) for test in tests],
        numeric=frozenset({4, 5, 6, 7}),
    )


def _pair_row(test: PairTest) -> list[Cell]:
    change, matched = test.bootstrap, test.matched
    return [
        Cell(text=test.first.group.label, sort=test.first.group.label),
        Cell(text=test.second.group.label, sort=test.second.group.label),
        Cell(text=short_corpus(test.eval_set.corpus), sort=test.eval_set.corpus),
        Cell(text=test.eval_set.condition.name, sort=test.eval_set.condition.name),
        Cell(
            text=f"{100 * change.difference:+.2f}",
            sort=change.difference,
            note=interval_text(change.ci95, 100),
            title=change.method,
        ),
        Cell(text=_p(change.p), sort=change.p),
        Cell(text=_p(test.adjusted_p), sort=test.adjusted_p),
        Cell(text=_p(matched.p), sort=matched.p, title=matched.method) if matched else Cell(text=MISSING),
        Cell(text="yes" if test.differs else "not shown", sort=test.differs),
    ]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def rejected_table(seen: View) -> Table | None:
    """Inputs that were left out, each with its reason."""
    if not seen.facts.rejected:
        return None
    return Table(
        caption="Left out of the score.",
        header=("Input", "Reason", "Where", "Corpus", "Under"),
        rows=[
            [
                Cell(text=entry.id, sort=entry.id),
                Cell(text=entry.reason, sort=entry.reason),
                Cell(text=entry.where or MISSING, sort=entry.where),
                Cell(text=short_corpus(entry.corpus), sort=entry.corpus),
                _text(conditions or "every condition"),
            ]
            for entry, conditions in rejected_under(seen.groups, seen.facts.rejected)
        ],
    )


def failed_table(seen: View) -> Table | None:
    """Trials that did not finish, and utterances that got no answer, each with its reason."""
    rows: list[list[Cell]] = []
    for group in seen.groups:
        for trial in group.trials:
            where = f"{short_corpus(group.corpus)}, {group.condition.name}, repeat {trial.trial.repeat + 1}"
            if trial.status != "done":
                why = trial.reason or "not run yet"
                rows.append([_text(group.label), _text(where), _text("whole trial"), _text(f"{trial.status}: {why}")])
            rows += [
                [
                    _text(group.label),
                    _text(where),
                    _text("whole trial"),
                    _text(f"attempt {failure['attempt']}: {failure['reason']}"),
                ]
                for failure in (trial.surroundings or {}).get("earlier_failures", ())
            ]
            unanswered = [result for result in trial.utterances if result.hypothesis is None]
            rows += [
                [_text(group.label), _text(where), _text(result.id), _text(result.error or "no answer")]
                for result in unanswered[:UNANSWERED_SHOWN]
            ]
            if len(unanswered) > UNANSWERED_SHOWN:
                more = f"{len(unanswered) - UNANSWERED_SHOWN} more"
                rows.append([_text(group.label), _text(where), _text(more), _text("no answer")])
    if not rows:
        return None
    caption = (
        "A trial that did not finish is not scored, nor is an attempt that was made again; "
        "an utterance without an answer counts as all words deleted."
    )
    return Table(caption=caption, header=("Recognizer", "Trial", "Utterance", "Reason"), rows=rows)


def _text(text: str) -> Cell:
    return Cell(text=text, sort=text)


DELAYS = {
    "first_partial_p50_s": "First partial",
    "emission_delay_p50_s": "Delay p50",
    "emission_delay_p99_s": "Delay p99",
    "segment_compute_p50_s": "Segment p50",
    "segment_compute_p99_s": "Segment p99",
    "finalisation_p50_s": "Final p50",
    "finalisation_p99_s": "Final p99",
    "partials": "Partials",
    "partials_revised": "Revised",
}
INVOCATIONS = {
    "encoder_calls_per_audio_s": "Encoder /s",
    "predictor_calls_per_audio_s": "Predictor /s",
    "joiner_calls_per_audio_s": "Joiner /s",
    "blank_share": "Blank share",
}


def streaming_table(seen: View) -> Table | None:
    """Latency and invocations of streaming recognizers, as far as they were asked for; None where nothing streamed."""
    delays = [row for row in seen.rows if row.finalisation_p50_s is not None]
    calls = [row for row in seen.rows if row.joiner_calls_per_audio_s is not None]
    if not delays and not calls:
        return None
    clock = "real-time" if any(row.duty is not None for row in delays) else "simulated real-time"
    columns = {**(DELAYS if delays else {}), **(INVOCATIONS if calls else {})}
    words = [
        f"Delays in seconds against a {clock} clock: p50 is the median, p99 the 99th percentile; a partial is text "
        "before the end."
        if delays
        else "Delays were not measured: bench --latency measures them.",
        *(["Invocations of each component per second of audio; a blank is a step without a token."] if calls else []),
    ]
    return Table(
        caption=" ".join(words),
        header=("Recognizer", "Condition", *columns.values()),
        rows=[
            [
                Cell(text=f"{row.model_label} {row.precision}", sort=row.model, note=short_corpus(row.corpus)),
                Cell(text=row.condition, sort=row.condition),
                *(Cell(text=number(getattr(row, name)), sort=getattr(row, name)) for name in columns),
            ]
            for row in seen.rows
            if row in delays or row in calls
        ],
        numeric=frozenset(range(2, 2 + len(columns))),
    )


def meter_table(meters: Mapping[str, Any]) -> Table | None:
    """What could be measured and what could not, with the reason and the command that would fix it."""
    probes = [probe for probe in meters.get("probes") or () if isinstance(probe, Mapping)]
    if not probes:
        return None
    return Table(
        caption="Sensors that were looked for when the run began.",
        header=("Meter", "Readable", "Found, or why not", "What would fix it"),
        rows=[
            [
                _text(str(probe.get("meter", ""))),
                _text("yes" if probe.get("available") else "no"),
                _text(str(probe.get("reason") or "")),
                _text(str(probe.get("fix") or MISSING)),
            ]
            for probe in probes
        ],
    )


def facts_list(record: Mapping[str, Any]) -> Markup:
    """A machine record or an experiment as a list of names and values."""
    items = [
        Markup("<dt>{}</dt><dd>{}</dd>").format(str(key).replace("_", " "), _value(value))
        for key, value in record.items()
        if value not in (None, "", [], {}, ())
    ]
    return Markup('<dl class="facts">{}</dl>').format(Markup("").join(items))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, (list, tuple)):
        return "; ".join(_value(item) for item in value)
    return number(value, 4) if isinstance(value, float) else str(value)
