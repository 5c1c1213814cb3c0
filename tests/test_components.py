"""The component study's arithmetic: its law on points with known parameters, its band on models with known sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks import _components_predicted as predicted
from benchmarks._components_law import fit_law, fit_many

from wattscribe.energy import devices, rates, sensitivity
from wattscribe.energy.layers import component, linear
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError

SIZES = np.array([0.4, 0.8, 1.2, 1.6, 2.0]) * 1e6
TRUE = (-2.0, -0.9, 0.12)
UTTERANCES = 400


def wer_at(sizes: np.ndarray) -> np.ndarray:
    a, b, c = TRUE
    return np.exp(a * sizes / 1e6 + b) + c


def made_up(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors whose expected rate follows the law; an utterance that is hard is hard at every size."""
    rng = np.random.default_rng(seed)
    words = rng.integers(5, 25, UTTERANCES)
    hard = rng.gamma(4.0, 0.25, UTTERANCES)
    rates = np.minimum(wer_at(SIZES)[:, None] * hard, 0.95)
    return rng.binomial(words, rates).astype(float), words.astype(float)


def test_known_parameters_come_back_from_exact_points() -> None:
    a, b, c = fit_many(SIZES / 1e6, wer_at(SIZES)[None])[0]
    assert a == pytest.approx(TRUE[0], rel=0.03)  # the grid's step
    assert b == pytest.approx(TRUE[1], abs=0.05)
    assert c == pytest.approx(TRUE[2], abs=0.005)


def test_intervals_cover_what_the_points_were_made_with() -> None:
    """95 % intervals of 60 draws of utterances: 51 and more cover with a chance above 0.99."""
    laws = [fit_law(SIZES, *made_up(seed), draws=200, seed=seed) for seed in range(60)]
    for name, true in zip(("a_ci95", "b_ci95", "c_ci95"), TRUE, strict=True):
        covered = sum(law is not None and getattr(law, name)[0] <= true <= getattr(law, name)[1] for law in laws)
        assert covered >= 51, (name, covered)
    widths = [law.a_ci95[1] - law.a_ci95[0] for law in laws if law is not None]
    assert 0.1 < np.median(widths) < 4.0  # intervals that say something
    assert sum(law is not None and law.holds for law in laws) >= 54


def test_a_law_that_does_not_hold_is_said() -> None:
    errors, words = made_up(0)
    assert fit_law(SIZES, errors[::-1].copy(), words, draws=50) is None  # WER rises with size
    bent = errors.copy()
    bent[2] *= 1.6
    law = fit_law(SIZES, bent, words, draws=200)
    assert law is not None
    assert not law.holds
    with pytest.raises(ValueError, match="four sizes"):
        fit_law(SIZES[:3], errors[:3], words)


# --- the band ---------------------------------------------------------------------------------------------------------
def workload(*, units: int, width: int) -> Workload:
    """An encoder of 7 MB every 320 ms, a predictor of 0.5 MB, and the joiner."""
    parts = {
        "encoder": [linear(f"encoder.{number}", 1000, 1000, frames=4) for number in range(7)],
        "predictor": [linear("predictor", 500, 1000)],
        "joiner": [linear("joiner", width, units)],
    }
    counted = tuple(component(name, layers, dtype="int8", source="made up") for name, layers in parts.items())
    return Workload(
        name="made up", kind="transducer", components=counted, segment_s=0.32, frames_per_segment=4, vocabulary=units
    )


def test_both_ways_remove_the_same_bytes_and_targeted_begins_where_the_power_is() -> None:
    device, whole = devices.load("wearable"), workload(units=4096, width=512)
    at = rates.stated(whole, tokens_per_s=3.4, decoding="frame-by-frame")
    steps = sensitivity.order(whole, at, device, most_steps=10)
    mine, other = predicted.targeted(sensitivity.merged(whole), steps, 1.2e6), predicted.uniform(whole, 1.2e6)
    assert steps[0].component == "joiner"
    assert mine.size_bytes == pytest.approx(whole.size_bytes - 1.2e6, abs=5)
    assert other.size_bytes == pytest.approx(whole.size_bytes - 1.2e6, abs=50)
    assert mine.component("encoder").size_bytes == whole.component("encoder").size_bytes
    assert sensitivity.total_mw(mine, at, device) < 0.7 * sensitivity.total_mw(other, at, device)


