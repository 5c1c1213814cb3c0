"""A compression as one self-contained page: what was saved, what it cost in words, every recipe tried, what each step did."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from wattscribe.compression.outcome import LATENCIES, VERDICTS, judged
from wattscribe.pages import page
from wattscribe.pages.page import Block, Cell, Figure, Section, Table, Words, render
from wattscribe.pages.traces import COLOURS

if TYPE_CHECKING:
    from wattscribe.compression.acceptance import Acceptance, Side
    from wattscribe.compression.outcome import Compression
    from wattscribe.compression.workbench import Tried


SAVED, ADDED = "#2f8f6b", "#c4622d"
"""plotly draws what falls in red, as if it were a loss; here it is what was saved."""
UNSEEN = 1e-4
"""Of the original's energy: a bar that nobody would see."""


def html(compression: Compression) -> str:
    """The page as HTML."""
    sections = [
        Section(id="result", title="What it saves and what it costs", blocks=_result(compression)),
        Section(id="recipes", title="Energy against word errors", blocks=_recipes(compression)),
        Section(id="steps", title="Step by step", blocks=[_waterfall(compression), _steps(compression)]),
        Section(id="sensitivity", title="What each lever does by itself", blocks=_sensitivity(compression)),
        Section(id="method", title="How it was measured", blocks=[_method(compression)]),
    ]
    return render(_title(compression), sections, subtitle=_subtitle(compression), tiles=_tiles(compression))


def fragment(compression: Compression) -> str:
    """For a notebook: the verdict, and original beside result."""
    blocks = [block for block in _result(compression) if isinstance(block, (Words, Table))]
    return page.fragment(_title(compression), blocks, subtitle=_subtitle(compression))


def _title(compression: Compression) -> str:
    return f"Compression of {compression.recipe.model}"


def _subtitle(compression: Compression) -> str:
    recipe = compression.recipe
    return f"for {recipe.device}, strategy {recipe.strategy}; energy is {compression.evidence}"


def _tiles(compression: Compression) -> list[tuple[str, str, str]]:
    dev = compression.dev
    low, high = dev.wer_increase_ci95
    saved = 100 * (1 - dev.after.rtf_cpu / dev.before.rtf_cpu) if dev.before.rtf_cpu else 0.0
    return [
        (f"{-100 * dev.energy_reduction:+.1f} %".replace("-", "−"), "energy",
         f"{dev.before.energy_mj_per_audio_s:.3g} → {dev.after.energy_mj_per_audio_s:.3g} mJ per second of audio"),
        (f"{100 * dev.wer_increase:+.2f}", "points of WER", f"95 %: {100 * low:+.2f} to {100 * high:+.2f}"),
        (f"{-saved:+.0f} %", "time", f"RTF {dev.before.rtf_cpu:.4f} → {dev.after.rtf_cpu:.4f}, processor time"),
        (f"{dev.after.size_bytes / 1e6:.2f} MB", "on disk", f"before {dev.before.size_bytes / 1e6:.2f} MB"),
    ]  # fmt: skip


def _result(compression: Compression) -> list[Block]:
    sets = [gate for gate in (compression.dev, compression.test) if gate is not None]
    columns = [(f"{gate.on}: {when}", side) for gate in sets
               for when, side in (("before", gate.before), ("after", gate.after))]  # fmt: skip
    if compression.longer is not None:
        columns.insert(2, (f"{compression.dev.on}: after, longer calls", compression.longer.dev.after))
    header = ["measure", *(title for title, _ in columns)]
    sides = [side for _, side in columns]
    rows = [
        _row("energy, mJ per second of audio", sides, "energy_mj_per_audio_s", 1.0, ".4f"),
        _row("WER, %", sides, "wer", 100.0, ".2f"),
        _row("RTF, processor time", sides, "rtf_cpu", 1.0, ".4f"),
        _row("RTF, wall time", sides, "rtf", 1.0, ".4f"),
        _row("size, MB", sides, "size_bytes", 1e-6, ".2f"),
        _row("peak memory, MB", sides, "peak_memory_bytes", 1e-6, ".1f"),
        *(_row(title, sides, f"latency.{name}", 1.0, ".3f") for name, title in LATENCIES.items()),
    ]
    table = Table(caption="Original and result, in turn in one run", header=header, rows=rows,
                  numeric=frozenset(range(1, len(header))))  # fmt: skip
    verdicts = [_verdict(gate) for gate in sets]
    if compression.longer is not None:
        verdicts.append("With longer calls: " + judged(compression.longer.dev, compression.evidence) + ".")
    words = Words(lines=verdicts, as_list=True, tone="good" if all(gate.non_inferior for gate in sets) else "warn")
    notes: list[Block] = [Words(lines=list(compression.notes), as_list=True, tone="warn")] if compression.notes else []
    return [words, table, *_corpora(sets), *notes]


