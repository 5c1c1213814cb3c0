"""The profile as one self-contained page: shares, heat map of tensors, curves, placement, constants with their sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from wattscribe import whole_file
from wattscribe.energy.breakdown import Breakdown
from wattscribe.energy.breakdown import Figure as Modelled
from wattscribe.energy.curves import Point
from wattscribe.energy.devices import Constant
from wattscribe.energy.profile import Profile
from wattscribe.errors import InputError
from wattscribe.pages import observed_section, page
from wattscribe.pages.page import Block, Cell, Figure, Section, Table, Words, render
from wattscribe.pages.profile_table import local_memory

TENSORS_SHOWN = 40
NAME_CHARS = 34
"""After so many a tensor's name goes on in the next line: beside the map there is room for no more on a phone."""
_AXES = {
    "local_memory_bytes": ("Local memory", "local memory, MB", 1e-6),
    "segment_s": ("Segment length", "segment, s of audio per encoder invocation", 1.0),
    "beam": ("Beam", "live hypotheses", 1.0),
    "vocabulary": ("Vocabulary", "tokens", 1.0),
    "utterance_s": ("Length of an utterance, alone in its window", "s", 1.0),
    "tokens_per_s": ("Tokens per second of audio", "tokens/s", 1.0),
}


def write_page(profile: Profile, path: Path) -> None:
    """Write the page to `path`. Raises InputError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write_text(path, html(profile))
    except OSError as error:
        raise InputError(f"the page cannot be written: {error.strerror}", where=path) from error


def html(profile: Profile) -> str:
    """The page as HTML."""
    shown = profile.breakdown
    sections = [
        Section(id="summary", title="What it says", blocks=[Words(lines=profile.guidelines, as_list=True)]),
        Section(id="components", title="Components", blocks=[_shares(shown), _parts(shown), _components(shown)]),
        Section(id="placement", title="Local memory", blocks=_placement(profile), lead=f"{local_memory(shown, 6)}."),
        *observed_section.sections(profile),
        Section(id="tensors", title="Tensors", blocks=[_heat(shown)]),
        Section(id="choices", title="What a designer can choose", blocks=_curves(profile)),
        Section(id="order", title="Order of compression", blocks=[_sensitivity(profile), _order(profile)]),
        Section(id="inputs", title="Rates and constants", blocks=[_rates(shown), _constants(shown)]),
    ]
    return render(_title(shown), sections, subtitle=_subtitle(shown), tiles=_tiles(profile))


def fragment(profile: Profile) -> str:
    """For a notebook: the total, the components, and what follows from them."""
    shown = profile.breakdown
    blocks: list[Words | Table] = [_components(shown), Words(lines=profile.guidelines, as_list=True)]
    return page.fragment(_title(shown), blocks, subtitle=_subtitle(shown), tiles=_tiles(profile))


def _title(shown: Breakdown) -> str:
    return f"Energy profile of {shown.workload.name}"


def _subtitle(shown: Breakdown) -> str:
    return f"on {shown.device.title}; every figure is {shown.evidence}; 95 % intervals from the constants' ranges"


def _tiles(profile: Profile) -> list[tuple[str, str, str]]:
    shown = profile.breakdown
    total = 1e3 * shown.total_w.value
    tiles = [
        (f"{total:.3g}", "mW", _range(shown.total_w)),
        (f"{total:.3g}", "mJ per second of audio", f"rates {shown.rates.source}"),
        (f"{shown.busy:.3f}", "of real time busy", "memory and arithmetic one after the other"),
    ]
    if shown.per_word_j is not None:
        tiles.insert(2, (f"{1e3 * shown.per_word_j:.3g}", "mJ per word", ""))
    if profile.battery_hours is not None:
        tiles.append((f"{profile.battery_hours:.4g}", "hours", f"on {profile.battery_wh:g} Wh, the recognizer alone"))
    return tiles


def _range(figure: Modelled) -> str:
    return f"{1e3 * figure.ci95[0]:.3g} to {1e3 * figure.ci95[1]:.3g} mW"


def _shares(shown: Breakdown) -> Figure:
    names = [component.name for component in shown.components]
    size, total_w = max(1, shown.workload.size_bytes), shown.total_w.value or 1.0
    size_share = [100 * component.size_bytes / size for component in shown.components]
    power_share = [100 * component.total_w.value / total_w for component in shown.components]
    return Figure(
        id="shares",
        title="Share of size beside share of power",
        description="; ".join(
            f"{name}: {one:.0f} % of size, {other:.0f} % of power"
            for name, one, other in zip(names, size_share, power_share, strict=True)
        ),
        traces=[
            {"type": "bar", "name": "size", "x": names, "y": size_share},
            {"type": "bar", "name": "power", "x": names, "y": power_share},
        ],
        layout={"barmode": "group", "yaxis": {"title": {"text": "share, %"}, "rangemode": "tozero"}},
        height_px=360,
    )


def _parts(shown: Breakdown) -> Figure:
    """Stacked milliwatts: where each component's power goes."""
    names = [component.name for component in shown.components]
    tiers = [tier.name for tier in shown.device.tiers]
    traces: list[dict[str, Any]] = [
        _bar(f"weights from {tier}", names, [component.weight_reads_w[tier].value for component in shown.components])
        for tier in tiers
    ]
    traces.append(
        _bar("activations and states", names, [component.activations_w.value for component in shown.components])
    )
    traces.append(_bar("arithmetic", names, [component.arithmetic_w.value for component in shown.components]))
    traces.append(_bar("idle while busy", names, [component.idle_w.value for component in shown.components]))
    return Figure(
        id="parts",
        title="What each component's power is spent on",
        description="Stacked bars: weight reads by tier, activations and states, arithmetic, idle power while busy.",
        traces=traces,
        layout={"barmode": "stack", "yaxis": {"title": {"text": "mW"}, "rangemode": "tozero"}},
        height_px=380,
    )


