"""`perf stat`'s outputs, as perf 6.1 writes them; where this machine counts nothing, in the same form with counts of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.documents import described
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.observing.counters import Counter, counted, read_perf
from wattscribe.testing.transducers import Size, write

ABSENT = """# started on Sun Nov 29 10:43:46 2026

<not supported>,,cache-misses,0,100.00,,
<not supported>,,LLC-load-misses,0,100.00,,
0.61,msec,task-clock,608842,100.00,0.028,CPUs utilized
48,,page-faults,608842,100.00,78.838,K/sec
"""
"""Of a virtual machine without counters."""
ABSENT_JSON = (
    "# started on Sun Nov 29 10:43:46 2026\n\n"
    '{"counter-value" : "<not supported>", "unit" : "", "event" : "LLC-load-misses", "event-runtime" : 0, '
    '"pcnt-running" : 100.00, "metric-value" : 0.000000, "metric-unit" : ""}\n'
    '{"counter-value" : "0.471524", "unit" : "msec", "event" : "task-clock", "event-runtime" : 471524, '
    '"pcnt-running" : 100.00, "metric-value" : 0.023734, "metric-unit" : "CPUs utilized"}\n'
)
RUNS = "0.51,msec,task-clock,3.17%,511539,87.50,0.031,CPUs utilized\n"
INTERVALS = """     0.017037916,74,,page-faults,717154,100.00,103.186,K/sec
     0.017037916,0.72,msec,task-clock,717154,100.00,0.072,CPUs utilized
     0.027230667,<not counted>,msec,task-clock,0,100.00,,
"""
SOCKETS = (
    "S0,2,87.99,msec,task-clock,87990562,100.00,2.001,CPUs utilized\nS0,1,<not supported>,,cache-misses,0,100.00,,\n"
)
SOCKETS_JSON = (
    '{"socket" : "S0", "aggregate-number" : 2, "counter-value" : "97.884323", "unit" : "msec", "event" : "task-clock", '
    '"event-runtime" : 97884323, "pcnt-running" : 100.00, "metric-value" : 1.964304, "metric-unit" : "CPUs utilized"}\n'
)
CORES = (
    "CPU0,59.98,msec,task-clock,59980854,100.00,1.000,CPUs utilized\nCPU1,<not supported>,,cache-misses,0,100.00,,\n"
)
SERVER = """# started on Mon Nov 30 09:00:00 2026

S0,1,12.50,MiB,uncore_imc_0/cas_count_read/,1000000,100.00,,
S0,1,12.50,MiB,uncore_imc_1/cas_count_read/,1000000,100.00,,
S0,1,4.00,MiB,uncore_imc_0/cas_count_write/,1000000,100.00,,
S0,1,4.00,MiB,uncore_imc_1/cas_count_write/,1000000,100.00,,
S0,1,3.25,Joules,power/energy-ram/,1000000,100.00,,
S0,1,300000,,LLC-load-misses:u,1000000,50.00,,
S0,1,100000,,LLC-store-misses:u,1000000,50.00,,
"""
DESKTOP = "10.00,MiB,uncore_imc/data_reads/,1000,100.00,,\n2.00,MiB,uncore_imc/data_writes/,1000,100.00,,\n"


def test_a_machine_without_counters_is_told_so() -> None:
    found = read_perf(ABSENT, "perf.csv")
    assert found[0] == Counter(event="cache-misses", value=None, unit="", counted=1.0)
    assert found[2] == Counter(event="task-clock", value=0.61, unit="msec", counted=1.0)
    with pytest.raises(InputError, match=r"counts no memory traffic \(cache-misses, LLC-load-misses, task-clock"):
        counted(found, "perf.csv", 1.0)
    assert [each.value for each in read_perf(ABSENT_JSON, "perf.json")] == [None, 0.471524]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (RUNS, [("task-clock", 0.51, "msec", 0.875)]),
        (
            INTERVALS,
            [
                ("page-faults", 74, "", 1.0),
                ("task-clock", 0.72, "msec", 1.0),
                ("task-clock", None, "msec", 1.0),
            ],
        ),
        (SOCKETS, [("task-clock", 87.99, "msec", 1.0), ("cache-misses", None, "", 1.0)]),
        (SOCKETS_JSON, [("task-clock", 97.884323, "msec", 1.0)]),
        (CORES, [("task-clock", 59.98, "msec", 1.0), ("cache-misses", None, "", 1.0)]),
        (RUNS.replace(",", ";"), [("task-clock", 0.51, "msec", 0.875)]),
    ],
)
def test_every_form_is_read(text: str, values: list[tuple[str, float | None, str, float]]) -> None:
    assert [(each.event, each.value, each.unit, each.counted) for each in read_perf(text, "perf.csv")] == values


def test_channels_and_kinds_of_misses_are_added_up() -> None:
    found = counted(read_perf(SERVER, "perf.csv"), "perf.csv", 2.0)
    assert found.memory_read_bytes_per_s == 25 * 2**20 / 2
    assert found.memory_written_bytes_per_s == 8 * 2**20 / 2
    assert found.last_level_miss_bytes_per_s == 64 * 200_000
    assert found.dram_w == 3.25 / 2
    assert found.missing == ()
    plain = counted(read_perf(DESKTOP, "perf.csv"), "perf.csv", 2.0)
    assert (plain.memory_read_bytes_per_s, plain.memory_written_bytes_per_s) == (5 * 2**20, 2**20)
    assert (plain.last_level_miss_bytes_per_s, plain.dram_w) == (None, None)


def test_a_part_is_not_the_whole() -> None:
    text = SERVER.replace("12.50,MiB,uncore_imc_1", "<not counted>,MiB,uncore_imc_1")
    found = counted(read_perf(text, "perf.csv"), "perf.csv", 2.0)
    assert found.memory_read_bytes_per_s is None
    assert found.missing == ("uncore_imc_1/cas_count_read/",)


@pytest.mark.parametrize(
    "text", ["", "# started\n", " Performance counter stats for 'true':\n", '{"event": 1', "a,b\n"]
)
def test_another_form_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"perf\.csv"):
        read_perf(text, "perf.csv")


def test_the_profile_shows_them_beside_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The toy hears one utterance of the package."""
    model, recorded = write(tmp_path / "toy", Size(width=32, layers=1, frames=4)), tmp_path / "perf.csv"
    recorded.write_text(SERVER + "<not supported>,,cache-misses,0,100.00,,\n", encoding="utf-8")
    command = ["profile", str(model), "--data", "bundled", "--limit", "1", "--counters", str(recorded)]
    assert main(command) == 0
    assert "counted by this machine (measured), per second of audio: last-level misses" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    described("profile", document)
    found = document["counted"]
    assert found["dram_w"] * found["audio_s"] == pytest.approx(3.25)
    assert (found["evidence"], found["missing"]) == ("measured", ["cache-misses"])
    recorded.unlink()
    assert main(command) == 2
    assert str(recorded) in capsys.readouterr().err
