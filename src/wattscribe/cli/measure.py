"""`wattscribe measure -- COMMAND …`: joules of any program, by the same sensors and the same arithmetic as `bench`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

from wattscribe.cli.output import Json, Quiet, document
from wattscribe.errors import InputError
from wattscribe.records import Evidence, Interval
from wattscribe.runs.measuring import ChannelReading
from wattscribe.terminal import say, visible

if TYPE_CHECKING:
    from wattscribe.runs.measuring import Measurement

app = cyclopts.App(name="wattscribe measure", help="Joules, watts and idle of any command. Its exit status is ours.")

SCHEMA = 1
"""Of `--json`; documented in docs/measure.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a command took. None: not known."""

    command: Sequence[str]
    exit_status: int
    duration_s: float
    cpu_s: float
    energy_j: float | None
    energy_ci95_j: Interval | None
    power_w: float | None
    power_ci95_w: Interval | None
    idle_power_w: float | None
    net_energy_j: float | None
    net_energy_ci95_j: Interval | None
    evidence: Evidence
    covers: str | None
    channel: str | None
    samples: int
    update_interval_s: float | None
    seen_share: float | None
    reason: str | None
    modelled_cpu_energy_j: float | None
    modelled_cpu_energy_range_j: Interval | None
    channels: Sequence[ChannelReading]


@app.default
def measure(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    idle: float = 2.0,
    device: str = "cpu",
    meter: Annotated[list[str] | None, Parameter(negative=(), consume_multiple=False)] = None,
    sample_rate: float = 20.0,
    out: Annotated[Path | None, Parameter(["--out", "-o"])] = None,
    root: Path = Path("/"),
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Run COMMAND and say on standard error what it took.

    Parameters
    ----------
    command
        The program and its arguments, behind `--`.
    idle
        Seconds of doing nothing before the command starts, for what it took above idle. 0: not measured.
    device
        Which sensor stands for the command: cpu, cuda or cuda:N.
    meter
        Also a command that prints watts or joules, cmd:COMMAND; or whole:METER.CHANNEL, which stands for the whole device.
    sample_rate
        Reads of the sensors per second.
    out
        Write it to this file instead of standard error.
    root
        Read another board's sensor files, which lie below this directory.
    """
    import wattscribe
    from wattscribe.runs import commanded

    if (refused := commanded.findable(command)) is not None:
        why = "cannot be run" if refused == commanded.NOT_RUNNABLE else "there is no such program"
        say(f"wattscribe measure: {command[0]}: {why}")
        return refused
    measurement = wattscribe.measure(
        idle_s=idle, device=device, meters=meter or (), sample_rate_hz=sample_rate, root=root
    )
    status = commanded.run(command, measurement)
    lines = _lines(measurement, notes=not quiet)
    text = document(SCHEMA, _facts(command, status, measurement)) if json_output else "\n".join(lines)
    if out is None:
        for line in text.splitlines():
            say(line)
        return status
    try:
        out.write_text(f"{visible(text)}\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"the figures cannot be written: {error.strerror}; {text}", where=out) from error
    return status


def _lines(m: Measurement, *, notes: bool) -> list[str]:
    block = m.block
    if m.energy_j is None or m.power_w is None:
        why = (
            m.reason if block.traces else "no sensor can be read here; wattscribe meters says why, and what would help"
        )
        first = f"energy unavailable over {m.duration_s:.4g} s: {why}"
    else:
        first = (
            f"{m.energy_j:.4g} J{_interval(m.energy_ci95_j, 'J')} in {m.duration_s:.4g} s: "
            f"{m.power_w:.4g} W{_interval(m.power_ci95_w, 'W')}, {m.evidence}"
        )
    lines = [first]
    if m.net_energy_j is not None and m.idle_power_w is not None:
        lines.append(
            f"above idle: {m.net_energy_j:.4g} J{_interval(m.net_energy_ci95_j, 'J')}; idle {m.idle_power_w:.4g} W"
        )
    if m.energy_j is not None:
        update_s = block.chosen.update_interval_s
        every = "" if update_s is None else f", one update every {update_s:.3g} s"
        seen = "" if block.seen_share is None else f", {100 * block.seen_share:.4g} % of the time seen"
        lines.append(f"covers: {m.covers} ({block.channel}); {block.chosen.samples} samples{every}{seen}")
        lines += [f"note: {m.reason}"] if m.reason and notes else []
    modelled = (
        "" if m.cpu_energy_j is None else f"; modelled {m.cpu_energy_j:.4g} J{_interval(m.cpu_energy_ci95_j, 'J')}"
    )
    return [*lines, f"CPU: {m.cpu_s:.4g} s{modelled}"]


def _interval(interval: Interval | None, unit: str) -> str:
    return "" if interval is None else f" ({interval[0]:.4g} to {interval[1]:.4g} {unit})"


def _facts(command: tuple[str, ...], status: int, m: Measurement) -> Measured:
    block = m.block
    return Measured(
        command=command,
        exit_status=status,
        duration_s=m.duration_s,
        cpu_s=m.cpu_s,
        energy_j=m.energy_j,
        energy_ci95_j=m.energy_ci95_j,
        power_w=m.power_w,
        power_ci95_w=m.power_ci95_w,
        idle_power_w=m.idle_power_w,
        net_energy_j=m.net_energy_j,
        net_energy_ci95_j=m.net_energy_ci95_j,
        evidence=m.evidence,
        covers=m.covers,
        channel=block.channel,
        samples=block.chosen.samples,
        update_interval_s=block.chosen.update_interval_s,
        seen_share=block.seen_share,
        reason=m.reason,
        modelled_cpu_energy_j=m.cpu_energy_j,
        modelled_cpu_energy_range_j=m.cpu_energy_ci95_j,
        channels=m.channels,
    )
