"""Recordings as the meters' own programs write them: headers and lines follow the public source that `formats` names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.metering.exports import COUNT, EXPORTS, export, lines
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.metering.recordings import read
from wattscribe.metering.recordings.formats import FORMATS


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
