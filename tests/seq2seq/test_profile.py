"""Where a Whisper spends: four parts, each counted from the graph and with the rate of a real decode."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from wattscribe.energy.options import Options
from wattscribe.energy.workload import of_directory
from wattscribe.profiling import profile_model

WIDTH, INNER, LAYERS, FRAMES, PAST = 64, 256, 2, 300, 12


def test_four_parts_are_counted(exported: Path) -> None:
    found = of_directory(exported)
    assert [each.name for each in found.components] == ["encoder", "cross_attention", "decoder", "vocabulary"]
    assert (found.segment_s, found.frames_per_segment) == (6.0, FRAMES)
    macs = {each.name: each.total_macs for each in found.components}
    projections = LAYERS * (4 * WIDTH**2 + 2 * WIDTH * INNER)
    convolutions = 2 * FRAMES * 3 * 80 * WIDTH + FRAMES * 3 * WIDTH**2
    assert macs["encoder"] == FRAMES * projections + LAYERS * 2 * FRAMES**2 * WIDTH + convolutions
    assert macs["cross_attention"] == FRAMES * LAYERS * 2 * WIDTH**2
    own = LAYERS * 2 * (PAST + 1) * WIDTH
    heard = LAYERS * (2 * WIDTH**2 + 2 * FRAMES * WIDTH)
    assert macs["decoder"] == projections + own + heard
    assert found.vocabulary is not None
    assert macs["vocabulary"] == found.vocabulary * WIDTH
    table = found.component("vocabulary")
    assert table.call_bytes == 4 * found.vocabulary * WIDTH
    assert table.row_bytes == 4 * WIDTH, "and the embedding's row of one token"


def test_int8_has_the_same_parts(exported: Path) -> None:
    plain, narrow = of_directory(exported), of_directory(exported, precision="int8")
    for one, other in zip(plain.components, narrow.components, strict=True):
        assert one.total_macs == other.total_macs
        assert one.parameters == pytest.approx(other.parameters, rel=0.05)
    assert narrow.component("vocabulary").macs.keys() == {"int8"}


def test_rates_are_those_of_a_real_decode(exported: Path, clips, tmp_path: Path) -> None:
    for place, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{place}.wav", clip, 16000)
    lines = (f'{{"audio_filepath": "{place}.wav", "text": "a"}}\n' for place in range(len(clips)))
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    rates = profile_model(f"onnx:{exported}", Options(data=str(tmp_path / "manifest.jsonl"))).breakdown.rates
    audio_s = sum(map(len, clips)) / 16000
    assert rates.source == "counted"
    at = rates.components
    assert at["encoder"].calls_per_s == at["cross_attention"].calls_per_s == pytest.approx(len(clips) / audio_s)
    assert at["decoder"].calls_per_s == at["vocabulary"].calls_per_s == rates.tokens_per_s
