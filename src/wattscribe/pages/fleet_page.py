"""Several boards' runs for people and programs: per class, between classes, board by board."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from wattscribe import whole_file
from wattscribe.errors import InputError
from wattscribe.pages.formats import obstacle, table_lines, to_markdown
from wattscribe.pages.in_markdown import inline
from wattscribe.pages.page import Block, Cell, Section, Table, Words, render
from wattscribe.pages.sentences import board_sentences
from wattscribe.records import RunFacts, finite, to_json
from wattscribe.results.basis import energy_name
from wattscribe.results.boards import Disagreement
from wattscribe.results.fleet import SCHEMA, Between, BoardShare, FleetView, Pooled, fleet_view, mean_of_boards
from wattscribe.results.groups import short_corpus
from wattscribe.results.table import rows
from wattscribe.results.words import MISSING, bytes_text, interval_text, number, percent_text, plural

FORMATS = ("html", "md", "json")


def write_fleet(runs: Sequence[RunFacts], kind: str, path: Path | None, *, name: str) -> str | None:
    """Write to `path`, whole or not at all, or return the text where there is none. Raises InputError."""
    if kind not in FORMATS:
        fix = f"Choose one of: {', '.join(FORMATS)}; csv and parquet are of one run"
        raise InputError(f"several runs are not shown as {kind}", fix=fix)
    seen = fleet_view(runs, name=name)
    text = {"md": markdown, "json": as_json, "html": page}[kind](seen)
    if path is None:
        return text
    try:
        whole_file.write_text(path, text)
    except OSError as error:
        raise InputError(f"the report cannot be written: {obstacle(path, error)}", where=path) from error
    return None


def markdown(seen: FleetView) -> str:
    """Tables that are read in a terminal, and what a reader must know."""
    parts: list[str] = []
    if seen.shared is not None:
        parts = [to_markdown(seen.shared.facts).rstrip("\n"), ""]
    tables = [table for table in (class_table(seen), between_table(seen), board_table(seen)) if table is not None]
    for at, table in enumerate(tables):
        lines = table_lines(table)
        parts += lines if at or parts else lines[1:]
    notes = [*(f"- ! {inline(line)}" for line in warnings(seen)), *(f"- {inline(line)}" for line in remarks(seen))]
    return "\n".join([*parts, "", *notes, ""])


def as_json(seen: FleetView) -> str:
    """`{"schema": 1, "classes": …}`; each board's rows are those of its own report."""
    runs = {label: run for kind in seen.classes for label, run in zip(kind.labels, kind.runs, strict=True)}
    values = {
        "schema": SCHEMA,
        "name": seen.name,
        "shared": None if seen.shared is None else rows(seen.shared.facts),
        "classes": [
            {
                "name": kind.name,
                "boards": list(kind.labels),
                "rows": [_plain(row) for row in seen.pooled if row.board_class == kind.name],
            }
            for kind in seen.classes
        ],
        "between": [_plain_between(pair) for pair in seen.between],
        "boards": [{**_plain_board(board), "rows": rows(runs[board.label])} for board in seen.boards],
        "disagreements": to_json(seen.disagreements),
        "one_device": to_json(seen.one_device),
    }
    return json.dumps(finite(values), indent=1, ensure_ascii=False, allow_nan=False)


def page(seen: FleetView) -> str:
    """One self-contained page."""
    flags = warnings(seen)
    head: list[Block] = [Words(lines=[_sentence(seen)])]
    head += [Words(lines=flags, tone="warn", as_list=True)] if flags else []
    head += [Words(lines=lines, as_list=True)] if (lines := remarks(seen)) else []
    sections = [Section(id="summary", title="In short", blocks=head)]
    if seen.shared is not None:
        from wattscribe.pages.sections import table_section

        sections.append(table_section(seen.shared))
    for key, title, table in (
        ("classes", "By class of board", class_table(seen)),
        ("between", "Between classes", between_table(seen)),
        ("boards", "Board by board", board_table(seen)),
    ):
        sections.append(Section(id=key, title=title, blocks=[] if table is None else [table]))
    first = min(run.created for kind in seen.classes for run in kind.runs)
    return render(seen.name, sections, subtitle=f"{_sentence(seen)} Begun {first[:16].replace('T', ' ')} UTC.")


def _sentence(seen: FleetView) -> str:
    boards = plural(sum(len(kind.runs) for kind in seen.classes), "board")
    return f"{boards} of {plural(len(seen.classes), 'class', 'classes')}."


