"""A tuning as one page: the configuration and its proof, the front, the race stage by stage, every configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wattscribe.pages.axes import energy_axis, wer_axis
from wattscribe.pages.compress_page import front
from wattscribe.pages.page import Block, Cell, Figure, Section, Table, Words, render
from wattscribe.pages.traces import COLOURS, error_bars
from wattscribe.records import Interval
from wattscribe.results.tuned import Outcome, Proof, Standing, Tuned, cost_text, sentences
from wattscribe.results.words import MISSING, bytes_text, interval_text, number, percent_text, plural, sentence

GREY = "#8b9499"
MARKS: dict[Outcome, tuple[str, str, str]] = {
    "dropped": ("Dropped", GREY, "circle"),
    "refused": ("Refused by the proof", COLOURS[3], "x"),
    "finalist": ("In the last stage", COLOURS[2], "circle"),
    "chosen": ("Chosen", COLOURS[0], "star"),
}
"""Outcomes that have figures: as called, their colour and mark, in the order in which they are drawn."""


def html(tuned: Tuned) -> str:
    """The page as HTML."""
    sections = [
        Section(id="result", title="The configuration and its proof", blocks=_result(tuned)),
        Section(id="front", title="Cost against word errors", blocks=_front(tuned)),
        Section(id="race", title="Stage by stage", blocks=[_stages(tuned)]),
        Section(id="configurations", title="Every configuration", blocks=[_configurations(tuned)]),
        Section(id="method", title="How it was found", blocks=[_method(tuned)]),
    ]
    return render(
        f"Tuning {tuned.name}",
        sections,
        subtitle=f"{plural(tuned.configurations, 'configuration')}; minimised: {tuned.title}",
        tiles=_tiles(tuned),
    )


def _tiles(tuned: Tuned) -> list[tuple[str, str, str]]:
    share = MISSING if tuned.share is None else f"{100 * tuned.share:.0f} %"
    tiles = [(share, "of the audio", f"that all {tuned.configurations} configurations would take")]
    if (chosen := tuned.chosen) is None:
        return [("none", "holds the limits", ""), *tiles]
    return [
        (f"{number(chosen.cost)} {tuned.unit}", "per second of audio", interval_text(chosen.cost_ci95)),
        (f"{percent_text(chosen.wer)} %", "WER", interval_text(chosen.wer_ci95, 100)),
        (f"{number(chosen.latency_p90_s)} s", "nine answers of ten", ""),
        (bytes_text(chosen.peak_memory_bytes), "memory", ""),
        *tiles,
    ]


def _result(tuned: Tuned) -> list[Block]:
    good = tuned.chosen is not None and tuned.chosen.shown
    blocks: list[Block] = [Words(lines=sentences(tuned), as_list=True, tone="good" if good else "warn")]
    if tuned.proofs:
        header = ["configuration", "verdict", "WER, %", _axis(tuned), "latency, s", "memory", "limits"]
        rows = [[Cell(text=proof.label), *_proof_cells(proof)] for proof in tuned.proofs]
        caption = "On the speech that was held back, in the order in which they were tried"
        blocks.append(Table(caption=caption, header=header, rows=rows, numeric=frozenset({2, 3, 4, 5})))
    return blocks


def _proof_cells(proof: Proof) -> list[Cell]:
    verdict = "shown" if proof.shown else "as seen"
    return [
        Cell(text=f"holds, {verdict}" if proof.holds else "breaks a limit", warn=not proof.holds),
        _percent(proof.wer, proof.wer_ci95),
        Cell(text=number(proof.cost), sort=proof.cost, note=interval_text(proof.cost_ci95)),
        Cell(text=number(proof.latency_p90_s), sort=proof.latency_p90_s),
        Cell(text=bytes_text(proof.peak_memory_bytes), sort=proof.peak_memory_bytes),
        Cell(text="; ".join(check.text for check in proof.checks) or MISSING),
    ]


def _front(tuned: Tuned) -> list[Block]:
    """Every configuration that ran, at what was seen of it; the line joins those that were seen on all speech of the search."""
    shown = [each for each in tuned.standings if each.cost is not None and each.wer is not None]
    if not shown:
        return []
    traces: list[dict[str, Any]] = []
    for outcome, (name, colour, symbol) in MARKS.items():
        if mine := [each for each in shown if each.outcome == outcome]:
            traces.append(_points(tuned, mine, name, colour, symbol))
    whole = [each for each in shown if each.stages == max(one.stages for one in shown)]
    edge = front([(each.cost or 0.0, 100 * (each.wer or 0.0)) for each in whole])
    if len(edge) > 1:
        line = {"dash": "dot", "color": COLOURS[0], "shape": "hv"}
        traces.append(
            {"type": "scatter", "mode": "lines", "name": "Front", "x": [x for x, _ in edge], "y": [y for _, y in edge],
             "line": line, "hoverinfo": "skip"}
        )  # fmt: skip
    errors = [100 * (each.wer or 0.0) for each in shown]
    layout: dict[str, Any] = {
        "xaxis": {**energy_axis([each.cost or 0.0 for each in shown]), "title": {"text": _axis(tuned)}},
        "yaxis": wer_axis(errors),
        "hovermode": "closest",
    }
    limit = tuned.limits.max_wer
    if limit is not None:
        layout["shapes"] = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 100 * limit, "y1": 100 * limit,
             "line": {"color": COLOURS[3], "width": 1, "dash": "dash"}}
        ]  # fmt: skip
        layout["yaxis"] = wer_axis([*errors, 100 * limit])
    figure = Figure(
        id="tuning-front",
        title=f"{sentence(tuned.title)} against WER",
        description="One mark per configuration, at what the search saw of it: the earlier it was dropped, the less "
        "speech that was. Lower left is better. "
        + ("The dashed line is the limit of WER. " if limit is not None else "")
        + "The dotted line is the front of those that transcribed all speech of the search; lines on it are 95 % intervals.",
        traces=traces,
        layout=layout,
        height_px=460,
        wide=True,
    )
    return [figure]


def _points(tuned: Tuned, mine: Sequence[Standing], name: str, colour: str, symbol: str) -> dict[str, Any]:
    x, y = [each.cost for each in mine], [100 * (each.wer or 0.0) for each in mine]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": x,
        "y": y,
        "hovertext": [_hover(tuned, each) for each in mine],
        "hoverinfo": "text",
        "marker": {"color": colour, "symbol": symbol, "size": 14 if symbol == "star" else 8},
    }
    if name != MARKS["dropped"][0]:
        trace["error_x"] = error_bars(x, [each.cost_ci95 for each in mine])
        trace["error_y"] = error_bars(y, [_hundredfold(each.wer_ci95) for each in mine])
    return trace


def _hover(tuned: Tuned, each: Standing) -> str:
    lines = [
        each.label,
        f"WER {percent_text(each.wer)} % {interval_text(each.wer_ci95, 100)}",
        cost_text(tuned, each.cost, each.cost_ci95),
        f"{each.audio_s:.0f} s of speech, {each.outcome}",
    ]
    return "<br>".join(lines)


def _stages(tuned: Tuned) -> Table:
    rows = [
        [
            Cell(text=stage.name),
            Cell(text=str(stage.configurations), sort=stage.configurations),
            Cell(text=f"{stage.audio_s:.0f}", sort=stage.audio_s),
            Cell(text=f"{100 * stage.audio_s / tuned.exhaustive_audio_s:.1f}" if tuned.exhaustive_audio_s else MISSING),
        ]
        for stage in tuned.stages
    ]
    header = ["stage", "configurations", "audio transcribed, s", "% of all on all speech"]
    return Table(caption="What each stage took", header=header, rows=rows, numeric=frozenset({1, 2, 3}))


def _configurations(tuned: Tuned) -> Table:
    rows = [
        [
            Cell(text=each.label),
            Cell(
                text=each.outcome,
                sort=each.outcome,
                title=each.reason or "",
                warn=each.outcome in ("failed", "refused"),
            ),
            Cell(text=number(each.cost), sort=each.cost, note=interval_text(each.cost_ci95)),
            _percent(each.wer, each.wer_ci95),
            Cell(text=number(each.latency_p90_s), sort=each.latency_p90_s),
            Cell(text=bytes_text(each.peak_memory_bytes), sort=each.peak_memory_bytes),
            Cell(text=f"{each.audio_s:.0f}", sort=each.audio_s),
            Cell(text=MISSING if each.best is None else f"{100 * each.best:.1f}", sort=each.best),
            Cell(text=each.reason or MISSING),
        ]
        for each in tuned.standings
    ]
    header = ["configuration", "outcome", _axis(tuned), "WER, %", "latency, s", "memory", "speech, s", "best, %", "why"]
    return Table(
        caption="As the search saw them. Best: the chance to be the cheapest that holds the limits, when it was last judged. "
        "Latency: nine of ten answers come within it.",
        header=header,
        rows=rows,
        numeric=frozenset({2, 3, 4, 5, 6, 7}),
    )


def _method(tuned: Tuned) -> Words:
    widths = " → ".join(str(stage.configurations) for stage in tuned.stages if stage.name.startswith("stage"))
    lines = [
        f"A race over {widths} configurations, each stage on one part of the speech. After each, what every configuration would "
        "do on the parts that it has not transcribed is drawn from what the one did there that answered most like it, and in "
        "each draw the cheapest that holds the limits wins.",
        "A configuration that wins in fewer than 2 % of the draws gets no audio; one that may be the best and has transcribed "
        "all speech of the search is proven.",
        f"Costs changed by {100 * tuned.cost_noise:.1f} % from stage to stage beyond what the speech does to all; every draw "
        "has that error.",
        "The speech of the proof is of the same corpora, was transcribed by none before its proof, and says nothing of other "
        "speakers. Of several that hold the limits there the cheapest on all speech is taken.",
    ]
    return Words(lines=lines, as_list=True)


def _axis(tuned: Tuned) -> str:
    return f"{tuned.unit} per second of audio"


def _percent(value: float | None, interval: Interval | None) -> Cell:
    return Cell(text=percent_text(value), sort=value, note=interval_text(interval, 100))


def _hundredfold(interval: Interval | None) -> Interval | None:
    return None if interval is None else (100 * interval[0], 100 * interval[1])