def _corpora(sets: Sequence[Acceptance]) -> list[Block]:
    """Each corpus that is held to a limit by itself; a limit that is broken is marked."""
    rows = [
        [
            Cell(text=f"{gate.on}: {part.on}" if len(sets) > 1 else part.on),
            Cell(text=str(part.words), sort=part.words),
            Cell(text=f"{100 * part.wer_before:.2f} → {100 * part.wer_after:.2f}", sort=part.wer_after),
            _number(part.wer_increase, 100.0, "+.2f"),
            _number(part.wer_increase_upper95, 100.0, "+.2f"),
            Cell(text=f"{100 * part.limit:g}", sort=part.limit, warn=part.wer_increase > part.limit),
            Cell(text=VERDICTS[part.non_inferior]),
        ]
        for gate in sets
        for part in gate.parts
    ]
    header = ["corpus", "words", "WER, %", "points", "one-sided 95 % bound", "limit, points", "verdict"]
    caption = "Each corpus by itself, from the same decodes"
    return [Table(caption=caption, header=header, rows=rows, numeric=frozenset(range(1, 6)))] if rows else []


def _row(title: str, sides: Sequence[Side], key: str, factor: float, form: str) -> list[Cell]:
    values = [attrgetter(key)(side) for side in sides]
    return [
        Cell(text=title),
        *(Cell(text="–") if v is None else Cell(text=format(v * factor, form), sort=v * factor) for v in values),
    ]


def _verdict(gate: Acceptance) -> str:
    low, high = gate.wer_increase_ci95
    proven = "is non-inferior" if gate.non_inferior else "is not proven to be non-inferior"
    if gate.non_inferior is None:
        return f"{gate.on}: cannot be judged: {gate.cannot_show}. WER {100 * gate.wer_increase:+.2f} points."
    return (
        f"{gate.on}: the result {proven} within {100 * gate.limit:g} points: WER {100 * gate.wer_increase:+.2f} points, "
        f"95 % from {100 * low:+.2f} to {100 * high:+.2f}, one-sided bound {100 * gate.wer_increase_upper95:+.2f} "
        f"({gate.method}); {gate.identical_texts} of {gate.utterances} texts are identical."
    )


# --- recipes -----------------------------------------------------------------------------------------------------------
def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both, by energy."""
    frontier: list[tuple[float, float]] = []
    for energy, wer in sorted(points):
        if not frontier or wer < frontier[-1][1]:
            frontier.append((energy, wer))
    return frontier


def _recipes(compression: Compression) -> list[Block]:
    everything = [*compression.tried, *compression.beside]
    measured = [candidate for candidate in everything if candidate.wer is not None]
    blocks: list[Block] = []
    if measured:
        blocks.append(_against(compression, measured, "wer", 100.0, "WER, %", "energy-wer"))
    near = [candidate for candidate in everything if candidate.kl is not None]
    if near:
        blocks.append(
            _against(compression, near, "kl", 1.0, "divergence from the original, nat per frame", "energy-kl")
        )
    return blocks


def _against(
    compression: Compression, tried: Sequence[Tried], key: str, factor: float, axis: str, identity: str
) -> Figure:
    traces: list[dict[str, Any]] = []
    for strategy, colour in zip(dict.fromkeys(candidate.strategy for candidate in tried), cycle(COLOURS), strict=False):
        mine = [candidate for candidate in tried if candidate.strategy == strategy]
        x = [candidate.energy_mj for candidate in mine]
        y = [factor * float(getattr(candidate, key)) for candidate in mine]
        names = ["<br>".join(str(step) for step in candidate.steps[-3:]) for candidate in mine]
        traces.append({"type": "scatter", "mode": "markers", "name": strategy, "x": x, "y": y, "text": names,
                       "marker": {"color": colour}})  # fmt: skip
        edge = front(list(zip(x, y, strict=True)))
        if len(edge) > 1:
            traces.append(
                {"type": "scatter", "mode": "lines", "name": f"{strategy}: Pareto front", "x": [e for e, _ in edge],
                 "y": [w for _, w in edge], "line": {"dash": "dot", "color": colour}}
            )  # fmt: skip
    marks = [("original", compression.dev.before, 0.0), ("result", compression.dev.after, _divergence(compression))]
    traces += [
        {"type": "scatter", "mode": "markers+text", "name": name, "x": [side.energy_mj_per_audio_s],
         "y": [100 * side.wer if key == "wer" else kl], "text": [name], "textposition": "top center",
         "marker": {"size": 14, "symbol": "star"}}
        for name, side, kl in marks if key == "wer" or kl is not None
    ]  # fmt: skip
    return Figure(
        id=identity,
        title=f"{len(tried)} recipes: energy against {axis.split(',')[0]}",
        description=f"Scatter: one mark per recipe, energy per second of audio against {axis}; lines are Pareto fronts.",
        traces=traces,
        layout={"xaxis": {"title": {"text": "mJ per second of audio"}}, "yaxis": {"title": {"text": axis}}},
        height_px=440,
        wide=True,
    )


def _divergence(compression: Compression) -> float | None:
    """Of the result from the original, as its last kept step was measured; None where no lossy step was kept."""
    values = [done.numbers.get("kl") for done in compression.recipe.done if done.kept]
    measured = [value for value in values if isinstance(value, float)]
    return measured[-1] if measured else None


# --- steps -------------------------------------------------------------------------------------------------------------
def _waterfall(compression: Compression) -> Figure:
    """Energy from the original to the result, modelled at the original's counts; steps that change nothing are left out."""
    (start, before), *course = compression.course
    x, y, kinds = [start], [before], ["absolute"]
    for name, energy in course:
        if abs(energy - before) > UNSEEN * compression.course[0][1]:
            x.append(name)
            y.append(energy - before)
            kinds.append("relative")
        before = energy
    x.append("result")
    y.append(0.0)
    kinds.append("total")
    return Figure(
        id="waterfall",
        title="What each step saved",
        description="Waterfall: energy per second of audio from the original to the result, one bar per step.",
        traces=[
            {
                "type": "waterfall",
                "x": x,
                "y": y,
                "measure": kinds,
                "name": "mJ per second of audio",
                "decreasing": {"marker": {"color": SAVED}},
                "increasing": {"marker": {"color": ADDED}},
                "totals": {"marker": {"color": "#8a8a8a"}},
            }
        ],
        layout={"yaxis": {"title": {"text": "mJ per second of audio"}, "rangemode": "tozero"}, "showlegend": False},
        height_px=420,
        wide=True,
    )


