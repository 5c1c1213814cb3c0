"""Simulated memory traffic beside the modelled one, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from wattscribe.energy.observed import AsExecuted, ComponentTraffic, Counted, Observed

COLUMNS = (
    "calls/s", "rows", "weights", "states", "act.", "placed", "executed", "simulated", "placed", "executed", "simulated"
)  # fmt: skip
SPLIT = ("weights", "states", "act.", "runtime", "sum")


def said(observed: Observed) -> list[str]:
    """What was simulated, and how to read the table below it."""
    return [
        f"memory traffic, simulated by callgrind: {len(observed.calls)} calls of {observed.utterance} past a cache of "
        f"{observed.simulated_bytes:,} bytes for {observed.local_memory_bytes:,} of local memory; kB per call",
        "                      a call reads and writes      alone, past it                 among the others, past it",
    ]


def table(observed: Observed) -> Table:
    """By component: what a call moves in the model; past the local memory by itself; and among the others."""
    shown = _table(COLUMNS)
    for each in observed.components:
        shown.add_row(each.name, f"{each.calls_per_s:.2f}", f"{each.rows_per_call:.2f}", *map(_kb, _bytes(each)))
    return shown


def split_said() -> str:
    """Above `split`."""
    return "as executed, modelled        alone, past it                                among the others, past it"


def split(observed: Observed) -> Table:
    """What is as executed, by what it is: alone, and among the others."""
    shown = _table((*SPLIT, *SPLIT))
    for each in observed.components:
        shown.add_row(each.name, *map(_kb, (*parts(each.alone_executed), *parts(each.shared_executed))))
    return shown


def parts(executed: AsExecuted | None) -> tuple[float | None, ...]:
    """In the order of `SPLIT`."""
    if executed is None:
        return (None,) * len(SPLIT)
    return (
        executed.weight_bytes,
        executed.state_bytes,
        executed.activation_bytes,
        executed.runtime_bytes,
        executed.total_bytes,
    )


def _table(columns: Sequence[str]) -> Table:
    shown = Table(box=None)
    for column in ("component", *columns):
        shown.add_column(column, justify="left" if column == "component" else "right", no_wrap=True)
    return shown


def _bytes(each: ComponentTraffic) -> tuple[float | None, ...]:
    return (each.read.weight_bytes, each.read.state_bytes, each.read.activation_bytes, *moved(each))


def moved(each: ComponentTraffic) -> tuple[float | None, ...]:
    """Bytes past the local memory, alone and among the others, as the columns have them."""
    return (
        each.alone.total_bytes,
        each.alone_executed.total_bytes,
        each.alone_seen.total_bytes,
        each.placed.total_bytes,
        None if each.shared_executed is None else each.shared_executed.total_bytes,
        None if each.shared_seen is None else each.shared_seen.total_bytes,
    )


def _kb(count: float | None) -> str:
    return "–" if count is None else f"{count / 1e3:,.1f}"


def second(observed: Observed) -> str:
    """The same per second of audio."""
    placed = sum(each.placed.total_bytes * each.calls_per_s for each in observed.components)
    shared = sum(
        each.shared_seen.total_bytes * each.calls_per_s for each in observed.components if each.shared_seen is not None
    )
    executed, simulated = (", ".join(names) for names in observed.orders)
    order = executed + (
        ", as executed and as simulated" if executed == simulated else f" as executed, {simulated} as simulated"
    )
    return (
        f"per second of audio {placed / 1e6:.3g} MB pass a placed memory (modelled) and {shared / 1e6:.3g} MB a cache "
        f"(simulated); the calling program's {observed.interpreter_bytes / 1e3:.3g} kB per call are left out; "
        f"by bytes the order is {order}"
    )


def counted(counts: Counted) -> str:
    """What the machine's own counters say."""
    figures = (
        ("last-level misses", counts.last_level_miss_bytes_per_s, 1e6, "MB"),
        ("memory read", counts.memory_read_bytes_per_s, 1e6, "MB"),
        ("memory written", counts.memory_written_bytes_per_s, 1e6, "MB"),
        ("DRAM", counts.dram_w, 1e-3, "mJ"),
    )
    said = [f"{what} {value / scale:.3g} {unit}" for what, value, scale, unit in figures if value is not None]
    absent = f"; not counted by this machine: {', '.join(counts.missing)}" if counts.missing else ""
    return f"counted by this machine (measured), per second of audio: {', '.join(said)}{absent}"
