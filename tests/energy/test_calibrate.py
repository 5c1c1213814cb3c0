"""Constants recovered from simulated devices whose constants are known, through a sensor that samples, steps and errs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.energy.builders import component, workload
from wattscribe.energy import devices
from wattscribe.energy.calibrate import Calibration, Observation, calibrate, observe
from wattscribe.energy.calibrated_device import as_device, to_toml
from wattscribe.energy.nnls import nnls
from wattscribe.errors import InputError
from wattscribe.metering.window import energy
from wattscribe.records import Counts, PowerTrace, Window

TRUTH = {"memory": 120e-12, "float32": 3.1e-12, "int8": 0.4e-12, "idle": 2.4}


def observations(seed: int = 0, noise: float = 0.02, models: int = 5) -> list[Observation]:
    """Five models × two precisions, each measured over a minute by a 20 Hz sensor with 40 mW steps and `noise`."""
    generator = np.random.default_rng(seed)
    found = []
    for index in range(models):
        for precision, dtype, wide in (("fp32", "float32", 4), ("int8", "int8", 1)):
            window_s = float(generator.uniform(40, 80))
            read = float(generator.uniform(0.2, 3.0)) * 1e10 * wide / 4 * (index + 1) / models
            macs = float(generator.uniform(0.2, 3.0)) * 3e11
            exact = TRUTH["memory"] * read + TRUTH[dtype] * macs + TRUTH["idle"] * window_s
            joules, sd_j = sensed(exact / window_s, window_s, noise, generator)
            found.append(
                Observation(
                    model=f"m{index}",
                    precision=precision,
                    window_s=window_s,
                    energy_j=joules,
                    sd_j=sd_j,
                    memory_bytes=read,
                    macs={dtype: macs},
                )
            )
    return found


def sensed(power_w: float, window_s: float, noise: float, generator: np.random.Generator) -> tuple[float, float]:
    """What the meters room makes of a noisy, stepping, 20 Hz sensor over the window."""
    times = np.arange(0, window_s + 2, 0.05)
    readings = np.round(power_w * (1 + generator.normal(0, noise, len(times))) / 0.04) * 0.04
    trace = PowerTrace(
        channel="sim",
        covers="simulated device",
        total=True,
        update_interval_s=0.05,
        evidence="measured",
        t_s=tuple(times.tolist()),
        power_w=tuple(readings.tolist()),
        resolution_w=0.04,
    )
    reading = energy(trace, Window(start_s=1.0, end_s=1.0 + window_s), idle_before=None, idle_after=None)
    assert reading.energy_j is not None
    assert reading.energy_ci95_j is not None
    return reading.energy_j, (reading.energy_ci95_j[1] - reading.energy_ci95_j[0]) / 3.92


@pytest.mark.parametrize("seed", range(5))
def test_known_constants_are_recovered_within_ten_per_cent(seed: int) -> None:
    found = calibrate(observations(seed), seed=seed)
    assert found.memory_j_per_byte.value == pytest.approx(TRUTH["memory"], rel=0.1)
    assert found.idle_w.value == pytest.approx(TRUTH["idle"], rel=0.1)
    assert found.mac_j["float32"].value == pytest.approx(TRUTH["float32"], rel=0.1)
    assert found.left_out_error < 0.05
    assert len(found.left_out) == 10


def test_intervals_hold_the_truth_mostly() -> None:
    hits = dict.fromkeys(("memory", "idle", "float32"), 0)
    for seed in range(20):
        found = calibrate(observations(seed, noise=0.1), seed=seed)
        for name, fitted in (
            ("memory", found.memory_j_per_byte),
            ("idle", found.idle_w),
            ("float32", found.mac_j["float32"]),
        ):
            hits[name] += fitted.ci95[0] <= TRUTH[name] <= fitted.ci95[1]
    assert all(count >= 16 for count in hits.values()), hits


def test_a_model_left_out_was_not_seen() -> None:
    """One model's energies are doubled: its own prediction stays at the truth, so the error shows."""
    found = observations(noise=0.0)
    odd = [
        Observation(**{**{name: getattr(each, name) for name in each.__slots__}, "energy_j": 2 * each.energy_j})
        if each.model == "m2"
        else each
        for each in found
    ]
    errors = [each.error for each in calibrate(odd).left_out if each.model == "m2"]
    assert errors == pytest.approx([-0.5, -0.5], abs=0.02)


def test_a_constant_that_would_be_negative_is_zero() -> None:
    matrix = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 1.0]])
    assert nnls(matrix, matrix @ np.array([2.0, -1.0]))[1] == 0
    assert nnls(matrix, matrix @ np.array([2.0, 1.0])) == pytest.approx([2.0, 1.0])
    wide = matrix * np.array([1e12, 1.0])
    assert nnls(wide, wide @ np.array([2e-12, 1.0])) == pytest.approx([2e-12, 1.0])


