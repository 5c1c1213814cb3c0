"""A compression as one self-contained page: what was saved, what it cost in words, every recipe tried, what each step did."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from wattscribe.compression.outcome import LATENCIES, VERDICTS, judged
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


def html(found: Compression) -> str:
    """The page as HTML."""
    sections = [
        Section(id="result", title="What it saves and what it costs", blocks=_result(found)),
        Section(id="recipes", title="Energy against word errors", blocks=_recipes(found)),
        Section(id="steps", title="Step by step", blocks=[_waterfall(found), _steps(found)]),
        Section(id="sensitivity", title="What each lever does by itself", blocks=_sensitivity(found)),
        Section(id="method", title="How it was measured", blocks=[_method(found)]),
    ]
    return render(
        f"Compression of {found.recipe.model}",
        sections,
        subtitle=f"for {found.recipe.device}, strategy {found.recipe.strategy}; energy is {found.evidence}",
        tiles=_tiles(found),
    )


def _tiles(found: Compression) -> list[tuple[str, str, str]]:
    dev = found.dev
    low, high = dev.wer_increase_ci95
    saved = 100 * (1 - dev.after.rtf_cpu / dev.before.rtf_cpu) if dev.before.rtf_cpu else 0.0
    return [
        (f"{-100 * dev.energy_reduction:+.1f} %".replace("-", "−"), "energy",
         f"{dev.before.energy_mj_per_audio_s:.3g} → {dev.after.energy_mj_per_audio_s:.3g} mJ per second of audio"),
        (f"{100 * dev.wer_increase:+.2f}", "points of WER", f"95 %: {100 * low:+.2f} to {100 * high:+.2f}"),
        (f"{-saved:+.0f} %", "time", f"RTF {dev.before.rtf_cpu:.4f} → {dev.after.rtf_cpu:.4f}, processor time"),
        (f"{dev.after.size_bytes / 1e6:.2f} MB", "on disk", f"before {dev.before.size_bytes / 1e6:.2f} MB"),
    ]  # fmt: skip


def _result(found: Compression) -> list[Block]:
    sets = [each for each in (found.dev, found.test) if each is not None]
    columns = [(f"{each.on}: {when}", side) for each in sets
               for when, side in (("before", each.before), ("after", each.after))]  # fmt: skip
    if found.longer is not None:
        columns.insert(2, (f"{found.dev.on}: after, longer calls", found.longer.dev.after))
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
    said = [_verdict(each) for each in sets]
    if found.longer is not None:
        said.append("With longer calls: " + judged(found.longer.dev, found.evidence) + ".")
    words = Words(lines=said, as_list=True, tone="good" if all(each.non_inferior for each in sets) else "warn")
    notes: list[Block] = [Words(lines=list(found.notes), as_list=True, tone="warn")] if found.notes else []
    return [words, table, *_corpora(sets), *notes]


def _corpora(sets: Sequence[Acceptance]) -> list[Block]:
    """Each corpus that is held to a limit by itself; a limit that is broken is marked."""
    rows = [
        [
            Cell(text=f"{each.on}: {part.on}" if len(sets) > 1 else part.on),
            Cell(text=str(part.words), sort=part.words),
            Cell(text=f"{100 * part.wer_before:.2f} → {100 * part.wer_after:.2f}", sort=part.wer_after),
            _number(part.wer_increase, 100.0, "+.2f"),
            _number(part.wer_increase_upper95, 100.0, "+.2f"),
            Cell(text=f"{100 * part.limit:g}", sort=part.limit, warn=part.wer_increase > part.limit),
            Cell(text=VERDICTS[part.non_inferior]),
        ]
        for each in sets
        for part in each.parts
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


def _verdict(each: Acceptance) -> str:
    low, high = each.wer_increase_ci95
    proven = "is non-inferior" if each.non_inferior else "is not proven to be non-inferior"
    if each.non_inferior is None:
        return f"{each.on}: cannot be judged: {each.cannot_show}. WER {100 * each.wer_increase:+.2f} points."
    return (
        f"{each.on}: the result {proven} within {100 * each.limit:g} points: WER {100 * each.wer_increase:+.2f} points, "
        f"95 % from {100 * low:+.2f} to {100 * high:+.2f}, one-sided bound {100 * each.wer_increase_upper95:+.2f} "
        f"({each.method}); {each.identical_texts} of {each.utterances} texts are identical."
    )


# --- recipes -----------------------------------------------------------------------------------------------------------
def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both, by energy."""
    found: list[tuple[float, float]] = []
    for energy, wer in sorted(points):
        if not found or wer < found[-1][1]:
            found.append((energy, wer))
    return found


