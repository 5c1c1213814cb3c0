"""A profile as tables for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wattscribe import terminal
from wattscribe.energy.breakdown import Breakdown, Figure
from wattscribe.energy.profile import Profile
from wattscribe.pages import observed_table

WIDTH = 150


def print_profile(profile: Profile, console: Console | None = None) -> None:
    """Component table, totals, rates, placement, order and guidelines."""
    console = console or terminal.console(columns=WIDTH)
    shown = profile.breakdown
    console.print(
        f"[bold]{escape(shown.workload.name)}[/bold] on [bold]{escape(shown.device.title)}[/bold]: "
        f"{shown.workload.size_bytes / 1e6:.2f} MB of weights, every figure {shown.evidence}, ranges are 95 % of the "
        f"constants' ranges"
    )
    console.print(f"rates {escape(shown.rates.note)}" + (f"; {shown.rates.decoding}" if shown.rates.decoding else ""))
    console.print(_components(profile))
    console.print(_totals(profile))
    console.print(escape(local_memory(shown, 4)))
    console.print(_sensitivities(profile))
    if profile.observed is not None:
        for line in observed_table.said(profile.observed):
            console.print(escape(line))
        console.print(observed_table.table(profile.observed))
        console.print(observed_table.split_said())
        console.print(observed_table.split(profile.observed))
        console.print(escape(observed_table.second(profile.observed)))
    if profile.counted is not None:
        console.print(escape(observed_table.counted(profile.counted)))
    console.print(f"compress in this order: {', '.join(profile.order)}")
    for sentence in profile.guidelines:
        console.print(f"- {escape(sentence)}")
    for note in shown.workload.notes:
        console.print(f"note: {escape(note)}")


def local_memory(shown: Breakdown, names: int) -> str:
    """What local memory holds, and how much of the states and activations had to stay outside."""
    placed = shown.placement
    more = f" and {len(placed.local) - names} more" if len(placed.local) > names else ""
    inside = ", ".join(placed.local[:names]) + more
    sentence = (
        f"{placed.local_bytes / 1e6:.3g} of {placed.capacity_bytes / 1e6:.3g} MB of local memory hold weights "
        f"({inside or 'none'}), {placed.reserved_bytes / 1e6:.3g} MB states and activations"
    )
    activations, states = placed.local_shares()
    if min(activations, states) == 1:
        return sentence
    return (
        f"{sentence}: {100 * activations:.0f} % of the activations' traffic and {100 * states:.0f} % of the states', the rest "
        f"goes to {shown.device.main.name}"
    )


def _components(profile: Profile) -> Table:
    table = Table(box=None)
    names = ("component", "size MB", "size %", "calls/s", "rows/s", "power mW", "95 %", "power %", "reads mW")
    for column in (*names, "act. mW", "arith. mW", "idle mW", "µJ/call"):
        table.add_column(column, justify="left" if column == "component" else "right", no_wrap=True)
    total_w, size = profile.breakdown.total_w.value, profile.breakdown.workload.size_bytes
    for component in profile.breakdown.components:
        reads = " + ".join(
            f"{1e3 * part.value:.3g} {tier}" for tier, part in component.weight_reads_w.items() if part.value
        )
        table.add_row(
            component.name,
            f"{component.size_bytes / 1e6:.2f}",
            f"{100 * component.size_bytes / max(size, 1):.0f}",
            f"{component.calls_per_s:.2f}",
            f"{component.rows_per_s:.2f}",
            f"{1e3 * component.total_w.value:.3g}",
            _range(component.total_w),
            f"{100 * component.total_w.value / total_w if total_w else 0:.0f}",
            reads or "0",
            f"{1e3 * component.activations_w.value:.3g}",
            f"{1e3 * component.arithmetic_w.value:.3g}",
            f"{1e3 * component.idle_w.value:.3g}",
            f"{1e6 * component.per_call_j:.3g}",
        )
    return table


def _range(figure: Figure) -> str:
    return f"{1e3 * figure.ci95[0]:.3g} to {1e3 * figure.ci95[1]:.3g}"


def _totals(profile: Profile) -> str:
    shown = profile.breakdown
    word = "" if shown.per_word_j is None else f", {1e3 * shown.per_word_j:.3g} mJ per word"
    battery = "" if profile.battery_hours is None else f", {profile.battery_hours:.4g} h on {profile.battery_wh:g} Wh"
    return (
        f"total {1e3 * shown.total_w.value:.4g} mW (95 %: {_range(shown.total_w)}) = "
        f"{1e3 * shown.total_w.value:.4g} mJ per second of audio{word}{battery}; busy {shown.busy:.3f} of real time"
    )


def _sensitivities(profile: Profile) -> Table:
    table = Table("component", "saves mW per MB removed", "fits local memory at", "jump there", box=None)
    for sensitivity in profile.sensitivities.values():
        fits = (
            "now"
            if sensitivity.is_local
            else "never"
            if sensitivity.fits_at_bytes is None
            else f"{sensitivity.fits_at_bytes / 1e6:.2f} MB"
        )
        jump = "–" if sensitivity.jump_mw is None else f"{sensitivity.jump_mw:.3g} mW"
        table.add_row(sensitivity.component, f"{sensitivity.mw_per_mb:.3g}", fits, jump)
    return table