def test_nnls_agrees_with_scipy() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    generator = np.random.default_rng(0)
    for _ in range(100):
        matrix, target = generator.normal(size=(9, 4)), generator.normal(size=9)
        assert nnls(matrix, target) == pytest.approx(optimize.nnls(matrix, target)[0], abs=1e-8)


def test_observing_a_decode_by_hand() -> None:
    made = workload(
        component("encoder", [1000], macs=50, activation_bytes=10.0, state_bytes=5), component("joiner", [100], macs=7)
    )
    counts = Counts(encoder_calls=2, encoder_rows=4, joiner_calls=3, joiner_rows=9)
    found = observe(made, counts, precision="fp32", window_s=1.0, energy_j=1.0, sd_j=0.1)
    assert found.memory_bytes == 2 * 1000 + 4 * (10 + 10) + 3 * 100
    assert found.macs == {"float32": 4 * 50 + 9 * 7}


def test_observing_an_encoder_decoder_and_its_draft_by_hand() -> None:
    """A decoder reads its weights with every token and not with every window."""
    names = ("encoder", "decoder", "vocabulary", "draft_encoder", "draft_decoder")
    made = workload(*(component(name, [10**place], macs=0) for place, name in enumerate(names)))
    counts = Counts(
        encoder_calls=2,
        encoder_rows=2,
        predictor_calls=7,
        predictor_rows=9,
        draft_windows=3,
        draft_calls=5,
        draft_rows=6,
    )
    found = observe(made, counts, precision="fp32", window_s=1.0, energy_j=1.0, sd_j=0.1)
    assert found.memory_bytes == 53772


def test_what_cannot_be_calibrated() -> None:
    with pytest.raises(InputError, match="needs 3 models with measured energy, 2 were found"):
        calibrate(observations(models=2))
    twins = [
        Observation(
            model=f"m{n}",
            precision="fp32",
            window_s=float(n),
            energy_j=float(n),
            sd_j=0.1,
            memory_bytes=1e9 * n,
            macs={"float32": 1e9 * n},
        )
        for n in range(1, 6)
    ]
    with pytest.raises(InputError, match="do not tell memory, float32 operations and idle power apart"):
        calibrate(twins)


# --- fits that look better than they are ----------------------------------------------------------------------------
COSTS = {"float32": 300e-12, "float16": 150e-12, "int8": 40e-12}
PRECISIONS = (("fp32", "float32", 4), ("fp16", "float16", 2), ("int8", "int8", 1))


def three_precisions(seed: int, models: int, *, misfit: float = 0.05) -> list[Observation]:
    """Models × three precisions whose energies stray from the five constants by `misfit`, as real models' do."""
    generator = np.random.default_rng(seed)
    found = []
    for index in range(models):
        for precision, dtype, wide in PRECISIONS:
            window_s = float(generator.uniform(40, 80))
            read = float(generator.uniform(0.2, 3.0)) * 1e11 * wide / 4 * (index + 1) / models
            macs = float(generator.uniform(0.2, 3.0)) * 3e10
            dynamic_j = (TRUTH["memory"] * read + COSTS[dtype] * macs) * float(np.exp(generator.normal(0, misfit)))
            joules = dynamic_j + TRUTH["idle"] * window_s
            found.append(
                Observation(
                    model=f"m{index}", precision=precision, window_s=window_s, energy_j=joules, sd_j=0.005 * joules,
                    memory_bytes=read, macs={dtype: macs},
                )
            )  # fmt: skip
    return found


def test_an_exact_fit_is_refused_for_want_of_degrees_of_freedom() -> None:
    """Three models, five constants, five observations: every residual is zero whatever the truth is."""
    nine = three_precisions(0, 3)
    five = [nine[0], nine[1], nine[2], nine[3], nine[8]]
    with pytest.raises(InputError, match=r"5 observations .* for 5 constants .* leave 0 degrees of freedom"):
        calibrate(five)
    with pytest.raises(InputError, match="leave 0 degrees of freedom"):
        calibrate([*five, *five, *five])  # repeats are no degrees of freedom


def test_a_precision_that_one_model_alone_has_cannot_be_checked() -> None:
    seen = [each for each in three_precisions(0, 5) if each.precision != "fp16" or each.model == "m0"]
    with pytest.raises(InputError, match="without m0 the others do not tell"):
        calibrate(seen)


def test_repeats_narrow_no_interval() -> None:
    seen = three_precisions(1, 4)
    once, thrice = calibrate(seen), calibrate(seen * 3)
    assert (once.observations, once.freedom) == (thrice.observations, thrice.freedom) == (12, 7)
    assert thrice.memory_j_per_byte.ci95 == pytest.approx(once.memory_j_per_byte.ci95)
    apart = calibrate([replace(each, setting=name) for name in ("batched", "frame by frame") for each in seen])
    assert apart.observations == 24