# --- tables -----------------------------------------------------------------------------------------------------------
def class_table(seen: FleetView) -> Table | None:
    """A row per recognizer, speech and class."""
    if not seen.pooled:
        return None
    header = (
        "Class",
        "Boards",
        "Recognizer",
        "Precision",
        "Speech",
        "Utt.",
        "WER %",
        "CER %",
        "RTF",
        "p50 s",
        "Memory",
        "J/s",
        "J of",
    )
    return Table(
        caption="Every figure is over all boards of a class, each counted once; intervals hold what its boards differ by. J/s: "
        "joules per second of audio.",
        header=header,
        rows=[_class_row(row) for row in seen.pooled],
        numeric=frozenset(range(5, 12)),
    )


def _class_row(row: Pooled) -> list[Cell]:
    scored, entry = row.scored, row.entry.row
    wer = None if scored is None else scored.interval
    cer = None if scored is None else scored.counts.cer
    covers = row.energy.reason if row.energy.energy_j is None else energy_name(row.energy.evidence, row.energy.covers)
    return [
        Cell(text=row.board_class),
        Cell(text=str(len(row.boards)), sort=len(row.boards), title=", ".join(row.boards)),
        Cell(text=entry.model_label),
        Cell(text=entry.precision),
        Cell(text=f"{short_corpus(entry.corpus)}, {entry.condition}"),
        _figure(None if scored is None else len(scored.ids), text=MISSING if scored is None else str(len(scored.ids))),
        _figure(None if wer is None else wer.rate, text=percent_text(None if wer is None else wer.rate))
        if wer is None or wer.ci95 is None
        else Cell(text=percent_text(wer.rate), sort=wer.rate, note=interval_text(wer.ci95, 100)),
        _figure(cer, text=percent_text(cer)),
        _figure(row.rtf, row.rtf_ci95),
        _figure(row.latency_p50_s),
        _figure(row.peak_memory_bytes, text=bytes_text(row.peak_memory_bytes)),
        _figure(row.j_per_audio_s, row.j_per_audio_s_ci95),
        Cell(text=covers or MISSING),
    ]


def between_table(seen: FleetView) -> Table | None:
    """What each other class takes against the first."""
    if not seen.between:
        return None
    return Table(
        caption="Ratios: below 1 the class takes less than the one it is compared with. A dash: figures that cover different "
        "things do not compare.",
        header=("Class", "Against", "Recognizer", "Precision", "Speech", "Energy ratio", "RTF ratio"),
        rows=[
            [
                Cell(text=pair.other.board_class),
                Cell(text=pair.base.board_class),
                Cell(text=pair.base.entry.row.model_label),
                Cell(text=pair.base.entry.row.precision),
                Cell(text=f"{short_corpus(pair.base.entry.row.corpus)}, {pair.base.entry.row.condition}"),
                _figure(*((None, None) if pair.energy is None else (pair.energy.value, pair.energy.ci95))),
                _figure(pair.rtf, pair.rtf_ci95),
            ]
            for pair in seen.between
        ],
        numeric=frozenset({5, 6}),
    )


def board_table(seen: FleetView) -> Table:
    """What each board did, with its own energy, and what the scheduler's processes took of it meanwhile."""
    return Table(
        caption="Board by board: trials that are done, the audio in them, joules per second of it on the board's own sensors, "
        "and the most that Dask's processes took of a core, and woke up, during any trial.",
        header=(
            "Board",
            "Class",
            "Id",
            "Begun (UTC)",
            "Trials",
            "Audio s",
            "RTF",
            "J/s",
            "Dask % of a core",
            "Dask wake-ups/s",
        ),
        rows=[_board_row(board) for board in seen.boards],
        numeric=frozenset(range(4, 10)),
    )


def _board_row(board: BoardShare) -> list[Cell]:
    share = None if board.core_share is None else 100 * board.core_share
    return [
        Cell(text=board.label),
        Cell(text=board.board_class),
        Cell(text=board.id or MISSING),
        Cell(text=board.created[:16].replace("T", " ")),
        Cell(text=f"{board.trials}/{board.of}", sort=board.trials),
        _figure(board.audio_s, text=f"{board.audio_s:.0f}"),
        _figure(board.rtf),
        _figure(board.j_per_audio_s, board.j_per_audio_s_ci95),
        _figure(share),
        _figure(board.wakeups_per_s),
    ]