def _bar(name: str, x: Sequence[str], watts: Iterable[float]) -> dict[str, Any]:
    return {"type": "bar", "name": name, "x": list(x), "y": [1e3 * value for value in watts]}


def _components(shown: Breakdown) -> Table:
    stored = {component.name: shown.workload.component(component.name).bytes_by_dtype for component in shown.components}
    dtypes = list(dict.fromkeys(dtype for sizes in stored.values() for dtype in sizes))
    rows = []
    for component in shown.components:
        counted = shown.workload.component(component.name)
        rows.append(
            [
                Cell(text=component.name),
                _number(component.size_bytes / 1e6),
                *(_number(stored[component.name].get(dtype, 0) / 1e6) for dtype in dtypes),
                _number(component.calls_per_s),
                _number(component.rows_per_s),
                *(_number(1e3 * watts) for watts in (component.total_w.value, *component.total_w.ci95)),
                _number(1e6 * component.per_call_j),
                _number(counted.total_macs / 1e6),
                _number(counted.activation_bytes / 1e3),
                _number(counted.state_bytes / 1e3),
            ]
        )
    header = [
        "component",
        "size, MB",
        *(f"in {dtype}, MB" for dtype in dtypes),
        "calls/s",
        "rows/s",
        "power, mW",
        "95 % from, mW",
        "95 % to, mW",
        "µJ per call",
        "M MAC per row",
        "activations, kB",
        "states, kB",
    ]
    return Table(
        caption="Per second of audio, and per invocation",
        header=header,
        rows=rows,
        numeric=frozenset(range(1, len(header))),
    )


def _number(value: float) -> Cell:
    return Cell(text=f"{value:.4g}", sort=value)


def _placement(profile: Profile) -> list[Block]:
    rows = [
        [
            _number(move.capacity_bytes / 1e6),
            Cell(text=_names(move.moved_in)),
            Cell(text=_names(move.moved_out)),
            _number(move.local_bytes / 1e6),
            _number(1e3 * move.saved_w),
        ]
        for move in profile.moves
    ]
    return [
        Table(
            caption="What moves as local memory grows",
            header=["capacity, MB", "moves in", "moves out", "weights inside, MB", "saves, mW"],
            rows=rows,
            numeric=frozenset({0, 3, 4}),
        )
    ]


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _heat(shown: Breakdown) -> Figure:
    """Tensor × tier, milliwatts of weight reads at the stated constants; the largest first."""
    tiers = list(shown.device.tiers)
    reads_mw = []
    for component in shown.workload.components:
        rate = shown.rates.components[component.name]
        for weight in component.weights:
            read = weight.call_bytes * rate.calls_per_s + weight.row_bytes * rate.rows_per_s
            local = shown.placement.is_local(component.name, weight.name)
            tier = tiers[0] if local else tiers[-1]
            reads_mw.append((1e3 * read * tier.read_j_per_byte, f"{component.name}/{weight.name}", tier.name))
    reads_mw.sort(reverse=True)
    top = reads_mw[:TENSORS_SHOWN][::-1]
    grid = [[milliwatts if tier.name == where else None for tier in tiers] for milliwatts, _, where in top]
    names = [_wrapped(name) for _, name, _ in top]
    lines = max((name.count("<br>") for name in names), default=0) + 1
    covered = sum(row[0] for row in top) / (sum(row[0] for row in reads_mw) or 1.0)
    return Figure(
        id="tensors-heat",
        title=f"Weight reads by tensor and tier ({len(top)} of {len(reads_mw)} tensors, {100 * covered:.0f} % of their power)",
        description="A heat map: one row per weight tensor, one column per memory tier, colour is milliwatts of reads.",
        traces=[
            {
                "type": "heatmap",
                "x": [tier.name for tier in tiers],
                "y": names,
                "z": grid,
                "colorscale": "YlOrRd",
                "reversescale": True,
                "colorbar": {"title": {"text": "mW"}},
                "hoverongaps": False,
            }
        ],
        layout={"yaxis": {"tickfont": {"size": 10}, "dtick": 1}},
        height_px=160 + (3 + 12 * lines) * len(top),
        wide=True,
    )


