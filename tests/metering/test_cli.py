"""`wattscribe meters`: a table for people, a versioned contract for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wattscribe.cli import main
from wattscribe.testing import sensor_trees
from wattscribe.testing.recorded import TEGRASTATS

KINDS = [
    "ina3221",
    "ina3221-iio",
    "ina238",
    "tegrastats",
    "nvml",
    "rapl",
    "hwmon",
    "pmic",
    "battery",
    "apple",
    "cmd",
    "external",
    "replay",
    "modelled",
]


def test_json_is_schema_1_with_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sensor_trees.orin_nano(tmp_path)
    assert main(["meters", "--json", "--root", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    assert [row["meter"] for row in answer["meters"]] == KINDS
    row = answer["meters"][0]
    assert row["available"] is True
    assert {
        "name",
        "covers",
        "kind",
        "total",
        "update_interval_s",
        "resolution",
        "evidence",
        "averaging_s",
        "ceiling_w",
        "processors",
        "gpu_index",
    } == set(row["channels"][0])
    assert [channel["name"] for channel in row["channels"] if channel["total"]] == ["VDD_IN"]


def test_the_table_names_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["meters", "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert all(kind in printed for kind in KINDS)


def test_this_machine_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["meters", "--json"]) == 0
    assert [row["meter"] for row in json.loads(capsys.readouterr().out)["meters"]] == KINDS


def test_recordings_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording, log = tmp_path / "m.csv", tmp_path / "t.log"
    recording.write_text("time_s,power_w\n" + "".join(f"{i / 100},7.5\n" for i in range(200)))
    log.write_text("\n".join([TEGRASTATS["orin"]] * 10))
    arguments = [
        "meters",
        "--json",
        "--root",
        str(tmp_path),
        "--recording",
        str(recording),
        "--tegrastats-log",
        str(log),
    ]
    assert main(arguments) == 0
    first, second = json.loads(capsys.readouterr().out)["recordings"]
    assert first["mean_w"] == pytest.approx(7.5)
    assert first["interval_s"] == pytest.approx(0.01)
    assert second["rails"] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert main(["meters", "--root", str(tmp_path), "--recording", str(tmp_path / "missing.csv")]) == 2
    assert "missing.csv" in capsys.readouterr().err
