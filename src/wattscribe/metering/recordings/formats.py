"""The meters whose files are known: by which names their header is recognised, and what their columns hold.

Each entry says where its format was read: a vendor's or a project's public source. A new meter is one more entry.
Names are compared case-folded; patterns match whole names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from wattscribe.metering.recordings.layout import Layout

Meaning = Literal["instant", "mean before", "holds after"]
"""Of a value at its stamp: the power then; the mean since the stamp before; what holds until the next stamp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    meter: str
    has: tuple[str, ...]
    """Patterns that must each match one name of the header."""
    exact: bool = False
    """No other columns."""
    begins: str = ""
    """What the header's line must begin with."""
    time: str
    power: tuple[str, ...] = ()
    """Patterns, the best first; the first that is there is the power. Else voltage and current of the same place below."""
    pairs: tuple[tuple[str, str], ...] = ()
    """(voltage, current) patterns, the best first; where only the current is there, a voltage has to be given."""
    energy: str | None = None
    """Wh since the last line's stamp: mean power is taken from it."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Where the header is silent or wrong."""
    meaning: Meaning = "instant"
    channel: str | None = None
    """A column that tells several devices in one file apart."""
    adds_up: bool = False
    """Whether those devices are apart, so that their powers may be added."""
    note: str | None = None
    """What the figures' reader should know."""
    remarks: str | None = None
    """Lines among the data that are none, by their beginning: marks, events."""