def _figure(value: float | None, interval: tuple[float, float] | None = None, *, text: str | None = None) -> Cell:
    return Cell(text=number(value) if text is None else text, sort=value, note=interval_text(interval))


# --- words ------------------------------------------------------------------------------------------------------------
def warnings(seen: FleetView) -> list[str]:
    """What makes a figure doubtful."""
    lines = [_disagreement(one) for one in seen.disagreements]
    lines += [
        f"{' and '.join(labels)} are one device: their trials shared it, and their figures are not independent"
        for labels in seen.one_device
    ]
    if seen.shared is None or not board_sentences(seen.shared.facts):
        runs = [run for kind in seen.classes for run in kind.runs]
        lines += dict.fromkeys(line for run in runs for line in board_sentences(run))
    return lines


def _disagreement(one: Disagreement) -> str:
    more = one.utterances - len(one.ids)
    named = ", ".join(one.ids) + (f" and {more} more" if more > 0 else "")
    return (
        f"{one.other} gave other texts than {one.first}, a board of the same class, to {one.utterances} of {one.of} utterances "
        f"({one.trial}: {named}); energies of {one.board_class} are not pooled"
    )


def remarks(seen: FleetView) -> list[str]:
    """What is missing, and what the merging had to say."""
    lines = [
        f"{board.label}: {board.of - board.trials} of {board.of} trials are not done"
        + (f", {board.failed} of them failed" if board.failed else "")
        for board in seen.boards
        if board.trials < board.of and (seen.shared is None or board.failed)
    ]
    if seen.shared is not None:
        lines += [
            _class_share(kind.name, [one for one in seen.boards if one.board_class == kind.name])
            for kind in seen.classes
        ]
    return [*lines, *seen.notes]


def _class_share(name: str, boards: Sequence[BoardShare]) -> str:
    """What boards of a class took for their shares of the work."""
    value, interval = mean_of_boards([(board.j_per_audio_s, board.j_per_audio_s_ci95) for board in boards])
    figure = "no figure" if value is None else f"{number(value)} {interval_text(interval)}".strip()
    return f"{name}: {figure} J per second of audio, the mean of {plural(len(boards), 'board')}"


def _plain(row: Pooled) -> dict[str, object]:
    scored, own = row.scored, row.entry.row
    return {
        "model": own.model,
        "precision": own.precision,
        "corpus": own.corpus,
        "condition": own.condition,
        "mode": own.mode,
        "boards": list(row.boards),
        "utterances": None if scored is None else len(scored.ids),
        "wer": None if scored is None else scored.interval.rate,
        "wer_ci95": None if scored is None else to_json(scored.interval.ci95),
        "cer": None if scored is None else scored.counts.cer,
        "rtf": row.rtf,
        "rtf_ci95": to_json(row.rtf_ci95),
        "latency_p50_s": row.latency_p50_s,
        "peak_memory_bytes": row.peak_memory_bytes,
        "energy_j": row.energy.energy_j,
        "energy_ci95_j": to_json(row.energy.ci95_j),
        "energy_net_j": row.energy.net_j,
        "energy_evidence": row.energy.evidence,
        "energy_covers": row.energy.covers or None,
        "energy_reason": row.energy.reason,
        "j_per_audio_s": row.j_per_audio_s,
        "j_per_audio_s_ci95": to_json(row.j_per_audio_s_ci95),
    }


def _plain_between(pair: Between) -> dict[str, object]:
    own = pair.base.entry.row
    return {
        "board_class": pair.other.board_class,
        "against": pair.base.board_class,
        **{name: getattr(own, name) for name in ("model", "precision", "corpus", "condition", "mode")},
        "energy_ratio": None if pair.energy is None else pair.energy.value,
        "energy_ratio_ci95": None if pair.energy is None else to_json(pair.energy.ci95),
        "rtf_ratio": pair.rtf,
        "rtf_ratio_ci95": to_json(pair.rtf_ci95),
    }


def _plain_board(board: BoardShare) -> dict[str, object]:
    names = (
        "label",
        "id",
        "created",
        "trials",
        "of",
        "failed",
        "audio_s",
        "rtf",
        "j_per_audio_s",
        "core_share",
        "wakeups_per_s",
    )
    return {
        **{name: getattr(board, name) for name in names},
        "board_class": board.board_class,
        "j_per_audio_s_ci95": to_json(board.j_per_audio_s_ci95),
        "energy_evidence": board.energy.evidence,
        "energy_covers": board.energy.covers or None,
    }
