"""What sampling costs: CPU time of the sampler's thread against the clock, on a tree like a Jetson's sysfs.

Limit: 1 % of one core at 20 Hz, for machines with all of their meters and for every kind of meter at once, which no machine has.
`register_reads_per_s` counts pread calls; on a real board each also waits about 0.5 ms for the I2C bus, asleep, which
costs no CPU time to speak of.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wattscribe.metering import Meter, Sampler, open_meters
from wattscribe.metering.files import SensorFiles
from wattscribe.testing import FakeGpu, FakeNvml, hwmon_trees, sensor_trees
from wattscribe.testing.apple import FakeApple
from wattscribe.testing.recorded import PMIC_OUTPUT

LIMIT_SHARE = 0.01
SECONDS = 10.0
BOARDS = {"orin_nano": 6, "agx_orin": 8, "xeon": 4}
"""Board → files read per sample."""


WORKSTATION = "workstation"
"""All that such a machine has: RAPL, three GPUs by hwmon and one by NVML, and a plug that is followed."""
ALL = "every meter"
COMMANDS = ("cmd:part name=running -- while :; do echo 5.25 W; sleep 0.2; done", "cmd:part name=polled -- echo 7 W")
"""One that prints five lines a second and is followed, one that is started anew each second; their own CPU time is theirs."""


def _as_kernels(root: Path) -> SensorFiles:
    """Read as /sys is, where an open file that is gone says so; of a tree that tests take apart, each read asks for that too."""
    files = SensorFiles(root)
    files.is_copy = False
    return files


def _meters(board: str, root: Path) -> Sequence[Meter]:
    """A machine's; or one of every kind at once, which no machine has."""
    if board == WORKSTATION:
        hwmon_trees.gpu_desktop(root)
        tree = sensor_trees.xeon(root)
        return open_meters(
            host=replace(tree.host(), files=_as_kernels(root), nvml=FakeNvml([FakeGpu()])), stated=COMMANDS[:1]
        )
    if board != ALL:
        return open_meters(host=replace(sensor_trees.BOARDS[board](root).host(), files=_as_kernels(root)))
    tree = sensor_trees.thor(root)
    hwmon_trees.gpu_desktop(root)
    hwmon_trees.chip(tree, 20, "ina226", "1-0041", curr1_input=250, in1_input=12_050, power1_input=3_012_500)
    hwmon_trees.chip(tree, 21, "powerz", "1-1.2:1.0", curr1_input=1_000, in0_input=5_090)
    sensor_trees.rapl_zone(tree, "intel-rapl:0", "package-0")
    sensor_trees.rapl_zone(tree, "intel-rapl:0:0", "dram")
    sensor_trees.discharging(tree)
    tree.commands.answers["vcgencmd pmic_read_adc"] = PMIC_OUTPUT
    host = replace(tree.host(), files=_as_kernels(root), nvml=FakeNvml([FakeGpu()]), apple=FakeApple())
    return open_meters(host=host, stated=COMMANDS)


def measure(board: str, rate_hz: float, seconds: float = SECONDS) -> dict[str, float | str | int]:
    """Sample one board's tree; this process does nothing else meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        meters = _meters(board, Path(folder))
        files = BOARDS.get(board) or sum(len(meter.channels()) for meter in meters)
        sampler = Sampler(meters, rate_hz)
        with sampler:
            time.sleep(0.5)
            sampler.drain()
            cpu_s, start_s = time.process_time(), time.monotonic()
            time.sleep(seconds)
            cpu_s, span_s = time.process_time() - cpu_s, time.monotonic() - start_s
        # A counter that stands still gives no sample: count the rounds of the channel that was read most.
        samples = max(len(trace.t_s) for trace in sampler.drain()) or round(span_s * rate_hz)
        for meter in meters:
            meter.close()
    return {
        "board": board,
        "rate_hz": rate_hz,
        "samples_per_s": round(samples / span_s, 2),
        "register_reads_per_s": round(samples / span_s * files, 1),
        "cpu_share_of_one_core": round(cpu_s / span_s, 5),
        "cpu_us_per_sample": round(cpu_s / samples * 1e6, 1),
    }


def one_round_s(board: str = "orin_nano", rounds: int = 5000) -> float:
    """Seconds for one read of all rails, without pause."""
    with tempfile.TemporaryDirectory() as folder:
        (meter,) = open_meters(host=sensor_trees.BOARDS[board](Path(folder)).host())
        meter.read()
        start_s = time.perf_counter()
        for _ in range(rounds):
            meter.read()
        span_s = time.perf_counter() - start_s
        meter.close()
    return span_s / rounds


def main() -> int:
    rows = [measure(board, 20.0) for board in (*BOARDS, WORKSTATION, ALL)] + [measure("orin_nano", 100.0)]
    at_20_hz = [float(row["cpu_share_of_one_core"]) for row in rows if row["rate_hz"] == 20.0]
    within = max(at_20_hz) < LIMIT_SHARE
    result = {
        "what": "CPU time of sampling a sysfs-like tree, share of one core",
        "limit_share": LIMIT_SHARE,
        "rows": rows,
        "read_of_three_rails_us": round(one_round_s() * 1e6, 1),
        "within": within,
    }
    print(json.dumps(result, indent=1))
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
