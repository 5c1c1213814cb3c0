"""A shorter window that remembers silence: what a whole one answers where there is nothing else, and a short one's work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tests.compression.test_whisper import clips, exported, parts
from tests.streaming.test_transcribe import wav
from wattscribe.compression.calibrate import Calibration, Summed
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.levers import apply, silence
from wattscribe.compression.seq2seq.candidate import WhisperCandidate
from wattscribe.compression.seq2seq.family import remembering, window
from wattscribe.compression.speech import Audio
from wattscribe.compression.step import Step
from wattscribe.energy.files import of_directory
from wattscribe.energy.options import Options
from wattscribe.errors import InputError
from wattscribe.graph.session import open_session, run
from wattscribe.models.directory import CROSS
from wattscribe.profiling import profile_model
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.records import Counts
from wattscribe.seq2seq.mel import log_mel

__all__ = ["clips", "exported", "parts"]
Parts = tuple[Candidate, Calibration]
WHOLE = 600
"""Feature frames of the toy's window."""


def step(stride: int, **options: float) -> Step:
    return Step(
        lever="window", component="encoder", options={"margin_s": 0.5, "step_s": 1.0, "silence": stride, **options}
    )


def answers(candidate: Candidate, mel: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    path = Path("encoder.onnx")
    return run(open_session(path, model=candidate.networks["encoder"]), path, list(CROSS), {"mel": mel})


def floor(calibration: Calibration) -> float:
    return float(np.median([log_mel(audio, WHOLE, 80).min() for audio in calibration.speech.audio]))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("frames", [100, 202, WHOLE])
def test_of_silence_a_short_window_answers_what_a_whole_one_does(parts: Parts, frames: int, rows: int) -> None:
    """All of it, frame by frame: what is remembered lies where it was."""
    original, calibration = parts
    short = apply(original, step(1), calibration)
    mel = np.full((rows, 80, WHOLE), floor(calibration), np.float32)
    for whole, mine in zip(answers(original, mel), answers(short, mel[:, :, :frames]), strict=True):
        assert mine.shape == whole.shape
        inside = frames // 2 - 1  # the convolutions see the end of the window one frame early
        assert mine[:, :, :inside] == pytest.approx(whole[:, :, :inside], abs=2e-4)
        assert mine[:, :, frames // 2 :] == pytest.approx(whole[:, :, frames // 2 :], abs=1e-6)


@pytest.mark.parametrize("frames", [100, 200, 202, 206, WHOLE - 2])
def test_every_fourth_frame_from_the_window_on(parts: Parts, frames: int) -> None:
    original, calibration = parts
    mel = np.full((1, 80, WHOLE), floor(calibration), np.float32)
    whole = answers(original, mel)[1]
    mine = answers(apply(original, step(4), calibration), mel[:, :, :frames])[1]
    expected = whole[:, :, [at for at in range(0, WHOLE // 2, 4) if at >= frames // 2]]
    assert mine.shape[2] == frames // 2 + expected.shape[2]
    assert mine[:, :, frames // 2 :] == pytest.approx(expected, abs=1e-6)


def test_a_whole_window_is_what_it_was(parts: Parts, clips: list[Audio]) -> None:
    """In a runtime that knows no shorter ones nothing changes."""
    original, calibration = parts
    mel = log_mel(clips[0], WHOLE, 80)[None]
    for stride in (1, 8):
        made = apply(original, step(stride), calibration)
        for before, after in zip(answers(original, mel), answers(made, mel), strict=True):
            assert np.array_equal(before, after)


def test_what_is_remembered_is_nearer_to_the_whole_than_what_is_forgotten(parts: Parts, clips: list[Audio]) -> None:
    original, calibration = parts
    mel = log_mel(clips[0], WHOLE, 80)[None]
    whole = answers(original, mel)[1]
    away = {}
    for name, short in (
        ("forgotten", Step(lever="window", component="encoder", options={"margin_s": 0.5, "step_s": 1.0})),
        ("every", step(1)),
        ("eighth", step(8)),
    ):
        mine = answers(apply(original, short, calibration), mel[:, :, :200])[1]
        away[name] = float(np.abs(mine[:, :, :60] - whole[:, :, :60]).mean())
    assert away["every"] < 0.5 * away["forgotten"]
    assert away["eighth"] < away["forgotten"]


def test_the_one_that_stands_for_its_neighbours_has_their_weight() -> None:
    """Queries whose sixth value is steady, others not: the direction is that value's."""
    draws = np.random.default_rng(0).standard_normal((4000, 8))
    draws[:, 5] = 3 + 0.01 * draws[:, 5]
    both = np.concatenate([draws, 2 * draws], axis=1)
    directions = silence.measuring_one(Summed(gram=both.T @ both, total=both.sum(axis=0), rows=len(both)), heads=2)
    assert draws @ directions[:8] == pytest.approx(1, abs=0.02)
    assert 2 * draws @ directions[8:] == pytest.approx(1, abs=0.02)


def test_scores_of_silence_rise_by_the_logarithm(parts: Parts) -> None:
    """Of the first layer, whose queries are the original's."""
    original, calibration = parts
    name = "encoder.layers.0.self_attn.q"
    sums = calibration.queries("encoder", [name])[name]
    kept = {stride: constants(apply(original, step(stride), calibration)) for stride in (1, 4)}
    (key,) = [key for key in kept[1] if key.startswith("encoder.layers.0.self_attn.k")]
    moved = kept[4][key][0] - kept[1][key][0, ::4]
    expected = np.log(4) * silence.measuring_one(sums, heads=2)  # the scale of scores is in the queries
    assert np.abs(expected).max() > 0.01
    assert moved == pytest.approx(np.broadcast_to(expected, moved.shape), abs=1e-5)
    values = [name for name in kept[1] if ".v." in name or name.startswith(CROSS[1])]
    assert values
    for name in values:
        assert np.array_equal(kept[4][name], kept[1][name].take(range(0, 300, 4), axis=-2))


def constants(candidate: Candidate) -> dict[str, NDArray[np.float32]]:
    held = candidate.model("encoder").graph.initializer
    return {each.name: onnx.numpy_helper.to_array(each) for each in held if each.name.endswith(silence.SILENCE)}


def test_the_directory_runs_and_counts_what_it_did(parts: Parts, clips: list[Audio], tmp_path: Path) -> None:
    original, calibration = parts
    made = apply(original, step(8), calibration)
    made.write(tmp_path / "made")
    model = f"onnx:{tmp_path / 'made'}"
    one, two = (open_recognizer(parse_model(model)).transcribe(clips[:1])[0] for _ in range(2))
    assert one.counts == two.counts
    assert one.counts is not None
    assert (one.counts.frames, one.counts.encoder_rows) == (100, 1)
    together = open_recognizer(parse_model(model, batch_size=4)).transcribe(clips)
    alone = [open_recognizer(parse_model(model)).transcribe([clip])[0] for clip in clips]
    assert [each.text for each in together] == [each.text for each in alone]


def test_energy_counts_the_short_window_and_the_silence_that_a_token_looks_at(parts: Parts) -> None:
    original, calibration = parts
    counts = [Counts(encoder_calls=1, encoder_rows=1, predictor_calls=5, predictor_rows=6, frames=100, tokens=5)]
    whole = original.workload([replace(counts[0], frames=300)])
    macs = {}
    for stride in (1, 8):
        made = apply(original, step(stride), calibration)
        assert isinstance(made, WhisperCandidate)
        work = made.workload(counts)
        macs[stride] = {part.name: part.total_macs for part in work.components}
    forgotten = apply(original, window(0.5), calibration).workload(counts)
    for name in ("encoder", "cross_attention"):
        assert macs[1][name] < whole.component(name).total_macs / 2
    assert macs[1]["decoder"] == pytest.approx(whole.component("decoder").total_macs)
    assert forgotten.component("decoder").total_macs < macs[8]["decoder"] < macs[1]["decoder"]


def test_a_profile_of_it_counts_the_windows_that_were_decoded(parts: Parts, clips: list[Audio], tmp_path: Path) -> None:
    """1.2 s and a margin of 0.5 s, up to the next second: two of the six of a whole window."""
    original, calibration = parts
    wav(tmp_path / "0.wav", clips[0])
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"audio_filepath": "0.wav", "text": "a"}) + "\n")
    options = Options(data=str(tmp_path / "manifest.jsonl"))
    macs = {}
    for name, candidate in (("whole", original), ("short", apply(original, step(8), calibration))):
        candidate.write(tmp_path / name)
        macs[name] = profile_model(str(tmp_path / name), options).breakdown.workload.component("encoder").total_macs
    assert macs["short"] == of_directory(tmp_path / "short", segment_s=2.0).component("encoder").total_macs
    assert macs["short"] < 0.4 * macs["whole"]


def test_attention_that_is_written_out_is_refused(parts: Parts) -> None:
    original, calibration = parts
    model = original.model("encoder")
    for node in model.graph.node:
        if node.op_type == "MultiHeadAttention":
            node.op_type = "Attention"
    other = replace(original, networks={**original.networks, "encoder": model.SerializeToString()})
    with pytest.raises(InputError, match=r"encoder has no attention in one operator.*wattscribe export"):
        apply(other, step(8), calibration)


@pytest.mark.parametrize("stride", [0, -3])
def test_a_stride_is_a_number_of_frames(parts: Parts, stride: int) -> None:
    with pytest.raises(InputError, match="silence"):
        apply(parts[0], step(stride), parts[1])


def test_the_search_offers_it() -> None:
    assert remembering(2.0, 8).options == {"margin_s": 2.0, "step_s": 0.5, "silence": 8}
