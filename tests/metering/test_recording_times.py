"""Files of external meters: stamps that are missing, equal or many, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.metering.exports import NVIDIA, lines
from wattscribe.metering.recordings import Recording, read


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
