"""A phone's power counters, as Perfetto's trace_processor writes them, with what phones do against their documentation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattscribe
from tests.known import known
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.metering.recordings import perfetto
from wattscribe.metering.recordings.perfetto_table import is_trace

SECONDS, STEP_NS = 60, 250_000_000
START_NS = 338_297_039_804_951
Row = tuple[int, str, float | None]


def phone(
    *,
    volts: float = 3.9,
    amperes: float = 0.5,
    sign: float = -1.0,
    current_factor: float = 1e6,
    rails: bool = True,
    charge: bool = True,
) -> list[Row]:
    """Twice the load after half of the time; a CPU rail with half of it, and a GPU rail that is off."""
    rows: list[Row] = []
    charge_uah, cpu_uws = 2_085_000.0, 5_000_000.0
    for at in range(4 * SECONDS):
        t_ns, drawn_a = START_NS + at * STEP_NS, amperes * (1 if at < 2 * SECONDS else 2)
        rows += [(t_ns, "batt.charge_uah", round(charge_uah))] if charge else []
        rows += [
            (t_ns, "batt.capacity_pct", 75),
            (t_ns, "batt.current_ua", sign * drawn_a * current_factor),
            (t_ns, "batt.voltage_uv", volts * 1e6),
            (t_ns, "batt.power_mw", int(drawn_a * volts * 1e3)),
        ]
        if rails:
            rows += [(t_ns, "power.rails.cpu.mid", round(cpu_uws)), (t_ns, "power.S2S_VDD_G3D_uws", 777)]
            cpu_uws += 0.5 * drawn_a * volts * STEP_NS / 1e9 * 1e6
        charge_uah -= drawn_a * 1e6 * STEP_NS / 1e9 / 3600
    return rows


def as_csv(path: Path, rows: list[Row], name: str = "name") -> Path:
    """src/trace_processor/shell/csv_result_formatter.cc: strings in quotes, doubles with six places, NULL in quotes."""
    lines = [
        f'"ts","{name}","value"',
        *(f'{t},"{what}",{"[NULL]" if v is None else format(v, ".6f")}' for t, what, v in rows),
    ]
    path.write_text("\n".join([*lines, ""]).replace(",[NULL]", ',"[NULL]"'), encoding="utf-8")
    return path


def as_records(path: Path, rows: list[Row]) -> Path:
    path.write_text(json.dumps([{"ts": t, "name": what, "value": v} for t, what, v in rows]), encoding="utf-8")
    return path


def as_lines(path: Path, rows: list[Row]) -> Path:
    path.write_text("\n".join(json.dumps({"ts": t, "name": what, "value": v}) for t, what, v in rows), encoding="utf-8")
    return path


def as_columns(path: Path, rows: list[Row]) -> Path:
    """pandas' own default."""
    columns = {
        key: {str(at): row[place] for at, row in enumerate(rows)} for place, key in enumerate(("ts", "name", "value"))
    }
    path.write_text(json.dumps(columns), encoding="utf-8")
    return path


@pytest.mark.parametrize("write", [as_csv, as_records, as_lines, as_columns])
def test_battery_and_rails_are_read_from_every_form(write: Callable[[Path, list[Row]], Path], tmp_path: Path) -> None:
    path = write(tmp_path / "counters", phone())
    assert is_trace(path)
    trace = perfetto.read(path)
    battery, cpu = trace.rails
    assert (battery.name, battery.total, cpu.total) == ("battery", True, False)
    assert battery.recording.mean_w == pytest.approx(0.75 * 3.9, rel=0.01)
    assert battery.recording.duration_s == pytest.approx(SECONDS, abs=0.5)
    assert cpu.recording.mean_w == pytest.approx(0.375 * 3.9, rel=0.01)
    assert (cpu.name, cpu.processors) == ("cpu.mid", ("cpu",))
    assert battery.recording.columns["power"] == "current_ua in µA × voltage_uv"
    assert trace.notes == ()


def test_a_rail_s_energy_is_kept_to_the_joule_and_a_set_back_counter_is_unknown(tmp_path: Path) -> None:
    rows: list[Row] = [
        (START_NS + at * 10**9, "power.S3M_VDD_CPUCL1_uws", 1e6 * (at if at < 5 else at - 5)) for at in range(10)
    ]
    (rail,) = perfetto.read(as_csv(tmp_path / "rails.csv", rows)).rails
    assert float(np.nansum(rail.recording.steps_j()[:4])) == pytest.approx(4.0)
    assert int(np.isnan(rail.recording.power_w[1:]).sum()) == 1


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_either_sign_of_the_current_is_a_discharge_while_the_charge_falls(sign: float, tmp_path: Path) -> None:
    """Perfetto's own page shows phones that count a discharge as positive, the kernel's documentation the opposite."""
    battery = perfetto.read(as_csv(tmp_path / "c.csv", phone(sign=sign))).first
    assert battery.recording.mean_w == pytest.approx(0.75 * 3.9, rel=0.01)


def test_a_current_in_milliamperes_is_known_by_the_fall_of_the_charge(tmp_path: Path) -> None:
    """Perfetto's product is then 0 mW."""
    trace = perfetto.read(as_csv(tmp_path / "c.csv", phone(current_factor=1e3)))
    assert trace.first.recording.mean_w == pytest.approx(0.75 * 3.9, rel=0.01)
    assert any("the current is in mA" in note for note in trace.notes)
    assert "in mA" in trace.first.covers


def test_a_current_that_fits_no_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"A by its counter and .* A by the fall of its charge.*Say the current's unit"
    ):
        perfetto.read(as_csv(tmp_path / "c.csv", phone(current_factor=2e4)))