def _recipes(found: Compression) -> list[Block]:
    everything = [*found.tried, *found.beside]
    measured = [each for each in everything if each.wer is not None]
    blocks: list[Block] = []
    if measured:
        blocks.append(_against(found, measured, "wer", 100.0, "WER, %", "energy-wer"))
    near = [each for each in everything if each.kl is not None]
    if near:
        blocks.append(_against(found, near, "kl", 1.0, "divergence from the original, nat per frame", "energy-kl"))
    return blocks


def _against(found: Compression, tried: Sequence[Tried], key: str, factor: float, axis: str, identity: str) -> Figure:
    traces: list[dict[str, Any]] = []
    for strategy, colour in zip(dict.fromkeys(each.strategy for each in tried), cycle(COLOURS), strict=False):
        mine = [each for each in tried if each.strategy == strategy]
        x = [each.energy_mj for each in mine]
        y = [factor * float(getattr(each, key)) for each in mine]
        names = ["<br>".join(str(step) for step in each.steps[-3:]) for each in mine]
        traces.append({"type": "scatter", "mode": "markers", "name": strategy, "x": x, "y": y, "text": names,
                       "marker": {"color": colour}})  # fmt: skip
        edge = front(list(zip(x, y, strict=True)))
        if len(edge) > 1:
            traces.append(
                {"type": "scatter", "mode": "lines", "name": f"{strategy}: Pareto front", "x": [e for e, _ in edge],
                 "y": [w for _, w in edge], "line": {"dash": "dot", "color": colour}}
            )  # fmt: skip
    marks = [("original", found.dev.before, 0.0), ("result", found.dev.after, _divergence(found))]
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


def _divergence(found: Compression) -> float | None:
    """Of the result from the original, as its last kept step was measured; None where no lossy step was kept."""
    values = [done.numbers.get("kl") for done in found.recipe.done if done.kept]
    measured = [value for value in values if isinstance(value, float)]
    return measured[-1] if measured else None


# --- steps -------------------------------------------------------------------------------------------------------------
def _waterfall(found: Compression) -> Figure:
    """Energy from the original to the result, modelled at the original's counts; steps that change nothing are left out."""
    (start, before), *course = found.course
    x, y, kinds = [start], [before], ["absolute"]
    for name, energy in course:
        if abs(energy - before) > UNSEEN * found.course[0][1]:
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


def _steps(found: Compression) -> Table:
    rows = []
    for number, each in enumerate(found.recipe.done, start=1):
        numbers = each.numbers
        rows.append(
            [
                Cell(text=str(number), sort=number),
                Cell(text=str(each.step)),
                Cell(text="kept" if each.kept else "not kept", warn=not each.kept),
                _number(numbers.get("energy_mj_per_audio_s"), 1.0, ".4f"),
                _number(numbers.get("wer_increase"), 100.0, "+.2f"),
                _number(numbers.get("kl"), 1.0, ".1e"),
                _number(numbers.get("time_ratio"), 1.0, ".2f"),
                Cell(text=each.reason),
            ]
        )
    header = ["no.", "step", "outcome", "mJ/s after it", "WER, points", "divergence", "time ratio", "why"]
    return Table(caption="Every step, kept or not", header=header, rows=rows, numeric=frozenset({3, 4, 5, 6}))


def _number(value: Any, factor: float, form: str) -> Cell:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return Cell(text="–")
    return Cell(text=format(value * factor, form), sort=value * factor)


def _sensitivity(found: Compression) -> list[Block]:
    if not found.sensitivities:
        return []
    rows = [
        [
            Cell(text=each.move.component),
            Cell(text=each.move.name),
            Cell(text=f"{each.saved_mj:.4f}", sort=each.saved_mj),
            Cell(text=f"{each.kl:.2e}", sort=each.kl),
            Cell(text=f"{each.ratio:.3g}", sort=each.ratio),
        ]
        for each in sorted(found.sensitivities, key=lambda each: -each.ratio)
    ]
    header = ["component", "lever", "saves, mJ/s", "divergence, nat/frame", "mJ/s per nat"]
    return [
        Table(
            caption="After the lossless levers, one at a time", header=header, rows=rows, numeric=frozenset({2, 3, 4})
        )
    ]


def _method(found: Compression) -> Words:
    heard = found.fidelity
    places = ", ".join(f"{name} {value:.4f}" for name, value in found.baselines_mj.items())
    told = [
        f"{found.original.TOLD} By placement of its weights it takes (mJ per second of audio): {places}. "
        "The comparison takes it with its best placement by component.",
        "Energy is the workload's bytes and operations times the device's constants, at the counts of the real decode.",
        f"On unlabelled speech of {heard['speakers']:.0f} speakers {100 * heard['words_changed']:.2f} % of the original's "
        f"{heard['words']:.0f} words come out otherwise, and {100 * heard['frames_changed']:.2f} % of the frames have "
        "another best token.",
        "A step that made modelled energy or measured time worse was taken back; the table says so.",
    ]
    return Words(lines=told, as_list=True)
