"""`cmd:` meters: what a command says, how often it says something new, and how it ends. Real commands, small ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.known import known
from wattscribe.cli import main
from wattscribe.errors import InputError, MeterError
from wattscribe.metering import Sampler, window
from wattscribe.metering.sensors.command import CommandMeter
from wattscribe.metering.sensors.command_line import parse
from wattscribe.records import Window

EVERY_50_MS = "while :; do echo 5.25 W; sleep 0.05; done"
IPMI = r"""
    Instantaneous power reading:                   220 Watts
    Minimum during sampling period:                 18 Watts
    Average power reading over sample period:      215 Watts
    Sampling period:                          00000001 Seconds.
"""


@contextmanager
def opened(text: str, watch_s: float = 10.0) -> Iterator[CommandMeter]:
    meter = CommandMeter(parse(text), watch_s=watch_s)
    try:
        yield meter
    finally:
        meter.close()


# --- what a line says -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("stated", "line", "si"),
    [
        ("", "5.25", [5.25]),
        ("", "5.25 W", [5.25]),
        ("", "5139mW", [5.139]),
        ("", "power: 2.5e3 mW", [2.5]),
        ("", "  1.2 kW\n", [1200.0]),
        ("", "12 J", [12.0]),
        ("", "0.001 kWh", [3600.0]),
        ("unit=mW -- ", "5250", [5.25]),
        ("unit=Wh -- ", "1.5", [5400.0]),
        ("", '{"power_mw": 5250, "voltage_mv": 230100}', [5.25]),
        ("", '{"switch:0": {"apower": 7.5, "voltage": 231.2, "current": 0.05}}', [7.5]),
        ("", '{"StatusSNS": {"ENERGY": {"Total": 12.3, "Power": 42, "Voltage": 231}}}', [42.0]),
        ("field=b.Power -- ", '{"a": {"Power": 1}, "b": {"Power": 2}}', [2.0]),
        ("field=watt_now -- ", '[{"watt_now": "3.5"}]', [3.5]),
        ("", '{"a": {"power": 1}, "b": {"power": 2}}', [1.0, 2.0]),
        ("match='Instantaneous power' -- ", "Instantaneous power reading:     220 Watts", [220.0]),
        ("match='Instantaneous power' -- ", "Minimum during sampling period:  18 Watts", []),
        (r"match='reading: +(\d+)' -- ", "Instantaneous power reading:     220 Watts", [220.0]),
        ("", "hello", []),
        ("", "192.168.1.5 port 80", []),
        ("", "5 Wonders", []),
        ("", "nan", []),
        ("", "-40 W", []),
        ("", "1e12 W", []),
        ("", '{"power": null, "power_w": true}', []),
        ("", "{broken", []),
        ("", "5" * 70_000, []),
    ],
)
def test_a_line_is_watts_joules_or_nothing(stated: str, line: str, si: list[float]) -> None:
    assert [value.si for value in parse(f"cmd:{stated}true").values(line)] == pytest.approx(si)


@pytest.mark.parametrize(("line", "step"), [("220 W", 1.0), ("5.25", 0.01), ("5139mW", 0.001), ("2.5e3 mW", 0.1)])
def test_the_last_digit_is_the_step(line: str, step: float) -> None:
    assert known(parse("cmd:true").values(line)[0].step) == pytest.approx(step)


def test_what_looks_like_options_and_is_none_belongs_to_the_command() -> None:
    assert parse("cmd:git log -- README.md").command == "git log -- README.md"
    spec = parse("cmd:part unit=mW covers='the 5 V rail' name=rail -- cat a -- b")
    assert (spec.command, spec.unit, spec.covers, spec.name, spec.part) == (
        "cat a -- b",
        "mW",
        "the 5 V rail",
        "rail",
        True,
    )
    assert parse("cmd:processor=gpu -- cat gpu").processors == ("gpu",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cmd:", "a meter without a command"),
        ("cmd:unit=bananas -- cat x", "'bananas' is no unit"),
        ("cmd:match='(' -- cat x", "no regular expression"),
        ("cmd:every=0 -- cat x", "every is 0"),
        ("cmd:processor=npu -- cat x", "no processor 'npu'"),
    ],
)
def test_what_cannot_be_stated_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse(text)


# --- watching ---------------------------------------------------------------------------------------------------------
def test_a_command_that_runs_on_is_followed_and_its_interval_found() -> None:
    with opened(f"cmd:{EVERY_50_MS}") as meter:
        (channel,) = meter.channels()
        assert meter.runs_on
        assert 0.04 < channel.update_interval_s < 1.0
        assert (channel.total, channel.kind, channel.resolution) == (True, "power", pytest.approx(0.01))
        assert list(meter.read()) == [5.25]


def test_a_command_that_ends_is_run_again_and_again(tmp_path: Path) -> None:
    count = tmp_path / "count"
    with opened(f"cmd:every=0.1 -- echo x >> {count}; echo 7 W") as meter:
        assert not meter.runs_on
        deadline_s = time.monotonic() + 20
        while count.read_text().count("x") < 3 and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert count.read_text().count("x") >= 3
        assert list(meter.read()) == [7.0]


def test_an_answer_over_many_lines_is_read_as_a_whole(tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({"switch:0": {"apower": 7.5, "voltage": 231.2}}, indent=2))
    with opened(f"cmd:cat {answer}") as meter:
        assert list(meter.read()) == [7.5]
    ipmi = tmp_path / "ipmi.txt"
    ipmi.write_text(IPMI)
    with opened(f"cmd:match=Instantaneous -- cat {ipmi}") as meter:
        assert list(meter.read()) == [220.0]
    with pytest.raises(MeterError, match=r"3 readings at once.*match=WORDS"), opened(f"cmd:cat {ipmi}"):
        pass


def test_joules_are_a_counter() -> None:
    counter = "i=0; while :; do i=$((i+1)); echo $i J; sleep 0.05; done"
    with opened(f"cmd:{counter}") as meter:
        assert meter.channels()[0].kind == "energy"
        first = known(meter.read()[0])
        time.sleep(0.5)
        assert known(meter.read()[0]) > first


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo hello", "prints no watts and no joules.*begins with 'hello'"),
        ("echo broken >&2; exit 3", r"it has ended \(exit status 3\): broken"),
        ("kill -9 $$", r"it has ended \((signal SIGKILL|exit status 137)\)"),
        ("sleep 30", "printed nothing in 1 s"),
        ("echo 5; sleep 30", "printed one reading in 1 s and runs on"),
        ("there_is_no_such_program", "exit status 127"),
        ("while :; do echo 5 W; echo 6 W; sleep 0.3; done", "several readings at once"),
    ],
)
def test_a_command_that_is_no_meter_is_one_line(command: str, words: str) -> None:
    watch_s = 1.0 if "in 1 s" in words else 10.0
    with pytest.raises(MeterError, match=words), opened(f"cmd:{command}", watch_s=watch_s):
        pass


# --- in a run ---------------------------------------------------------------------------------------------------------
def test_garbage_among_readings_is_left_out_and_a_pause_is_a_gap(tmp_path: Path) -> None:
    """It prints 5 W, stops for 4 s, then goes on: stale values are failed reads, never 5 W and never 0."""
    go = tmp_path / "pause"
    command = f"while :; do [ -e {go} ] || echo 5 W; echo noise; sleep 0.05; done"
    with opened(f"cmd:{command}") as meter, Sampler([meter], rate_hz=20) as sampler:
        time.sleep(1.0)
        go.touch()
        time.sleep(4.0)
        go.unlink()
        time.sleep(1.0)
        (trace,) = sampler.drain()
    assert set(trace.power_w) == {5.0}
    assert len(trace.failed_t_s) > 10


def test_a_command_that_dies_is_a_failed_sensor_with_its_last_words(tmp_path: Path) -> None:
    end = tmp_path / "end"
    command = f"while [ ! -e {end} ]; do echo 5 W; sleep 0.05; done; echo the plug is gone >&2; exit 4"
    with opened(f"cmd:{command}") as meter, Sampler([meter], rate_hz=20) as sampler:
        time.sleep(0.5)
        end.touch()
        time.sleep(3.5)
        (trace,) = sampler.drain()
        errors = sampler.errors()
    assert "it has ended (exit status 4): the plug is gone" in errors["cmd"]
    assert set(trace.power_w) == {5.0}
    reading = window.energy(trace, Window(start_s=trace.t_s[0], end_s=trace.failed_t_s[-1]))
    assert reading.energy_j is None


def _alive(marker: str) -> list[str]:
    """Processes that carry the marker in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if marker in line and str(os.getpid()) != path.parent.name:
            found.append(line)
    return found