def test_the_band_is_wide_where_the_joiner_is_large_and_narrow_where_it_is_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predicted, "DEVICES", ("wearable",))
    monkeypatch.setattr(predicted, "BEAMS", (1,))

    def most(found: Workload) -> dict[str, float]:
        wearable = [
            each for each in predicted.bands(found) if isinstance(each, predicted.Band) and each.device == "wearable"
        ]
        return {f"{each.decoding} {each.beam}": each.most for each in wearable}  # fmt: skip

    large, small = most(workload(units=4096, width=512)), most(workload(units=500, width=256))
    assert large["frame-by-frame 1"] > 0.3 > 0.1 > small["frame-by-frame 1"]
    assert large["frame-by-frame 1"] > large["batched 1"]


def test_what_does_not_fit_a_device_is_a_line_not_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicted, "DEVICES", ("wearable", "mcu-npu"))
    monkeypatch.setattr(predicted, "BEAMS", (1,))
    monkeypatch.setattr(predicted, "DECODINGS", ("batched",))
    found = list(predicted.bands(workload(units=500, width=256)))
    (said,) = [each for each in found if isinstance(each, str)]
    assert said.startswith("mcu-npu: ")
    text = "\n".join(predicted.lines("made up", workload(units=500, width=256), found))
    assert "| wearable | batched | 1 |" in text
    assert said in text


# --- models and fronts ------------------------------------------------------------------------------------------------
def test_cuts_leave_the_part_of_the_bytes_that_was_asked_for() -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    from benchmarks import _components_models as models

    from wattscribe.training.config import JoinerConfig, PredictorConfig, preset

    config = replace(
        preset("reference", vocabulary=1000), joiner=JoinerConfig(width=128),
        predictor=PredictorConfig(kind="lstm", embedding=64, hidden=96),
    )  # fmt: skip
    before = models.bytes_of(config)
    assert sum(before.values()) == pytest.approx(7.04e6 + 0.13e6 + 0.1e6, rel=0.05)
    cut = models.cut_to(config, {"encoder": 0.7, "predictor": 0.5, "joiner": 0.4})
    after = models.bytes_of(models.after(config, cut))
    for component_name, part in (("encoder", 0.7), ("predictor", 0.5), ("joiner", 0.4)):
        assert after[component_name] / before[component_name] == pytest.approx(part, abs=0.03)
    assert models.cut_to(config, {"joiner": 0.5}).feed_forward == 1.0
    with pytest.raises(InputError, match="less than its inner widths hold"):
        models.cut_to(config, {"encoder": 0.1})


def test_one_threshold_goes_where_channels_are_small() -> None:
    torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
    from benchmarks import _components_models as models

    from wattscribe.training.config import JoinerConfig, PredictorConfig, preset
    from wattscribe.training.model import build

    config = replace(
        preset("reference", vocabulary=300), joiner=JoinerConfig(width=64),
        predictor=PredictorConfig(kind="lstm", embedding=32, hidden=48),
    )  # fmt: skip
    torch.manual_seed(0)
    model = build(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("expand.weight"):
                weight[:400] *= 1e-3  # half the channels do nothing
    cut = models.global_cut(model, 1e6)
    assert models.removed_by(config, cut) == pytest.approx(1e6, rel=0.1)
    assert cut.feed_forward < 0.85
    assert cut.joint > 0.9


def test_fronts_are_not_extended_beyond_what_was_measured() -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    from benchmarks._components_compare import Point, at, changed

    points = [Point(wer=wer, cost={"phone": mj}) for wer, mj in ((0.20, 4.0), (0.22, 3.0), (0.25, 3.5))]
    assert at(points, 0.21, "phone") == pytest.approx(3.5)
    assert at(points, 0.30, "phone") == 3.0
    assert at(points, 0.10, "phone") == 4.0
    half = [Point(wer=point.wer, cost={"phone": point.cost["phone"] / 2}) for point in points]
    assert changed([(half, points)], "phone") == "−45.8 % (−50.0 to −41.7)"
    assert changed([([points[0], Point(wer=0.3, cost={"phone": float("nan")})], points)], "phone") == "does not fit"
