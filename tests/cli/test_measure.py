"""`wattscribe measure -- COMMAND`: the command's streams and status are its own, its joules are beside them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.known import known
from wattscribe.cli import main
from wattscribe.testing import hwmon_trees, sensor_trees

METER = "cmd:while :; do echo 5.25 W; sleep 0.05; done"


def facts(out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    status = main(["measure", "--idle", "0", "--json", "--out", str(out), *arguments])
    read: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return status, read


def test_joules_watts_idle_interval_and_coverage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--idle", "0.5", "--meter", METER, "--", "sh", "-c", "echo mine; sleep 0.8; exit 7"]
    assert main(["measure", *arguments]) == 7
    printed = capfd.readouterr()
    assert printed.out == "mine\n"
    first, above, covers, note, cpu = printed.err.splitlines()
    assert " J (" in first
    assert first.endswith(": 5.25 W (5.245 to 5.255 W), measured") or "5.25 W (" in first
    assert above.startswith("above idle: ")
    assert "idle 5.25 W" in above
    assert "whole device, as stated: what `while :; do echo 5.25 W; sleep 0.05; done` prints (cmd.power)" in covers
    assert "100 % of the time seen" in covers
    assert "no idle window after" in note
    assert cpu.startswith("CPU: ")


def test_a_board_s_rails_are_read_and_the_json_has_each(tmp_path: Path) -> None:
    sensor_trees.orin_nano(tmp_path / "board")
    status, read = facts(tmp_path / "e.json", "--root", str(tmp_path / "board"), "--", "sleep", "0.6")
    assert status == 0
    assert (read["schema"], read["exit_status"], read["channel"]) == (1, 0, "ina3221.VDD_IN")
    assert read["power_w"] == pytest.approx(5.0)
    assert read["energy_j"] == pytest.approx(5.0 * read["duration_s"])
    assert read["command"] == ["sleep", "0.6"]
    assert [each["channel"] for each in read["channels"]] == [
        "ina3221.VDD_IN",
        "ina3221.VDD_CPU_GPU_CV",
        "ina3221.VDD_SOC",
    ]
    assert read["seen_share"] == 1.0
    assert read["net_energy_j"] is None


def test_a_rail_that_the_user_states_is_the_whole(tmp_path: Path) -> None:
    hwmon_trees.monitor_hat(tmp_path / "board")
    board = ["--root", str(tmp_path / "board")]
    _, unknown = facts(tmp_path / "a.json", *board, "--", "sleep", "0.5")
    assert unknown["energy_j"] is None, "a rail of unknown extent is not the device"
    _, stated = facts(tmp_path / "b.json", *board, "--meter", "whole:hwmon.ina219-1-0040-power1", "--", "sleep", "0.5")
    assert stated["power_w"] == pytest.approx(6.12)


def test_without_a_sensor_the_figure_is_missing_and_the_status_stays(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "board").mkdir()
    assert main(["measure", "--root", str(tmp_path / "board"), "--", "sh", "-c", "exit 3"]) == 3
    assert "energy unavailable over" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["there-is-no-such-program"], 127),
        ([str(Path(__file__))], 126),
    ],
    ids=["true", "killed", "not found", "not runnable"],
)
def test_the_status_is_the_command_s(command: list[str], status: int, tmp_path: Path) -> None:
    (tmp_path / "board").mkdir()
    assert main(["measure", "--idle", "0", "--root", str(tmp_path / "board"), "--", *command]) == status


def test_options_behind_the_dashes_are_the_command_s(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "board").mkdir()
    assert (
        main(
            [
                "measure",
                "--idle",
                "0",
                "--root",
                str(tmp_path / "board"),
                "--",
                "echo",
                "--json",
                "--out",
                "x",
                "--",
                "y",
            ]
        )
        == 0
    )
    assert capfd.readouterr().out == "--json --out x -- y\n"


def test_no_command_and_a_broken_meter_are_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["measure"]) == 2
    assert "there is no command to measure" in capfd.readouterr().err
    assert main(["measure", "--meter", "cmd:echo hello", "--", "true"]) == 1
    assert "prints no watts and no joules" in capfd.readouterr().err


def test_figures_that_cannot_be_written_are_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "board").mkdir()
    out = tmp_path / "missing" / "e.json"
    assert main(["measure", "--idle", "0", "--root", str(tmp_path / "board"), "--out", str(out), "--", "true"]) == 2
    error = capfd.readouterr().err
    assert "the figures cannot be written" in error
    assert "energy unavailable" in error


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_reaches_the_command_and_what_it_took_is_still_said(number: signal.Signals, tmp_path: Path) -> None:
    """A session of its own, without a terminal: a signal is sent to us alone."""
    (tmp_path / "board").mkdir()
    out = tmp_path / "e.json"
    command = f"trap 'exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "wattscribe", "measure", "--idle", "0", "--json", "--out", str(out), "--meter", METER, "--",
            "sh", "-c", command,
        ],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # under nohup it is ignored, and a shell cannot trap it
    )  # fmt: skip
    try:
        assert known(process.stdout).readline() == "ready\n"
        time.sleep(0.7)
        process.send_signal(number)
        assert process.wait(timeout=60) == 5
    finally:
        process.kill()
        known(process.stdout).close()
    read = json.loads(out.read_text(encoding="utf-8"))
    assert read["exit_status"] == 5
    assert read["power_w"] == pytest.approx(5.25)
