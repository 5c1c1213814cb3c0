"""Observed memory traffic, as a section of a profile's page."""

from __future__ import annotations

from wattscribe.energy.observed import Observed
from wattscribe.energy.profile import Profile
from wattscribe.pages.observed_table import counted, moved, parts, second
from wattscribe.pages.page import Block, Cell, Section, Table, Words

_MOVED = ("placed (modelled)", "as executed (modelled)", "simulated")
_KINDS = ("weights", "states", "activations", "runtime", "sum")


def sections(profile: Profile) -> list[Section]:
    """No section where nothing was observed or counted."""
    observed, counts = profile.observed, profile.counted
    blocks: list[Block] = (
        [] if observed is None else [_traffic(observed), _executed(observed), Words(lines=[second(observed)])]
    )
    if counts is not None:
        blocks.append(Words(lines=[counted(counts)]))
    if not blocks:
        return []
    lead = (
        ""
        if observed is None
        else f"{len(observed.calls)} calls of {observed.utterance} simulated by callgrind past a cache of "
        f"{observed.simulated_bytes:,} bytes, which stands for {observed.local_memory_bytes:,} of local memory."
    )
    return [Section(id="observed", title="Observed memory traffic", blocks=blocks, lead=lead)]


def _traffic(observed: Observed) -> Table:
    header = [
        "component",
        "calls/s",
        "rows per call",
        *(f"alone, {each}" for each in _MOVED),
        *(f"among the others, {each}" for each in _MOVED),
    ]
    return Table(
        caption="kB per call past the local memory",
        header=header,
        rows=[
            [Cell(text=each.name), _number(each.calls_per_s), _number(each.rows_per_call), *map(_kb, moved(each))]
            for each in observed.components
        ],
        numeric=frozenset(range(1, len(header))),
    )


def _executed(observed: Observed) -> Table:
    header = ["component", *(f"alone, {kind}" for kind in _KINDS), *(f"among the others, {kind}" for kind in _KINDS)]
    return Table(
        caption="What of it is weights: as executed, modelled, kB per call",
        header=header,
        rows=[
            [Cell(text=each.name), *map(_kb, (*parts(each.alone_executed), *parts(each.shared_executed)))]
            for each in observed.components
        ],
        numeric=frozenset(range(1, len(header))),
    )


def _kb(count: float | None) -> Cell:
    return Cell(text="–") if count is None else _number(count / 1e3)


def _number(value: float) -> Cell:
    return Cell(text=f"{value:.4g}", sort=value)