def test_a_current_of_no_running_phone_is_refused_where_no_charge_tells(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "c.csv", phone(current_factor=1e3, charge=False, rails=False))
    with pytest.raises(InputError, match="no power of a running phone"):
        perfetto.read(path)
    trace = perfetto.read(path, current_unit="mA")
    assert trace.first.recording.mean_w == pytest.approx(0.75 * 3.9, rel=0.01)


def test_a_rail_above_its_battery_has_another_unit(tmp_path: Path) -> None:
    rows = [(t, what, None if v is None else 1e3 * v if "cpu" in what else v) for t, what, v in phone()]
    with pytest.raises(InputError, match=r"rail cpu.mid draws .* W by its counter, more than its battery gives"):
        perfetto.read(as_csv(tmp_path / "c.csv", rows))


def test_a_battery_that_is_charged_tells_nothing_of_the_phone(tmp_path: Path) -> None:
    rows = phone()
    charging = [(t, what, (2 * 2_085_000.0 - known(v)) if what == "batt.charge_uah" else v) for t, what, v in rows]
    with pytest.raises(InputError, match="the battery was charged while this was recorded"):
        perfetto.read(as_csv(tmp_path / "c.csv", charging))


def test_without_a_voltage_it_must_be_stated(tmp_path: Path) -> None:
    rows = [row for row in phone() if row[1] not in ("batt.voltage_uv", "batt.power_mw")]
    path = as_csv(tmp_path / "c.csv", rows)
    with pytest.raises(InputError, match="current_ua and no voltage"):
        perfetto.read(path)
    assert perfetto.read(path, voltage=3.9).first.recording.mean_w == pytest.approx(0.75 * 3.9, rel=0.01)


def test_a_voltage_in_millivolts_and_a_product_alone_are_read(tmp_path: Path) -> None:
    milli = [(t, what, 3900.0 if what == "batt.voltage_uv" else v) for t, what, v in phone()]
    assert perfetto.read(as_csv(tmp_path / "mv.csv", milli)).first.recording.mean_w == pytest.approx(
        0.75 * 3.9, rel=0.01
    )
    product = [row for row in phone(rails=False, charge=False) if row[1] == "batt.power_mw"]
    trace = perfetto.read(as_csv(tmp_path / "p.csv", product))
    assert trace.first.recording.mean_w == pytest.approx(0.75 * 3.9, rel=0.01)
    assert any("has no sign" in note for note in trace.notes)


def test_two_batteries_are_parts(tmp_path: Path) -> None:
    rows = [(t, what.replace("batt.", f"batt.BAT{n}."), v) for n in (0, 1) for t, what, v in phone(rails=False)]
    trace = perfetto.read(as_csv(tmp_path / "c.csv", sorted(rows)))
    assert {rail.name: rail.total for rail in trace.rails} == {"BAT0": False, "BAT1": False}


def test_the_standard_library_s_own_tables_are_read(tmp_path: Path) -> None:
    """`android_battery_charge`, a column for each counter; `android_power_rails_counters` after it, as one output."""
    battery = ['"ts","capacity_percent","charge_uah","current_ua","current_avg_ua","voltage_uv"']
    rails = ['"id","ts","dur","power_rail_name","raw_power_rail_name","value","average_power"']
    for at in range(40):
        t_ns = START_NS + at * 10**9
        charge = 2_000_000 - round(at * 500_000 / 3600)
        battery.append(f'{t_ns},75.000000,{charge}.000000,-500000.000000,"[NULL]",4000000.000000')
        rails.append(f'{at},{t_ns},1000000000,"power.rails.gpu","S2S_VDD_G3D",{at * 300_000}.000000,300.000000')
    path = tmp_path / "tables.csv"
    path.write_text("\n".join([*battery, "", *rails, ""]), encoding="utf-8")
    assert is_trace(path)
    whole, gpu = perfetto.read(path).rails
    assert whole.recording.mean_w == pytest.approx(2.0)
    assert gpu.recording.mean_w == pytest.approx(0.3)
    assert gpu.processors == ("gpu",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"ts","name","value"\n1000,"mem.rss",5.0\n2000,"mem.rss",5.0\n', r"no power in it.*mem.rss.*android.power"),
        ('"ts","name","value"\n', "no power in it; its counters: none"),
        ('[{"ts": 1, "name": "batt.current_ua", "value": ', "the trace is no JSON"),
        ('{"traceEvents": [{"name": "batt."}]}', "no table of counters"),
    ],
)
def test_what_is_no_trace_with_power_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_text(text, encoding="utf-8")
    assert is_trace(path)
    with pytest.raises(InputError, match=words):
        perfetto.read(path)


@pytest.mark.parametrize("text", ["time_s,power_w\n0,1\n1,1\n", '[{"a": 1}]', "", "ts,temperature\n1,2\n"])
def test_other_recordings_are_not_taken_for_a_trace(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text(text, encoding="utf-8")
    assert not is_trace(path)
    assert not is_trace(tmp_path / "missing")


def test_the_command_line_says_what_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = as_csv(tmp_path / "counters.csv", phone(current_factor=1e3))
    assert main(["meters", "--json", "--recording", str(path)]) == 0
    entry: dict[str, Any] = json.loads(capsys.readouterr().out)["recording"]
    assert entry["meter"] == "Perfetto (Android)"
    assert entry["rails"] == ["battery", "cpu.mid"]
    assert entry["mean_w"] == pytest.approx(0.75 * 3.9, rel=0.01)
    assert main(["meters", "--recording", str(path)]) == 0
    assert "note: the current is in mA" in capsys.readouterr().out


def test_options_that_a_trace_answers_itself_are_refused(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "counters.csv", phone())
    with pytest.raises(InputError, match="names its counters itself"):
        wattscribe.attach(tmp_path, path, covers="whole phone")