FORMATS: tuple[Format, ...] = (
    # pyjoulescope_ui (main window, "record statistics"); pyjoulescope_examples bin/downsample_logging.py writes the same columns.
    Format(
        meter="Joulescope statistics",
        has=("time", "current", "voltage", "power", "charge", "energy"),
        exact=True,
        time="time",
        power=("power",),
        units={"time": "s", "power": "W"},
        meaning="mean before",
    ),
    # pyjoulescope_ui, range tool "export", CSV: '#time (s),current (A),voltage (V)'.
    Format(
        meter="Joulescope samples",
        has=(r"time \(s\)", r"current \(a\)", r"voltage \(v\)"),
        exact=True,
        begins="#",
        time=r"time \(s\)",
        pairs=((r"voltage \(v\)", r"current \(a\)"),),
    ),
    # msoon/PyMonsoon Monsoon/sampleEngine.py: time.time() differences under "Time(ms)", one per USB packet.
    Format(
        meter="Monsoon (Python library)",
        has=(r"time\((?:ms|s)\)", r"(?:main|usb|aux)\(ma\)"),
        time=r"time\((?:ms|s)\)",
        pairs=((r"main voltage\(v\)", r"main\(ma\)"), (r"usb voltage\(v\)", r"usb\(ma\)"), ("-", r"aux\(ma\)")),
        units={"time": "s"},
        note="this library writes seconds, whatever the header says; else say `units` time=ms",
    ),
    # Monsoon PowerTool, "export CSV"; as read by many public scripts.
    Format(
        meter="Monsoon (PowerTool)",
        has=(r"time ?\(m?s\)", r"(?:main|usb|aux) avg (?:current|power) ?\(.*\)"),
        time=r"time ?\(m?s\)",
        power=(r"main avg power ?\(.*\)", r"usb avg power ?\(.*\)"),
        pairs=(
            (r"main avg voltage ?\(.*\)", r"main avg current ?\(.*\)"),
            (r"usb avg voltage ?\(.*\)", r"usb avg current ?\(.*\)"),
        ),
    ),
    # Otii desktop application, "export CSV": one file per channel, 'Main current - Arc.csv' and the like; SI units.
    Format(meter="Otii", has=("timestamp", "value"), exact=True, time="timestamp", units={"time": "s"}),
    # nlesc-recruit/PowerSensor3 host/src/PowerSensor.cc, dump(); 'M x' lines are marks.
    Format(
        meter="PowerSensor3",
        has=("time", "dt_micro", "device_timestamp"),
        time="time",
        power=("power_total", r"power\d+"),
        units={"time": "s", "power": "W"},
        remarks=r"M\b",
    ),
    # baryluk/fnirsi-usb-power-data-logger fnirsi_logger.py.
    Format(
        meter="FNIRSI (fnirsi_logger)",
        has=("timestamp", "sample_in_packet", "voltage_v", "current_a"),
        time="timestamp",
        pairs=(("voltage_v", "current_a"),),
        units={"time": "s"},
    ),
    # valletw/pyummeter pyummeter/export_csv.py. "Record duration" stands still unless the meter itself records.
    Format(
        meter="UM24C/UM25C/UM34C (pyummeter)",
        has=("date", r"voltage \(v\)", r"intensity \(a\)", r"power \(w\)"),
        time="date",
        power=(r"power \(w\)",),
    ),
    # kolinger/rd-usb utils/formatting.py, export_fields.
    Format(
        meter="UM24C/UM25C/UM34C/TC66C (rd-usb)",
        has=("time", r"voltage \(v\)", r"current \(a\)", r"power \(w\)", r"accumulated power \(mwh\)"),
        time="time",
        power=(r"power \(w\)",),
    ),
    # NordicSemiconductor/pc-nrfconnect-ppk, "Export CSV": 'Timestamp(ms),Current(uA)', then D0-D7 or D0,D1,…; no voltage.
    Format(
        meter="Nordic PPK2 (Power Profiler)",
        has=(r"timestamp\(ms\)", r"current\(.?a\)"),
        time=r"timestamp\(ms\)",
        pairs=(("-", r"current\(.?a\)"),),
    ),
    # nvidia-smi --query-gpu=timestamp,power.draw --format=csv. power.draw is a mean over a second on most GPUs since Ampere.
    Format(
        meter="nvidia-smi",
        has=("timestamp", r"power\.draw(?:\.instant|\.average)?(?: \[w\])?"),
        time="timestamp",
        power=tuple(rf"power\.draw{kind}(?: \[w\])?" for kind in (r"\.instant", "", r"\.average")),
        units={"power": "W"},
        channel=r"index|gpu_index|uuid|gpu_uuid|gpu_bus_id|pci\.bus_id|serial|gpu_serial",
        adds_up=True,
    ),
    # Home Assistant, History, "download data": a line where a state changed. Shelly plugs come this way too.
    Format(
        meter="Home Assistant history",
        has=("entity_id", "state", "last_changed"),
        time="last_changed",
        power=("state",),
        meaning="holds after",
        channel="entity_id",
    ),
    # Shelly EM and 3EM, http://DEVICE/emeter/0/em_data.csv: energy per line, stamped where its stretch begins.
    Format(
        meter="Shelly EM (em_data.csv)",
        has=("date/time utc", r"active energy wh.*"),
        time="date/time utc",
        energy=r"active energy wh.*",
        units={"energy": "Wh"},
        meaning="holds after",
    ),
)

# mlcommons/power-dev ptd_client_server/lib/tests: 'Time,01-22-2021 15:05:14.313,Watts,22.97,Volts,…'; notices between them.
PTDAEMON = Format(
    meter="SPEC PTDaemon (spl.txt)",
    has=("watts",),
    time="time",
    power=("watts",),
    units={"power": "W"},
    remarks=r"(?!Time,[^,]*,Watts,)",
)


def recognise(layout: Layout) -> Format | None:
    """The meter that writes such a header."""
    if layout.ptdaemon:
        return PTDAEMON
    if not layout.named:
        return None
    names = [name.casefold() for name in layout.header]
    return next((known for known in FORMATS if _fits(known, names, layout.raw_header)), None)


def find(pattern: str, header: Sequence[str]) -> int | None:
    """The first column whose name matches as a whole."""
    return next((i for i, name in enumerate(header) if re.fullmatch(pattern, name.casefold())), None)


def _fits(known: Format, names: Sequence[str], line: str) -> bool:
    filled = [name for name in names if name]
    return (
        all(find(pattern, names) is not None for pattern in known.has)
        and not (known.exact and len(filled) != len(known.has))
        and line.lstrip().startswith(known.begins)
    )
