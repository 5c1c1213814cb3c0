"""What a run in real time shows: watts while listening, hours of a battery, the wait for the text."""

from __future__ import annotations

from collections.abc import Sequence

from wattscribe.pages.page import Block, Cell, Section, Table, Words
from wattscribe.records import Interval
from wattscribe.results.basis import energy_name
from wattscribe.results.groups import short_corpus
from wattscribe.results.row import Row
from wattscribe.results.words import MISSING, interval_text, number, percent_text


def listening_section(rows: Sequence[Row]) -> Section:
    """Empty where speech did not arrive in real time."""
    table = listening_table(rows)
    blocks: list[Block] = [] if table is None else [table, Words(lines=listening_sentences(rows), as_list=True)]
    return Section(id="listening", title="Listening", blocks=blocks)


def listening_table(rows: Sequence[Row]) -> Table | None:
    """One line per row that was paced; None where none was."""
    paced = [row for row in rows if row.duty is not None]
    if not paced:
        return None
    battery = any(row.battery_h is not None for row in paced)
    header = [
        "Recognizer", "Speech", "Listening W", "Speech W", "Pauses W", "Idle W", "J per hour",
        *(["Battery h"] if battery else []), "Tail p50 s", "Tail p99 s", "Streamed − whole, WER points",
    ]  # fmt: skip
    return Table(
        caption="Speech arrived in real time. Listening: the whole window, speech and pauses. Speech: while an utterance is "
        "spoken or its text is still to come. Pauses: the model is loaded and nothing arrives. Idle: before it was loaded and "
        "after. Tail: from the last sample of an utterance to its final text. Square brackets are 95 % intervals.",
        header=header,
        rows=[_line(row, battery) for row in paced],
        numeric=frozenset(range(2, len(header))),
    )


def _line(row: Row, battery: bool) -> list[Cell]:
    watts = (
        (row.listening_w, row.listening_w_ci95),
        (row.speech_w, row.speech_w_ci95),
        (row.pause_w, row.pause_w_ci95),
        (row.idle_w, row.idle_w_ci95),
        (row.j_per_listening_h, row.j_per_listening_h_ci95),
        *([(row.battery_h, row.battery_h_ci95)] if battery else []),
    )
    change = row.streamed_wer_change
    return [
        Cell(text=f"{row.model_label} {row.precision}", sort=row.model, title=row.listening_reason or ""),
        Cell(text=row.condition, sort=f"{row.corpus} {row.condition}", note=short_corpus(row.corpus)),
        *(_figure(value, interval) for value, interval in watts),
        Cell(text=number(row.tail_p50_s), sort=row.tail_p50_s),
        Cell(text=number(row.tail_p99_s), sort=row.tail_p99_s),
        Cell(
            text=MISSING if change is None else f"{100 * change:+.2f}",
            sort=change,
            note=interval_text(row.streamed_wer_change_ci95, 100),
        ),
    ]


def _figure(value: float | None, interval: Interval | None) -> Cell:
    return Cell(text=number(value), sort=value, note=interval_text(interval))


def listening_sentences(rows: Sequence[Row]) -> list[str]:
    """What a reader must know of the figures: the duty, what the watts cover, what has none and why, what streaming costs."""
    paced = [row for row in rows if row.duty is not None]
    if not paced:
        return []
    duties = " and ".join(dict.fromkeys(f"{100 * (row.duty or 0):.3g} %" for row in paced))
    lines = [
        f"Audio arrived as it was spoken, {duties} of the time; joules of this run include the waiting. In the pauses nothing is "
        "given to the recognizer, as behind a voice gate, whose own energy is not in the figures."
    ]
    kinds = dict.fromkeys(
        energy_name(row.energy_evidence, row.energy_covers) for row in paced if row.listening_w is not None
    )
    lines += [f"Watts of listening are {kind}." for kind in kinds]
    battery_wh = next((row.battery_wh for row in paced if row.battery_h is not None), None)
    if battery_wh is not None:
        lines.append(
            f"Battery hours are {number(battery_wh)} Wh, as stated, over the watts of listening; no battery gives all that is "
            "printed on it."
        )
    lines += dict.fromkeys(f"{_who(row)}: {row.listening_reason}." for row in paced if row.listening_reason)
    lines += [_behind(row) for row in paced if row.rtf is not None and row.rtf >= 1]
    return lines + [_streamed(row) for row in paced if row.streamed_wer_change is not None]


def _behind(row: Row) -> str:
    """Slower than speech: it catches up in the pauses where these are long enough."""
    slow = f"{_who(row)}: it is slower than speech (real-time factor {number(row.rtf)})"
    if (row.rtf or 0.0) * (row.duty or 1.0) < 1:
        return f"{slow} and catches up in the pauses."
    return f"{slow}, so it falls further behind the longer it listens: its waits are those of this run's length."


def _streamed(row: Row) -> str:
    interval = row.streamed_wer_change_ci95
    whole = (
        f"{_who(row)}: streamed, its WER is {percent_text(row.wer)} %, of whole files {percent_text(row.whole_wer)} %"
    )
    change = 100 * (row.streamed_wer_change or 0.0)
    shown = interval is not None and not interval[0] <= 0 <= interval[1]
    verdict = "" if shown else "; no difference is shown"
    return f"{whole}: {change:+.2f} points {interval_text(interval, 100)}{verdict}."


def _who(row: Row) -> str:
    return f"{row.model_label} {row.precision}, {short_corpus(row.corpus)}, {row.condition}"
