"""Energy, real-time factor and word errors against the power mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wattscribe.pages.names import Names, shortened
from wattscribe.pages.page import Block, Cell, Figure, Section, Table, Words
from wattscribe.pages.traces import COLOURS, error_bars, hover, wer, wer_interval
from wattscribe.records import Interval
from wattscribe.results.findings import Entry, EvalSet
from wattscribe.results.modes import AcrossModes, across_modes, keeps_up
from wattscribe.results.recommend import by_kind
from wattscribe.results.words import MISSING, interval_text, number, percent_text

Value = Callable[[Entry], float | None]
Bounds = Callable[[Entry], Interval | None]


def modes_section(all_eval_sets: Sequence[EvalSet], names: Names) -> Section:
    """Empty where no recognizer ran in two modes."""
    found = across_modes(all_eval_sets)
    blocks: list[Block] = []
    if found:
        blocks += [Words(lines=mode_sentences(all_eval_sets), as_list=True), *mode_tables(all_eval_sets)]
        blocks += _figures([item for item in found if item.eval_set == found[0].eval_set])
    return Section(id="modes", title="Power modes", blocks=blocks)


def mode_tables(all_eval_sets: Sequence[EvalSet]) -> list[Table]:
    """One line per recognizer and mode."""
    found = across_modes(all_eval_sets)
    if not found:
        return []
    header = (
        "Recognizer", "Speech", "Mode", "J/s audio", "Mean W", "RTF", "RTF p99", "Keeps up", "WER %", "What is set",
    )  # fmt: skip
    return [
        Table(
            caption="Power modes. RTF p99: of single utterances, the slowest of a hundred. Keeps up: the factor, its interval "
            "and its tail are below 1. What is set was read back before and after every trial.",
            header=header,
            rows=[_line(item, entry) for item in found for entry in item.entries],
            numeric=frozenset({3, 4, 5, 6, 8}),
        )
    ]


def _line(item: AcrossModes, entry: Entry) -> list[Cell]:
    row = entry.row
    fast = keeps_up(row)
    settings = ", ".join(f"{key} {value}" for key, value in (row.mode_settings or {}).items())
    return [
        Cell(text=item.name, sort=row.model),
        Cell(text=item.eval_set.name, sort=item.eval_set.name),
        Cell(text=row.mode or MISSING, sort=item.entries.index(entry)),
        _figure(row.j_per_audio_s, row.j_per_audio_s_ci95),
        Cell(text=number(row.mean_power_w), sort=row.mean_power_w),
        _figure(row.rtf, row.rtf_ci95),
        Cell(text=number(row.rtf_p99), sort=row.rtf_p99),
        Cell(text=MISSING if fast is None else "yes" if fast else "no", sort=fast, warn=fast is False),
        Cell(text=percent_text(row.wer), sort=row.wer, note=interval_text(row.wer_ci95, 100)),
        Cell(text=settings or MISSING, sort=settings),
    ]


def _figure(value: float | None, interval: Interval | None) -> Cell:
    return Cell(text=number(value), sort=value, note=interval_text(interval))


def mode_sentences(all_eval_sets: Sequence[EvalSet]) -> list[str]:
    """The mode of least energy that keeps up with speech, or why none is named; trials that a mode spoilt are failed trials."""
    return [_sentence(item) for item in across_modes(all_eval_sets)]


def _sentence(item: AcrossModes) -> str:
    who = f"{item.name}, {item.eval_set.name}"
    if item.least is None:
        return f"{who}: no power mode is recommended: {item.reason}."
    row = item.least.row
    text = (
        f"{who}: of the modes that keep up with speech {row.mode} takes the least energy, {number(row.j_per_audio_s)} J per "
        f"second of audio {interval_text(row.j_per_audio_s_ci95)} at a real-time factor of {number(row.rtf)}, p99 "
        f"{number(row.rtf_p99)}"
    )
    if item.next_best is None or item.ratio is None:
        return f"{text}; no other mode keeps up with an energy figure."
    other = f"{item.next_best.row.mode} takes {number(item.ratio.value)} times as much {interval_text(item.ratio.ci95)}"
    shown = item.ratio.ci95 is not None and item.ratio.ci95[0] > 1
    return f"{text}; {other}{'' if shown else ', which is not shown to be more'}."


# --- figures ---------------------------------------------------------------------------------------------------------
def _figures(found: Sequence[AcrossModes]) -> list[Figure]:
    """Three figures of the first eval set, one group of bars per mode."""
    where = found[0].eval_set.name
    kinds = by_kind([entry for item in found for entry in item.entries])
    figures = []
    for at, (evidence, covers) in enumerate(kinds):
        entries = kinds[evidence, covers]
        kept = [(item.name, [entry for entry in item.entries if entry in entries]) for item in found]
        figures.append(
            _bars(
                f"mode-energy-{at}",
                f"Energy against power mode, {evidence}",
                f"{evidence.capitalize()}: {covers}. {where}.",
                "J per second of audio",
                [(name, mine) for name, mine in kept if mine],
                lambda entry: entry.row.j_per_audio_s,
                lambda entry: entry.row.j_per_audio_s_ci95,
            )
        )
    everyone = [(item.name, list(item.entries)) for item in found]
    figures.append(
        _bars(
            "mode-rtf",
            "Real-time factor against power mode",
            f"Seconds of work per second of audio; below 1 keeps up with speech. {where}.",
            "RTF",
            everyone,
            lambda entry: entry.row.rtf,
            lambda entry: entry.row.rtf_ci95,
        )
    )
    figures.append(
        _bars("mode-wer", "WER against power mode", f"{where}.", "WER, %", everyone, wer, wer_interval),
    )
    return figures


def _bars(
    identity: str,
    title: str,
    description: str,
    axis: str,
    series: Sequence[tuple[str, Sequence[Entry]]],
    value: Value,
    interval: Bounds,
) -> Figure:
    traces = []
    for at, (name, entries) in enumerate(series):
        values = [value(entry) for entry in entries]
        traces.append(
            {
                "type": "bar",
                "name": shortened(name),
                "x": [entry.row.mode for entry in entries],
                "y": values,
                "hovertext": [hover(entry) for entry in entries],
                "hoverinfo": "text",
                "error_y": error_bars(values, [interval(entry) for entry in entries]),
                "marker": {"color": COLOURS[at % len(COLOURS)]},
            }
        )
    layout = {
        "barmode": "group",
        "xaxis": {"type": "category"},
        "yaxis": {"title": {"text": axis}, "rangemode": "tozero"},
    }
    return Figure(
        id=identity, title=title, description=description + " Lines are 95 % intervals.", traces=traces, layout=layout
    )
