"""Sections of the run's page that are tables and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from wattscribe.records import Interval
from wattscribe.report.cost import STARVED_SHARE
from wattscribe.report.findings import PairTest
from wattscribe.report.groups import short_corpus, short_model
from wattscribe.report.page import Cell, Section, Table, Words
from wattscribe.report.sentences import scaling_sentences
from wattscribe.report.table import Row, View
from wattscribe.report.words import MISSING, bytes_text, interval_text, number, percent_text

UNANSWERED_SHOWN = 20

HEADER = (
    "Recognizer",
    "Precision",
    "Heard",
    "Utt.",
    "WER %",
    "CER %",
    "RTF",
    "Latency s",
    "Memory",
    "J / s audio",
    "J",
    "W",
    "Evidence",
)
TITLES = {
    2: "Condition and corpus",
    3: "Utterances with an answer, of all that were heard",
    4: "Word error rate with its 95 % interval",
    6: "Real-time factor: seconds of work per second of audio",
    7: "Time for one utterance: median, and below it the 99th percentile",
    8: "Peak resident memory of the worker above its empty self; on a GPU the GPU's memory below it",
    9: "Gross joules per second of audio with its 95 % interval",
    10: "Gross joules for one pass over the corpus",
    11: "Mean power while transcribing",
}


def table_section(seen: View) -> Section:
    """Every row, sortable."""
    table = Table(
        caption="Press a heading to sort. Measured energy is gross. Figures of different evidence must not be compared.",
        header=HEADER,
        rows=[_row(row) for row in seen.rows],
        numeric=frozenset(range(3, 12)),
        titles=TITLES,
    )
    scaled = scaling_sentences(seen.rows)
    notes = [Words(lines=scaled, as_list=True)] if scaled else []
    return Section(id="table", title="All results", blocks=[table, *notes])


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
        _figure(row.j_per_audio_s, number(row.j_per_audio_s), row.j_per_audio_s_ci95),
        _figure(row.energy_j, number(row.energy_j)),
        _figure(row.mean_power_w, number(row.mean_power_w)),
        Cell(
            text=row.energy_evidence,
            sort=row.energy_evidence,
            title="; ".join(each for each in (row.energy_covers, row.energy_reason) if each),
        ),
    ]


def _rtf(row: Row) -> Cell:
    if row.starved_share is None or row.starved_share <= STARVED_SHARE:
        return _figure(row.rtf, number(row.rtf), row.rtf_ci95)
    title = f"waited for a core that other work had for {100 * row.starved_share:.0f} % of its time: an upper bound"
    return Cell(text=number(row.rtf), sort=row.rtf, note="upper bound", warn=True, title=title)


def _settings(row: Row) -> str:
    parts = [] if row.device == "cpu" else [row.device]
    parts += [f"{row.threads} threads"] if row.threads != 1 else []
    parts += [f"batch {row.batch_size}"] if row.batch_size != 1 else []
    return ", ".join([*parts, *(f"{key}={value}" for key, value in row.options.items())])


def _figure(
    value: float | None, text: str, interval: Interval | None = None, scale: float = 1.0, title: str = ""
) -> Cell:
    return Cell(text=text, sort=value, note=interval_text(interval, scale), title=title)


def energy_table(seen: View) -> Table | None:
    """Gross, idle and net of every row with what a reader must know of each; None where no energy is known."""
    known = [row for row in seen.rows if row.energy_j is not None or row.energy_reason]
    if not any(row.energy_j is not None for row in known):
        return None
    return Table(
        caption="Joules of one pass with 95 % intervals. Net is gross less the idle power measured around the trial.",
        header=("Recognizer", "Heard", "Gross J", "Idle J", "Net J", "Evidence", "What it covers", "To know"),
        rows=[
            [
                Cell(text=f"{short_model(row.model)} {row.precision}", sort=row.model, note=_settings(row)),
                Cell(text=row.condition, sort=f"{row.corpus} {row.condition}", note=short_corpus(row.corpus)),
                _figure(row.energy_j, number(row.energy_j), row.energy_ci95_j),
                _figure(row.energy_idle_j, number(row.energy_idle_j)),
                _figure(row.energy_net_j, number(row.energy_net_j), row.energy_net_ci95_j),
                _text(row.energy_evidence),
                _text(row.energy_covers or MISSING),
                Cell(text=row.energy_reason or MISSING, sort=row.energy_reason, warn=row.energy_reason is not None),
            ]
            for row in known
        ],
        numeric=frozenset({2, 3, 4}),
    )


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
        Cell(text=short_corpus(test.hearing.corpus), sort=test.hearing.corpus),
        Cell(text=test.hearing.condition.name, sort=test.hearing.condition.name),
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
        caption="Left out of every score.",
        header=("Input", "Reason", "Where", "Corpus"),
        rows=[
            [
                Cell(text=each.id, sort=each.id),
                Cell(text=each.reason, sort=each.reason),
                Cell(text=each.where or MISSING, sort=each.where),
                Cell(text=short_corpus(each.corpus), sort=each.corpus),
            ]
            for each in seen.facts.rejected
        ],
    )


def failed_table(seen: View) -> Table | None:
    """Trials that did not finish, and utterances that got no answer, each with its reason."""
    found: list[list[Cell]] = []
    for group in seen.groups:
        for trial in group.trials:
            where = f"{short_corpus(group.corpus)}, {group.condition.name}, repeat {trial.trial.repeat + 1}"
            if trial.status != "done":
                why = trial.reason or "not run yet"
                found.append([_text(group.label), _text(where), _text("whole trial"), _text(f"{trial.status}: {why}")])
            found += [
                [
                    _text(group.label),
                    _text(where),
                    _text("whole trial"),
                    _text(f"attempt {each['attempt']}: {each['reason']}"),
                ]
                for each in (trial.surroundings or {}).get("earlier_failures", ())
            ]
            unanswered = [result for result in trial.utterances if result.hypothesis is None]
            found += [
                [_text(group.label), _text(where), _text(result.id), _text(result.error or "no answer")]
                for result in unanswered[:UNANSWERED_SHOWN]
            ]
            if len(unanswered) > UNANSWERED_SHOWN:
                more = f"{len(unanswered) - UNANSWERED_SHOWN} more"
                found.append([_text(group.label), _text(where), _text(more), _text("no answer")])
    if not found:
        return None
    caption = (
        "A trial that did not finish is not scored, nor is an attempt that was made again; "
        "an utterance without an answer counts as all words deleted."
    )
    return Table(caption=caption, header=("Recognizer", "Trial", "Utterance", "Reason"), rows=found)


def _text(text: str) -> Cell:
    return Cell(text=text, sort=text)


def streaming_table(seen: View) -> Table | None:
    """Latency and invocations of streaming recognizers; None where nothing streamed."""
    rows = [row for row in seen.rows if row.finalisation_p50_s is not None or row.joiner_calls_per_audio_s is not None]
    if not rows:
        return None
    names = (
        "first_partial_p50_s",
        "emission_delay_p50_s",
        "emission_delay_p99_s",
        "segment_compute_p50_s",
        "segment_compute_p99_s",
        "finalisation_p50_s",
        "finalisation_p99_s",
        "partials",
        "partials_revised",
        "encoder_calls_per_audio_s",
        "predictor_calls_per_audio_s",
        "joiner_calls_per_audio_s",
        "blank_share",
    )
    short = ("First partial", "Delay p50", "Delay p99", "Segment p50", "Segment p99", "Final p50", "Final p99")
    counts = ("Partials", "Revised", "Encoder /s", "Predictor /s", "Joiner /s", "Blank share")
    return Table(
        caption="Times in seconds against a simulated real-time clock; invocations per second of audio.",
        header=("Recognizer", "Condition", *short, *counts),
        rows=[
            [
                Cell(text=f"{short_model(row.model)} {row.precision}", sort=row.model, note=short_corpus(row.corpus)),
                Cell(text=row.condition, sort=row.condition),
                *(Cell(text=number(getattr(row, name)), sort=getattr(row, name)) for name in names),
            ]
            for row in rows
        ],
        numeric=frozenset(range(2, 2 + len(names))),
    )


def meter_table(meters: Mapping[str, Any]) -> Table | None:
    """What could be measured and what could not, with the reason and the command that would mend it."""
    probes = [probe for probe in meters.get("probes") or () if isinstance(probe, Mapping)]
    if not probes:
        return None
    return Table(
        caption="Sensors that were looked for when the run began.",
        header=("Meter", "Readable", "Found, or why not", "What would mend it"),
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