@pytest.mark.parametrize("models", [3, 6])
def test_intervals_of_few_models_hold_the_truth(models: int) -> None:
    hits = dict.fromkeys(("memory", "idle", *COSTS), 0)
    for seed in range(10):
        found = calibrate(three_precisions(seed, models), seed=seed)
        fitted = {"memory": found.memory_j_per_byte, "idle": found.idle_w, **found.mac_j}
        for name, truth in {"memory": TRUTH["memory"], "idle": TRUTH["idle"], **COSTS}.items():
            low, high = fitted[name].ci95
            assert low < high
            hits[name] += low <= truth <= high
    assert all(count >= 8 for count in hits.values()), hits


def test_an_error_on_models_left_out_widens_the_intervals() -> None:
    """The largest model stands apart: the fit follows it, its residuals stay small, and only leaving it out shows it."""
    seen = observations(noise=0.0)
    odd = [replace(each, energy_j=1.5 * each.energy_j) if each.model == "m4" else each for each in seen]
    found, plain = calibrate(odd), calibrate(seen)
    missed = max(abs(each.measured_j - each.predicted_j) / each.measured_j for each in found.left_out)
    low, high = found.memory_j_per_byte.ci95
    narrow = plain.memory_j_per_byte.ci95[1] - plain.memory_j_per_byte.ci95[0]
    assert missed > 0.2
    assert high - low > 10 * narrow


def test_a_fit_without_memory_is_no_calibration() -> None:
    """Energies that follow time and operations alone: memory would come out at 0 pJ/B."""
    seen = [
        replace(each, energy_j=2.4 * each.window_s + 400e-12 * sum(each.macs.values()) - 3e-12 * each.memory_bytes)
        for each in three_precisions(2, 5, misfit=0.0)
    ]
    found = calibrate(seen)
    assert found.memory_j_per_byte.at_bound
    assert found.memory_j_per_byte.value > 0
    assert found.memory_j_per_byte.ci95[1] > found.memory_j_per_byte.value
    assert found.refusal is not None
    assert "do not show what moving bytes takes" in found.refusal
    with pytest.raises(InputError, match="this is not a calibration: memory comes out at"):
        as_device(found, devices.load("phone"), name="mine", source="runs/x")


def test_what_misses_the_models_left_out_is_no_calibration() -> None:
    generator = np.random.default_rng(0)
    seen = [
        replace(each, energy_j=each.energy_j * float(np.exp(generator.normal(0, 0.9))))
        for each in three_precisions(3, 6)
    ]
    found = calibrate(seen)
    assert found.left_out_error > 0.25
    assert found.refusal is not None


def test_a_constant_beyond_anything_physical_is_refused() -> None:
    found = calibrate([replace(each, energy_j=1e4 * each.energy_j) for each in observations(noise=0.001)])
    assert found.refusal is not None
    assert "above anything physical" in found.refusal


def calibrated() -> Calibration:
    return calibrate(observations())


def test_the_written_profile_is_read_back_as_calibrated(tmp_path: Path) -> None:
    found = calibrated()
    made = as_device(found, devices.load("phone"), name="mine", source='runs/demo "quoted" \\ back')
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(made), encoding="utf-8")
    device = devices.load(path)
    assert device == made
    assert (device.evidence, device.name) == ("calibrated", "mine")
    assert device.main.read_j_per_byte == pytest.approx(found.memory_j_per_byte.value)
    assert device.idle.si("power")[0] == pytest.approx(found.idle_w.value)
    assert device.local.read.source.startswith("1 MB SRAM")  # what was not fitted keeps its source
    assert device.operation("float16")[1] == devices.load("phone").operation("float16")[1]


def test_runs_on_disk_are_calibrated_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.energy.runs import write_run
    from wattscribe.cli import main

    run = write_run(tmp_path / "runs" / "sim", TRUTH)
    out = tmp_path / "mine.toml"
    assert main(["calibrate", str(run), "--base", "phone", "--name", "mine", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "8 observations of 4 models, 4 more than constants" in printed
    assert "a model left out is predicted within" in printed
    assert "left out: fake:words of sim: its invocations were not counted" in printed
    assert devices.load(out).main.read_j_per_byte == pytest.approx(TRUTH["memory"], rel=0.1)
    assert devices.load(out).idle.si("power")[0] == pytest.approx(TRUTH["idle"], rel=0.1)
    assert main(["calibrate"]) == 2
    assert "no run was given" in capsys.readouterr().err


def test_the_command_refuses_what_it_cannot_vouch_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Power that does not depend on the bytes: the figures are shown, no profile is written, the exit status says no."""
    from tests.energy.runs import write_run
    from wattscribe.cli import main

    run = write_run(tmp_path / "runs" / "sim", {**TRUTH, "memory": 0.0, "float32": 300e-12, "int8": 300e-12})
    out = tmp_path / "mine.toml"
    assert main(["calibrate", str(run), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert "not determined: at the bound of what is physical" in printed.out
    assert "this is not a calibration" in printed.err
    assert not out.exists()
    assert main(["calibrate", str(run), "--json"]) == 2
    assert "do not show what moving bytes takes" in json.loads(capsys.readouterr().out)["refusal"]
