"""Recordings as the meters' own programs write them: headers and lines follow the public source that `formats` names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.metering.recordings import Recording, read
from wattscribe.metering.recordings.formats import FORMATS

COUNT = 40


def lines(*parts: str) -> str:
    return "\n".join([*parts, ""])


def rows(form: str, count: int = COUNT, step: float = 0.5, start: float = 0.0) -> str:
    """`form` with the time as t; half a second apart."""
    return "\n".join(form.format(t=start + step * i, i=i, ms=1e3 * (start + step * i)) for i in range(count))


def stamped(form: str, count: int = COUNT) -> str:
    return "\n".join(form.format(s=f"{i // 60:02d}:{i % 60:02d}", i=i) for i in range(count))


NVIDIA = "2024/05/04 12:{s}.123, "
EXPORTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Joulescope statistics": (
        "js_stats.csv",
        lines("#time,current,voltage,power,charge,energy", rows("{t:.1f},1.8,5,9,{t},{t}")),
        {},
    ),
    "Joulescope statistics, logger": (
        "js_logger.csv",
        lines(
            "#& 20240504_120000.000000 LOGGER : OPEN",
            "#& 20240504_120000.100000 PARAM : columns=time,current,voltage,power,charge,energy",
            "#= header=time,current,voltage,power,charge,energy",
            "#= units=s,A,V,W,C,J",
            "#= start_time=1714824000.0",
            rows("{t:.7f},1.8,5.0000,9,1,1", 20),
            "#& 20240504_120010.000000 EVENT : 0",
            rows("{t:.7f},1.8,5.0000,9,1,1", 20, start=10.0),
        ),
        {},
    ),
    "Joulescope samples": ("js.csv", lines("#time (s),current (A),voltage (V)", rows("{t:.7f},1.8000e+00,5.0000")), {}),
    "Monsoon (Python library)": ("py.csv", lines("Time(ms),Main(mA),Main Voltage(V),", rows("{t!r},1800.0,5.0,")), {}),
    "Monsoon (Python library), NumPy 2": (
        "py2.csv",
        lines(
            "Time(ms),Main(mA),USB(mA),Main Voltage(V),USB Voltage(V),",
            rows("np.float64({t!r}),np.float64(1800.0),np.float64(0.1),np.float64(5.0),np.float64(4.9),"),
        ),
        {},
    ),
    "Monsoon (Python library), current only": ("py3.csv", lines("Time(s),Main(mA)", rows("{t},1800.0")), {"voltage": 5.0}),
    "Monsoon (PowerTool)": (
        "tool.csv",
        lines("Time (s),Main Avg Current (mA),Main Avg Power (mW),Main Avg Voltage (V)", rows("{t:.4f},1800.0,9000.0,5.0")),
        {},
    ),
    "Otii": ("Main current - Arc.csv", lines("Timestamp,Value", rows("{t:.6f},1.800000")), {"voltage": 5.0}),
    "PowerSensor3": (
        "dump.txt",
        lines(
            "marker time dt_micro device_timestamp current0 voltage0 power0 current1 voltage1 power1 power_total",
            rows("S {t:g} 50 {i} 0.5 12 6 0.6 5 3 9", 20),
            "M x",
            rows("S {t:g} 50 {i} 0.5 12 6 0.6 5 3 9", 20, start=10.0),
        ),
        {},
    ),
    "PowerSensor3, commas": (
        "ps3.csv",
        lines(
            "marker,time,dt_micro,device_timestamp,current0,voltage0,power0,power_total",
            rows("S,{t:g},50,{i},0.75,12,9,9"),
        ),
        {},
    ),
    "FNIRSI (fnirsi_logger)": (
        "fnb58.txt",
        lines(
            "",
            "timestamp sample_in_packet voltage_V current_A dp_V dn_V temp_C_ema energy_Ws capacity_As",
            rows("{t:.3f} 0 5.00000 1.80000 3.035 0.072 28.200 0.002901 0.000578", start=1774531584.0),
        ),
        {},
    ),
    "UM24C/UM25C/UM34C (pyummeter)": (
        "um25c.csv",
        lines(
            "Date;Voltage (V);Intensity (A);Power (W);Resistance (Ohm);USB D+ (V);USB D- (V);Charging Mode;Temperature (°C);"
            "Model;Recording;Record duration (sec);Record intensity (A);Record capacity (Ah);Record energy (Wh);"
            "Capacity (Ah);Energy (Wh)",
            stamped("2024-05-04 12:{s}.123456;5;1.8;9;2.8;0.02;0.01;UNKNOWN;29;UM25C;0;0;0.13;0;0;0.1;0.5"),
        ),
        {},
    ),
    "UM24C/UM25C/UM34C/TC66C (rd-usb)": (
        "rdusb.csv",
        lines(
            "Time,Voltage (V),Current (A),Power (W),Temperature (°C),Data+ (V),Data- (V),Resistance (Ω),"
            "Accumulated current (mAh),Accumulated power (mWh),Accumulated time (seconds),Run time,Run time (seconds),Unix time",
            stamped("2024-05-04 12:{s},5.00,1.800,9.000,29,0.02,0.01,2.8,100,500,0,00:00:00,0,171482400{i}"),
        ),
        {},
    ),
    "Nordic PPK2 (Power Profiler)": (
        "ppk2.csv",
        lines("Timestamp(ms),Current(uA),D0-D7", rows("{ms:.2f},1800000,00000000")),
        {"voltage": "5"},
    ),
    "SPEC PTDaemon (spl.txt)": (
        "spl.txt",
        lines(
            "Time,05-04-2024 11:59:58.145,NOTICE,Analyzer identity response of 32 bytes: YOKOGAWA,WT310,C2PH13047V,F1.03",
            stamped("Time,05-04-2024 12:{s}.322,Watts,9.000000,Volts,-1.000000,Amps,-1.000000,PF,-1.000000,Mark,notset,"
                    "Ch1,Watts,6.000000,Volts,227.1,Amps,0.1,PF,0.5,Ch2,Watts,3.000000,Volts,227.1,Amps,0.1,PF,0.5"),
            "Time,05-04-2024 12:01:10.071,ERROR,Bad volts reading nan from WT310",
            "Buffer was 1.000E+00;1;300.0E+00;1",
        ),
        {},
    ),
    "nvidia-smi": (
        "gpu.csv",
        lines(
            "timestamp, name, power.limit [W], power.draw [W], power.draw.average [W], utilization.gpu [%]",
            stamped(NVIDIA + "NVIDIA L4, 72.00 W, 9.00 W, 50.00 W, 3 %"),
        ),
        {},
    ),
    "nvidia-smi, two GPUs": (
        "gpus.csv",
        lines(
            "index, timestamp, power.draw [W]",
            *(f"{gpu}, 2024/05/04 12:00:{i:02d}.{100 + gpu}, {4 + gpu}.00 W" for i in range(COUNT) for gpu in range(2)),
        ),
        {},
    ),
    "nvidia-smi, two GPUs without index": (
        "burst.csv",
        lines("timestamp, power.draw [W]", *(NVIDIA.format(s=f"00:{i // 2:02d}") + "4.50 W" for i in range(COUNT))),
        {},
    ),
    "Home Assistant history": (
        "history.csv",
        lines(
            "entity_id,state,last_changed",
            *(f"sensor.plug_power,9,2024-05-04T12:00:{i:02d}.000Z" for i in range(COUNT)),
            *(f"sensor.plug_power_factor,0.{i:02d},2024-05-04T12:00:{i:02d}.000Z" for i in range(COUNT)),
            *(f"sensor.plug_voltage,23{i % 10}.1,2024-05-04T12:00:{i:02d}.000Z" for i in range(COUNT)),
        ),
        {},
    ),
    "Shelly EM (em_data.csv)": (
        "em_data.csv",
        lines(
            "Date/time UTC,Active energy Wh (1),Returned energy Wh (1),Min V,Max V",
            *(f"2024-05-04 12:{i:02d},0.15,0.00,232.0,233.5" for i in range(COUNT)),
        ),
        {},
    ),
}  # fmt: skip


def export(kind: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    name, text, options = EXPORTS[kind]
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path, options


@pytest.mark.parametrize("kind", EXPORTS, ids=str)
def test_every_meter_s_own_file_is_nine_watts(kind: str, tmp_path: Path) -> None:
    path, options = export(kind, tmp_path)
    recording = read(path, **options)
    assert recording.meter == kind.split(", ")[0]
    assert recording.mean_w == pytest.approx(9.0)
    assert (np.diff(recording.t_s) > 0).all()
    assert recording.skipped_lines == 0
    assert recording.columns["time"]
    assert len(recording.gaps_s) == 0


def test_every_known_meter_has_a_test() -> None:
    assert {each.meter for each in FORMATS} <= {kind.split(", ")[0] for kind in EXPORTS}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("kind", ["UM24C/UM25C/UM34C (pyummeter)", "Monsoon (PowerTool)", "SPEC PTDaemon (spl.txt)"])
def test_any_encoding_and_windows_line_ends(kind: str, encoding: str, tmp_path: Path) -> None:
    name, text, options = EXPORTS[kind]
    path = tmp_path / name
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    recording = read(path, **options)
    assert recording.meter == kind
    assert recording.mean_w == pytest.approx(9.0)
    assert recording.skipped_lines == 0


@pytest.mark.parametrize(
    ("text", "mean_w", "duration_s"),
    [
        ("Time [s],Power Factor,Apparent Power,Active Power\n0,.9,7,5.1\n1,.9,7,5.2\n2,.9,7,5.3\n", 5.2, 2.0),
        ("time_s,power.limit,power\n0,72,5\n1,72,6\n2,72,7\n", 6.0, 2.0),
        ("time_s,power_avg_w,power_max_w,power_w\n0,1,9,5\n1,1,9,5\n", 5.0, 1.0),
        ("time_s,power_avg_w,power_max_w\n0,1,9\n1,1,9\n", 1.0, 1.0),
        ("time_s,CH1 Power (W),CH2 Power (W),Total Power (W)\n0,1,2,3\n1,1,2,3\n", 3.0, 1.0),
        ("time_s;power_w\n0,0;5,5\n0,5;5,5\n1,0;5,5\n", 5.5, 1.0),
        ('time_s,power_w\n"0,0","5,5"\n"0,5","5,5"\n"1,0","5,5"\n', 5.5, 1.0),
        ("sep=;\ntime_s;power_w\n0;5\n1;5\n", 5.0, 1.0),
        ("sep=|\ntime_s|power_w\n0|5\n1|5\n", 5.0, 1.0),
        ("time_s\tpower_mw\n0\t5000\n1\t5000\n", 5.0, 1.0),
        ("Meter: bench 3\nSerial: 17, calibrated\n\nTime (s),Power (W)\n0,5\n1,5\n", 5.0, 1.0),
        ("timestamp,power\n1714824000000000,5\n1714824001000000,5\n", 5.0, 1.0),
        ("timestamp,power\n1714824000000000000,5\n1714824001500000000,5\n", 5.0, 1.5),
        ("timestamp,power\n1714824000.25,5\n1714824001.25,5\n", 5.0, 1.0),
        ("time,power\n2024-05-04T12:00:00+02:00,5\n2024-05-04T10:00:03Z,5\n", 5.0, 3.0),
        ("time,power\n04.05.2024 23:59:59,5\n05.05.2024 00:00:01,5\n", 5.0, 2.0),
        ("time,power\n13/05/2024 12:00:00,5\n13/05/2024 12:00:02,5\n", 5.0, 2.0),
        ("time,power\n05/31/2024 11:59:59 PM,5\n06/01/2024 12:00:01 AM,5\n", 5.0, 2.0),
        ("time,power\n04/05/2024 23:59:59,5\n05/05/2024 00:00:01,5\n", 5.0, 2.0),
        ("time,power\n05/04/2024 23:59:59,5\n05/05/2024 00:00:01,5\n", 5.0, 2.0),
        ("Date,Time,Power\n2024-05-04,23:59:59,5\n2024-05-05,00:00:01.5,5\n", 5.0, 2.5),
        ("clock;watts\n12:00:00,250;5\n12:00:01,250;5\n", 5.0, 1.0),
        ("2024/05/04 12:00:00.100, 65.30 W\n2024/05/04 12:00:00.200, 65.30 W\n", 65.3, 0.1),
    ],
)  # fmt: skip
def test_other_files_are_read_by_their_names(text: str, mean_w: float, duration_s: float, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    columns = {} if text[0].isalpha() else {"power": "column 2"}
    recording = read(path, columns)
    assert recording.meter is None
    assert recording.mean_w == pytest.approx(mean_w)
    assert recording.duration_s == pytest.approx(duration_s, abs=1e-6)
    assert recording.skipped_lines == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time_s,Ch1 (W),Ch2 (W)\n0,1,2\n1,1,2\n", "may be the power: 'Ch1 .W.', 'Ch2 .W.'.*`columns\\[power\\]`"),
        ("time_s,I1 (A),V1 (V),I2 (A),V2 (V)\n0,1,5,1,5\n1,1,5,1,5\n", "several columns may be the current"),
        ("Time [s],Power Factor,Apparent Power\n0,.9,5\n1,.9,5\n", "no column is a power"),
        ("time_s,current_ma\n0,5\n1,5\n", "has the current only.*`voltage`"),
        ("Timestamp(ms),Current(uA)\n0,5\n1,5\n", "PPK2.*has the current only.*`voltage`"),
        ("Timestamp,Value\n0,5\n1,5\n", "one file per channel.*`columns\\[current\\]` Value"),
        ("count,power\n0,5\n1,5\n", "no column is the time.*`columns\\[time\\]`"),
        ("device,time,power_w\na,0,1\nb,0,2\na,1,1\nb,1,2\n", "several devices.*`channel` NAME, of: a, b"),
        ("entity_id,state,last_changed\ns.a_power,1,2024-05-04T12:00:00Z\ns.b_power,1,2024-05-04T12:00:00Z\n"
         "s.a_power,1,2024-05-04T12:00:01Z\n", "several devices.*s.a_power, s.b_power"),
        ("timestamp, power.draw [W]\n" + "".join(f"2024/05/04 12:00:{i:02d}.{j}, 5 W\n" for i in range(9) for j in (100, 104)),
         "bursts.*--query-gpu=timestamp,index"),
        ("time,power\nyesterday,5\ntoday,5\n", "no lines with a time and a number"),
    ],
)  # fmt: skip
def test_an_unclear_file_is_refused_with_what_to_say(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        read(path)
    assert "m.csv" in str(caught.value)


def test_a_binary_project_file_is_refused_with_how_to_export_it(tmp_path: Path) -> None:
    path = tmp_path / "capture.jls"
    path.write_bytes(b"jlsfmt\r\n \n \x1a  \xb2\x1c\0\0\0\0" * 20)
    with pytest.raises(InputError, match=r"Joulescope UI.*as CSV"):
        read(path)


# --- what is said -----------------------------------------------------------------------------------------------------
def test_columns_voltage_channel_and_rate_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("time_s,Ch1 (W),Ch2 (W)\n0,1,2\n1,1,2\n")
    assert read(path, {"power": "Ch2 (W)"}).mean_w == pytest.approx(2.0)
    assert read(path, {"power": ["Ch1 (W)", "Ch2 (W)"]}).mean_w == pytest.approx(3.0)
    assert read(path, {"power": "2"}).mean_w == pytest.approx(1.0)
    path.write_text("device,time,power_w\na,0,1\nb,0,2\na,1,1\nb,1,2\n")
    assert read(path, channel="b").mean_w == pytest.approx(2.0)
    with pytest.raises(InputError, match=r"no device 'c'.*a, b"):
        read(path, channel="c")
    path.write_text("voltage,current\n5,1\n5,3\n5,2\n")
    assert read(path, sample_rate_hz=10.0).duration_s == pytest.approx(0.2)
    assert read(path, sample_rate_hz=10.0).mean_w == pytest.approx(10.0)
    with pytest.raises(InputError, match="a voltage was given"):
        read(path, voltage=5.0, sample_rate_hz=10.0)


@pytest.mark.parametrize("voltage", ["many", "0", "-3", "nan"])
def test_a_voltage_that_is_none_is_refused(voltage: str, tmp_path: Path) -> None:
    path, _ = export("Otii", tmp_path)
    with pytest.raises(InputError, match="`voltage`"):
        read(path, voltage=voltage)


def test_otii_s_two_files_are_one_recording(tmp_path: Path) -> None:
    """The current four times as often as the voltage, which falls from 6 to 4 V: power follows it."""
    current, voltage = tmp_path / "Main current - Arc.csv", tmp_path / "Main voltage - Arc.csv"
    current.write_text(lines("Timestamp,Value", *(f"{i / 400:.6f},2.0" for i in range(401))))
    voltage.write_text(lines("Timestamp,Value", *(f"{i / 100:.6f},{6 - 2 * i / 100}" for i in range(101))))
    for recording in (read([current, voltage]), read([voltage, current]), read(current, voltage=voltage)):
        assert recording.mean_w == pytest.approx(10.0)
        assert recording.power_w[[0, 200, 400]] == pytest.approx([12.0, 10.0, 8.0])
    with pytest.raises(InputError, match="one holds the current and one the voltage"):
        read([current, current])
    other = tmp_path / "a.csv"
    other.write_text(current.read_text())
    assert read(other, {"current": "Value"}, voltage=5.0).mean_w == pytest.approx(10.0)


def test_what_was_taken_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = export("Nordic PPK2 (Power Profiler)", tmp_path)
    arguments = ["meters", "--root", str(tmp_path), "--recording", str(path), "--voltage", "5"]
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["recording"] == said["recordings"][0]
    assert said["recording"] == {
        **said["recording"],
        "meter": "Nordic PPK2 (Power Profiler)",
        "columns": {"time": "Timestamp(ms)", "current": "Current(uA)"},
        "units": {"time": "ms", "current": "uA"},
        "samples": COUNT,
        "duration_s": pytest.approx(0.5 * (COUNT - 1)),
        "mean_w": pytest.approx(9.0),
        "skipped_lines": 0,
    }
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "Nordic PPK2" in printed
    assert "current 'Current(uA)' in uA" in printed
    assert main(arguments[:-2]) == 2
    assert "--voltage VOLTS" in capsys.readouterr().err


# --- time -------------------------------------------------------------------------------------------------------------
def test_joulescope_s_means_give_its_own_energy(tmp_path: Path) -> None:
    """A value is the mean of the half second before its stamp, and its energy column says what they add up to."""
    power_w = [1.0, 1.0, 3.0, 5.0, 2.0]
    energy_j = np.concatenate(([0.0], np.cumsum(np.array(power_w[1:]) * 0.5)))
    path = tmp_path / "js.csv"
    path.write_text(
        lines(
            "#time,current,voltage,power,charge,energy",
            *(f"{0.5 * i},1,1,{p},0,{energy_j[i]}" for i, p in enumerate(power_w)),
        )
    )
    recording = read(path)
    assert recording.energy_j == pytest.approx(float(energy_j[-1]))
    assert recording.interval_means


def test_a_history_s_value_holds_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(
        lines(
            "entity_id,state,last_changed",
            "sensor.plug_power,2,2024-05-04T12:00:00Z",
            "sensor.plug_power,10,2024-05-04T12:00:09Z",
            "sensor.plug_power,unavailable,2024-05-04T12:00:10Z",
            "sensor.plug_power,2,2024-05-04T12:00:20Z",
            "sensor.plug_power,3,2024-05-04T12:00:21Z",
        )
    )
    recording = read(path)
    assert recording.energy_j == pytest.approx(9 * 2 + 10 + 2)
    assert recording.mean_w == pytest.approx(30 / 11)
    assert recording.gaps_s == pytest.approx([10.0])
    assert recording.skipped_lines == 1


def test_equal_stamps_are_spread_over_their_packet(tmp_path: Path) -> None:
    """Packets of three samples each 0.6 ms, and a hole: a packet never reaches into it."""
    packets = [0.0006 * i for i in range(200)] + [1.0 + 0.0006 * i for i in range(200)]
    path = tmp_path / "m.csv"
    path.write_text(
        lines(
            "Time(ms),Main(mA),Main Voltage(V),", *(f"{t!r},{1000.0 + 100 * j},5.0," for t in packets for j in range(3))
        )
    )
    recording = read(path)
    assert recording.samples == 1200
    steps_s = np.diff(recording.t_s)
    assert np.median(steps_s) == pytest.approx(0.0002)
    assert (steps_s > 0).all()
    assert len(recording.gaps_s) == 1
    assert recording.gaps_s[0] == pytest.approx(1.0 - 200 * 0.0006, abs=0.001)
    assert recording.mean_w == pytest.approx(5.5)
    assert any("spread" in note for note in recording.notes)


def test_stray_lines_are_counted_and_bounded(tmp_path: Path) -> None:
    good = [f"{0.01 * i:.2f},5.0" for i in range(400)]
    stray = [*good[:100], "OVERFLOW,", *good[100:200], "7.77,9", *good[200:300], "0.50,9", *good[300:], "3.9"]
    path = tmp_path / "m.csv"
    path.write_text(lines("time_s,power_w", *stray))
    recording = read(path)
    assert recording.skipped_lines == 4
    assert recording.mean_w == pytest.approx(5.0)
    assert recording.duration_s == pytest.approx(3.99)


def test_a_cut_last_line_is_no_fault_of_a_short_file(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("time_s,power_w\n0,5\n1,5\n2,")
    assert read(path).skipped_lines == 1


def test_placeholders_of_no_reading_are_counted_without_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "gpu.csv"
    path.write_text(
        lines(
            "timestamp, power.draw [W]",
            *(NVIDIA.format(s=f"00:{i:02d}") + ("[N/A]" if i % 4 == 3 else "5.00 W") for i in range(40)),
        )
    )
    recording = read(path)
    assert recording.skipped_lines == 10
    assert recording.mean_w == pytest.approx(5.0)


# --- many samples -----------------------------------------------------------------------------------------------------
def big(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """40,000 samples at 5 kHz with a hole, where 10,000 are kept as they are."""
    from wattscribe.metering.recordings import series, values

    monkeypatch.setattr(series, "MOST_RAW", 10_000)
    monkeypatch.setattr(values, "BLOCK_BYTES", 10_007)
    t_s = np.arange(40_000) / 5000
    t_s[20_000:] += 0.7
    power_w = 5 + np.sin(t_s) + np.random.default_rng(0).normal(0, 0.3, t_s.size)
    path.write_text(lines("time_s,power_w", *(f"{t:.4f},{p!r}" for t, p in zip(t_s, power_w.tolist(), strict=True))))
    return t_s, power_w


def test_many_samples_become_means_of_the_same_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    t_s, power_w = big(tmp_path / "m.csv", monkeypatch)
    recording = read(tmp_path / "m.csv")
    assert recording.samples == 40_000
    assert len(recording.t_s) == pytest.approx(8000, abs=3)
    assert recording.spacing_s == pytest.approx(0.001)
    assert recording.gaps_s == pytest.approx([0.7], abs=0.003)
    assert recording.mean_w == pytest.approx(power_w.mean(), rel=1e-4)
    truth_j = np.concatenate(([0.0], np.cumsum(np.diff(t_s) * (power_w[1:] + power_w[:-1]) / 2)))
    ours_j = np.concatenate(([0.0], np.cumsum(recording.steps_j())))
    for window_s in ((0.1, 3.9), (1.0, 2.0), (4.8, 8.6)):
        truth, ours = (np.diff(np.interp(window_s, t, j))[0] for t, j in ((t_s, truth_j), (recording.t_s, ours_j)))
        assert ours == pytest.approx(truth, abs=0.001)


@pytest.mark.parametrize("at_once", [7, 1 << 15])
def test_a_part_of_many_samples_keeps_its_energy(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from wattscribe.metering.recordings import recording

    monkeypatch.setattr(recording, "PART_MEANS", at_once)
    t_s = np.arange(1001) / 100
    instants = Recording(name="r", t_s=t_s, power_w=5 + np.sin(t_s), skipped_lines=0)
    joined_t, joined_w = instants.part(0, 1001, 50)
    assert len(joined_t) == pytest.approx(48, abs=1)
    assert joined_w.mean() == pytest.approx(instants.mean_w, rel=1e-3)
    assert len(instants.part(0, 1001, 2000)[0]) == 1001
    means = Recording(name="r", t_s=t_s, power_w=5 + np.sin(t_s), skipped_lines=0, interval_means=True)
    joined_t, joined_w = means.part(0, 1001, 50)
    assert float((np.diff(joined_t) * joined_w[1:]).sum()) == pytest.approx(float(means.steps_j().sum()))


def test_a_long_file_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines alone are 15 MB as Python strings; it is read in blocks of 0.25 MB and kept as a fifth."""
    import tracemalloc

    from wattscribe.metering.recordings import series, values

    monkeypatch.setattr(series, "MOST_RAW", 10_000)
    monkeypatch.setattr(values, "BLOCK_BYTES", 1 << 18)
    path = tmp_path / "m.csv"
    path.write_text(lines("time_s,power_w", *(f"{i / 5000:.6f},{5 + i % 7:.7f}" for i in range(200_000))))
    assert path.stat().st_size > 3.5e6
    read(path)
    tracemalloc.start()
    try:
        assert read(path).samples == 200_000
        assert tracemalloc.get_traced_memory()[1] < 5.0e6
    finally:
        tracemalloc.stop()