def test_closing_ends_the_command_and_what_it_started(tmp_path: Path) -> None:
    marker = f"marker{os.getpid()}a"
    with opened(f"cmd:( : {marker}; while :; do sleep 0.05; done ) & : {marker}; {EVERY_50_MS}"):
        assert _alive(marker)
    assert _alive(marker) == []


def test_the_command_dies_with_a_process_that_is_killed(tmp_path: Path) -> None:
    """kill -9: nothing of ours runs any more that could end it."""
    marker = f"marker{os.getpid()}b"
    code = (
        "import sys, time\nfrom wattscribe.metering.sensors.command import CommandMeter\n"
        "from wattscribe.metering.sensors.command_line import parse\n"
        f"meter = CommandMeter(parse({f'cmd:: {marker}; {EVERY_50_MS}'!r}))\nprint('open', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert known(process.stdout).readline() == "open\n"
        assert _alive(marker)
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline_s = time.monotonic() + 20
        while _alive(marker) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert _alive(marker) == []
    finally:
        process.kill()
        known(process.stdout).close()


def test_the_table_has_its_row(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert (
        main(["meters", "--json", "--root", str(tmp_path), "--meter", f"cmd:covers='the plug' -- {EVERY_50_MS}"]) == 0
    )
    rows = [row for row in json.loads(capsys.readouterr().out)["meters"] if row["meter"] == "cmd"]
    assert len(rows) == 1
    assert rows[0]["available"]
    assert rows[0]["channels"][0]["covers"] == "the plug"
    assert "it runs on" in rows[0]["reason"]
    assert main(["meters", "--root", str(tmp_path), "--meter", "cmd:echo hello"]) == 1
    assert "prints no watts" in capsys.readouterr().err