def _wrapped(name: str) -> str:
    """The whole name in lines of at most `NAME_CHARS`, broken behind a slash, a dot or an underscore where there is one."""
    lines, rest = [], name
    while len(rest) > NAME_CHARS:
        cut = max(rest.rfind(mark, 1, NAME_CHARS) for mark in "/._") + 1 or NAME_CHARS
        lines.append(rest[:cut])
        rest = rest[cut:]
    return "<br>".join([*lines, rest])


def _curves(profile: Profile) -> list[Block]:
    shown, blocks = profile.breakdown, list[Block]()
    current = {
        "local_memory_bytes": shown.device.local.capacity_bytes if len(shown.device.tiers) > 1 else None,
        "segment_s": shown.workload.segment_s,
        "beam": shown.rates.beam,
        "vocabulary": shown.workload.vocabulary,
        "utterance_s": None,
        "tokens_per_s": shown.rates.tokens_per_s,
    }
    for key, points in profile.curves.items():
        if points:
            blocks.append(_curve(key, points, current[key]))
    return blocks


def _curve(key: str, points: Sequence[Point], current: float | None) -> Figure:
    """Power against one choice, with a line where this profile stands."""
    title, axis, factor = _AXES[key]
    x = [point.x * factor for point in points]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": x,
            "y": [1e3 * point.power_w[name] for point in points],
            "stackgroup": "power",
        }
        for name in points[0].power_w
    ]
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": axis}},
        "yaxis": {"title": {"text": "mW"}, "rangemode": "tozero"},
    }
    here = ""
    if current is not None:
        x_now = current * factor
        here = f" Now: {x_now:.4g}."
        layout["shapes"] = [
            {
                "type": "line",
                "x0": x_now,
                "x1": x_now,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"dash": "dash", "width": 2, "color": "#888888"},
            }
        ]
        left = x_now > (x[0] + x[-1]) / 2  # the word stands where the figure has room
        layout["annotations"] = [
            {"x": x_now, "y": 1, "yref": "paper", "text": f"now: {x_now:.4g}", "showarrow": False,
             "xanchor": "right" if left else "left", "yanchor": "top"}
        ]  # fmt: skip
    return Figure(
        id=f"curve-{key.replace('_', '-')}",
        title=f"Power against {title.lower()}",
        description=f"Stacked areas: milliwatts of each component against {axis}.{here}",
        traces=traces,
        layout=layout,
        height_px=340,
    )


def _sensitivity(profile: Profile) -> Table:
    rows = []
    for sensitivity in profile.sensitivities.values():
        fits = (
            "now"
            if sensitivity.is_local
            else "never"
            if sensitivity.fits_at_bytes is None
            else f"{sensitivity.fits_at_bytes / 1e6:.2f} MB"
        )
        jump = Cell(text="–") if sensitivity.jump_mw is None else _number(sensitivity.jump_mw)
        rows.append([Cell(text=sensitivity.component), _number(sensitivity.mw_per_mb), Cell(text=fits), jump])
    return Table(
        caption="Power sensitivity",
        header=["component", "saves, mW per MB removed", "fits local memory at", "jump there, mW"],
        rows=rows,
        numeric=frozenset({1, 3}),
    )


def _order(profile: Profile) -> Table:
    rows = [
        [
            _number(index),
            Cell(text=step.component, note="comes to fit local memory" if step.fits else ""),
            _number(step.from_bytes / 1e6),
            _number(step.to_bytes / 1e6),
            _number(step.saved_mw),
            Cell(text="–") if step.wer_increase is None else _number(100 * step.wer_increase),
            _number(step.ratio),
        ]
        for index, step in enumerate(profile.steps, start=1)
    ]
    per = "mW per MB" if profile.laws is None else "mW per point of WER"
    return Table(
        caption="Each step is the best one after those before it",
        header=["step", "component", "from, MB", "to, MB", "saves, mW", "WER added, points", per],
        rows=rows,
        numeric=frozenset({2, 3, 4, 5, 6}),
    )


def _rates(shown: Breakdown) -> Words:
    return Words(
        lines=[
            f"Rates {shown.rates.note}.",
            *shown.workload.notes,
            *(part.source for part in shown.workload.components),
        ]
    )


def _constants(shown: Breakdown) -> Table:
    device = shown.device
    listed: list[tuple[str, Constant]] = [("idle", device.idle)]
    for tier in device.tiers:
        listed += [(f"{tier.name}: {key}", getattr(tier, key)) for key in ("capacity", "read", "bandwidth")]
    for dtype, cost in device.operations.items():
        listed += [(f"{dtype}: energy", cost.energy), (f"{dtype}: peak", cost.peak)]
    rows = [
        [
            Cell(text=name),
            *(_number(figure) for figure in (constant.value, constant.low, constant.high)),
            Cell(text=constant.unit),
            Cell(text=constant.source),
        ]
        for name, constant in listed
    ]
    return Table(
        caption=f"Constants of {device.name}",
        header=["constant", "value", "from", "to", "unit", "source"],
        rows=rows,
        numeric=frozenset({1, 2, 3}),
    )
