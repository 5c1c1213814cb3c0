"""Architectures from shapes alone: parameter counts of the literature, hand-counted work, no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wattscribe.energy import devices
from wattscribe.energy.arch import PRESETS, of_arch
from wattscribe.energy.breakdown import analyse
from wattscribe.energy.rates import stated
from wattscribe.energy.sensitivity import first_mentions, order
from wattscribe.errors import InputError

LITERATURE_PARAMETERS = {"emformer-rnnt-base": 76.7e6, "lstm-rnnt": 120e6, "conformer-rnnt-small": 10.3e6}
"""As published; see each preset."""


@pytest.mark.parametrize(
    ("name", "within"), [("emformer-rnnt-base", 0.001), ("conformer-rnnt-small", 0.01), ("lstm-rnnt", 0.06)]
)
def test_parameters_agree_with_the_literature(name: str, within: float) -> None:
    found = of_arch(f"arch:{name}")
    assert sum(each.parameters for each in found.components) == pytest.approx(LITERATURE_PARAMETERS[name], rel=within)


def test_every_preset_is_held_to_a_published_count() -> None:
    assert set(PRESETS) == set(LITERATURE_PARAMETERS)


def test_emformer_parameters_to_the_last_one() -> None:
    """torchaudio's emformer_rnnt_base(4097), summed by hand from its source."""
    found = of_arch("arch:emformer-rnnt-base", vocab=4097)
    layer = 4 * 512 * 512 + 4 * 512 + 2 * 512 * 2048 + 2048 + 512 + 3 * 2 * 512
    assert found.component("encoder").parameters == 80 * 128 + 20 * layer + 512 * 1024 + 1024 + 2 * 1024
    lstm = 2 * 512 * 2048 + 2 * 512 + 2 * 2048
    assert found.component("predictor").parameters == 4097 * 512 + 2 * 512 + 3 * lstm + 512 * 1024 + 1024 + 2 * 1024
    assert found.component("joiner").parameters == 1024 * 4097 + 4097


def test_emformer_work_by_hand() -> None:
    found = of_arch("arch:emformer-rnnt-base", vocab=4097)
    steps, keys = 5, 35  # (16 + 4) / 4 frames, 30 of left context beside them
    layer = steps * (4 * 512 * 512 + 2 * 512 * 2048) + 2 * steps * keys * 512
    assert found.component("encoder").total_macs == 20 * 80 * 128 + 20 * layer + steps * 512 * 1024
    assert found.component("joiner").total_macs == 1024 * 4097
    assert found.component("encoder").state_bytes == 20 * 2 * 30 * 512 * 4
    assert found.component("predictor").row_bytes == 512 * 4
    assert (found.segment_s, found.frames_per_segment, found.symbols_per_frame) == (0.16, 4, "many")


@pytest.mark.parametrize("device", ["phone", "wearable", "jetson-orin-nano-15w", "horowitz-45nm"])
def test_the_study_the_joiner_costs_a_multiple_of_its_size_and_goes_first(device: str) -> None:
    made, chosen = of_arch("arch:emformer-rnnt-base", vocab=4097), devices.load(device)
    at = stated(made, decoding="frame-by-frame")
    found = analyse(made, at, chosen)
    joiner = found.component("joiner")
    size_share = joiner.size_bytes / made.size_bytes
    assert joiner.total_w.value / found.total_w.value > 2.5 * size_share
    assert first_mentions(order(made, at, chosen), made)[0] == "joiner"


def test_halving_the_joiner_until_it_fits_more_than_halves_its_power() -> None:
    made, phone = of_arch("arch:emformer-rnnt-base", vocab=4097), devices.load("phone")
    at = stated(made, decoding="frame-by-frame")
    powers, local = [], []
    for factor in (1.0, 0.5, 0.25):
        found = analyse(made.replace(made.component("joiner").scaled(factor)), at, phone)
        powers.append(found.component("joiner").total_w.value)
        local.append("joiner" in found.placement.local)
    assert local == [False, False, True]
    assert powers[1] == pytest.approx(powers[0] / 2, rel=0.02)  # halved outside: half
    assert powers[2] < 0.45 * powers[1]  # halved into local memory: less than half


def test_precision_and_segment_change_what_they_should() -> None:
    full, small = of_arch("arch:emformer-rnnt-base"), of_arch("arch:emformer-rnnt-base", precision="int8")
    assert full.size_bytes == 4 * small.size_bytes
    assert set(small.component("joiner").macs) == {"int8"}
    longer = of_arch("arch:emformer-rnnt-base", chunk_ms=640)
    assert longer.segment_s == 0.64
    assert longer.component("encoder").call_bytes == full.component("encoder").call_bytes
    assert longer.component("encoder").total_macs > 3 * full.component("encoder").total_macs
    assert (
        of_arch("arch:emformer-rnnt-base,layers=10").component("encoder").size_bytes
        < 0.6 * full.component("encoder").size_bytes
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch:nothing", "no architecture 'nothing'"),
        ("arch:emformer-rnnt-base,depth=3", "'depth=3' is no setting"),
        ("arch:emformer-rnnt-base,layers=x", "'layers=x' is no setting"),
        ("arch:emformer-rnnt-base,layers=0", "layers cannot be 0"),
    ],
)
def test_architectures_at_fault(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        of_arch(text)


def test_neither_torch_nor_onnxruntime_is_imported() -> None:
    code = (
        "import sys; from wattscribe.cli import main; "
        "status = main(['profile', 'arch:emformer-rnnt-base', '--vocab', '4097', '--json']); "
        "assert not {'torch', 'onnx', 'onnxruntime', 'transformers'} & set(sys.modules), 'heavy'; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"total_mw"' in done.stdout