def _steps(compression: Compression) -> Table:
    rows = []
    for number, entry in enumerate(compression.recipe.done, start=1):
        numbers = entry.numbers
        rows.append(
            [
                Cell(text=str(number), sort=number),
                Cell(text=str(entry.step)),
                Cell(text="kept" if entry.kept else "not kept", warn=not entry.kept),
                _number(numbers.get("energy_mj_per_audio_s"), 1.0, ".4f"),
                _number(numbers.get("wer_increase"), 100.0, "+.2f"),
                _number(numbers.get("kl"), 1.0, ".1e"),
                _number(numbers.get("time_ratio"), 1.0, ".2f"),
                Cell(text=entry.reason),
            ]
        )
    header = ["no.", "step", "outcome", "mJ/s after it", "WER, points", "divergence", "time ratio", "why"]
    return Table(caption="Every step, kept or not", header=header, rows=rows, numeric=frozenset({3, 4, 5, 6}))


def _number(value: Any, factor: float, form: str) -> Cell:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return Cell(text="–")
    return Cell(text=format(value * factor, form), sort=value * factor)


def _sensitivity(compression: Compression) -> list[Block]:
    if not compression.sensitivities:
        return []
    rows = [
        [
            Cell(text=sensitivity.move.component),
            Cell(text=sensitivity.move.name),
            Cell(text=f"{sensitivity.saved_mj:.4f}", sort=sensitivity.saved_mj),
            Cell(text=f"{sensitivity.kl:.2e}", sort=sensitivity.kl),
            Cell(text=f"{sensitivity.ratio:.3g}", sort=sensitivity.ratio),
        ]
        for sensitivity in sorted(compression.sensitivities, key=lambda item: -item.ratio)
    ]
    header = ["component", "lever", "saves, mJ/s", "divergence, nat/frame", "mJ/s per nat"]
    return [
        Table(
            caption="After the lossless levers, one at a time", header=header, rows=rows, numeric=frozenset({2, 3, 4})
        )
    ]


def _method(compression: Compression) -> Words:
    fidelity = compression.fidelity
    places = ", ".join(f"{name} {value:.4f}" for name, value in compression.baselines_mj.items())
    lines = [
        f"{compression.original.DECODED_HOW} By placement of its weights it takes (mJ per second of audio): {places}. "
        "The comparison takes it with its best placement by component.",
        "Energy is the workload's bytes and operations times the device's constants, at the counts of the real decode.",
        f"On unlabelled speech of {fidelity['speakers']:.0f} speakers {100 * fidelity['words_changed']:.2f} % of the original's "
        f"{fidelity['words']:.0f} words come out otherwise, and {100 * fidelity['frames_changed']:.2f} % of the frames have "
        "another best token.",
        "A step that made modelled energy or measured time worse was taken back; the table says so.",
    ]
    return Words(lines=lines, as_list=True)
