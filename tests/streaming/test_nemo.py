"""NeMo's cache-aware streaming transducers: as sherpa-onnx hears them, in pieces as in one, refused where they are others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.shared import DATA
from tests.streaming import nemo_models
from wattscribe.errors import InputError, ModelError
from wattscribe.recognizers.detect import runtime_of
from wattscribe.streaming import Endpointing, Transducer, open_transducer
from wattscribe.streaming.endpoint import EndpointRule

KINDS: dict[str, dict[str, Any]] = {
    "one layer": {},
    "128 mels, two layers": {"seed": 1, "layers": 2, "mels": 128, "shift": 64, "width": 32, "cache": 20},
    "80 ms": {"seed": 2, "shift": 8, "normalize": "per_feature"},
    "8 bits": {"seed": 3, "layers": 2, "quantised": True},
    "1,120 ms": {"seed": 4, "shift": 112, "width": 48, "symbols": 150, "blank_bias": 3.0},
}


def sounds(count: int, seconds: float = 3.0) -> list[np.ndarray]:
    """Noise that swells and fades, and tones that change: enough for a random model to say something else of each."""
    rng = np.random.default_rng(7)
    found = []
    for i in range(count):
        time = np.arange(round(16000 * (seconds + 0.37 * i)), dtype=np.float32) / 16000
        tone = np.sin(2 * np.pi * (200 + 90 * i) * time * (1 + 0.2 * np.sin(3 * time)))
        found.append((0.1 * np.sin(2.1 * time) * (tone + rng.standard_normal(len(time)))).astype(np.float32))
    return found


def reference(folder: Path, **options: object) -> Any:
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    parts = {name: str(next(folder.glob(f"{name}*.onnx"))) for name in ("encoder", "decoder", "joiner")}
    return sherpa_onnx.OnlineRecognizer.from_transducer(
        **parts, tokens=str(folder / "tokens.txt"), num_threads=1, **options
    )


def check_alike(ours: Transducer, theirs: Any, audio: list[np.ndarray]) -> int:
    """The same words at the same times; returns how many tokens."""
    tokens = 0
    for each in audio:
        stream = theirs.create_stream()
        stream.accept_waveform(16000, np.concatenate([each, np.zeros(round(16000 * ours.tail_s), np.float32)]))
        stream.input_finished()
        while theirs.is_ready(stream):
            theirs.decode_stream(stream)
        expected = theirs.get_result_all(stream)
        found = ours.transcribe([each])[0]
        assert found.text == expected.text.strip()
        assert [token.start_s for token in found.tokens] == pytest.approx(expected.timestamps)
        tokens += len(found.tokens)
    return tokens


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_words_at_the_same_times_as_sherpa_onnx(tmp_path: Path, kind: str) -> None:
    folder = nemo_models.build(tmp_path, **KINDS[kind])
    ours = open_transducer(folder)
    assert check_alike(ours, reference(folder), sounds(6)) > 60
    assert ours.frame_s == pytest.approx(0.08)


@pytest.mark.data
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_words_of_real_speech(tmp_path: Path, kind: str) -> None:
    from wattscribe.corpora.audio import read_audio

    files = sorted((DATA / "librispeech").rglob("*.flac"))[::10]
    folder = nemo_models.build(tmp_path, **KINDS[kind])
    assert check_alike(open_transducer(folder), reference(folder), [read_audio(path) for path in files]) > 100


def test_endpoints_start_encoder_and_predictor_anew_as_in_sherpa_onnx(tmp_path: Path) -> None:
    folder = nemo_models.build(tmp_path, **KINDS["one layer"])
    never = {"rule1_min_trailing_silence": 99.0, "rule2_min_trailing_silence": 99.0}
    theirs = reference(folder, enable_endpoint_detection=True, rule3_min_utterance_length=2.0, **never)
    rule = EndpointRule(must_contain_speech=False, trailing_silence_s=0.0, utterance_s=2.0)
    ours = open_transducer(folder, endpointing=Endpointing(rules=(rule,))).stream()
    audio, stream, expected = np.concatenate(sounds(4)), theirs.create_stream(), []
    for start in range(0, len(audio), 1600):
        ours.accept(audio[start : start + 1600])
        stream.accept_waveform(16000, audio[start : start + 1600])
        while theirs.is_ready(stream):
            theirs.decode_stream(stream)
            if theirs.is_endpoint(stream):
                expected.append(theirs.get_result(stream).strip())
                theirs.reset(stream)
    assert len(expected) >= 5
    assert [each.transcript.text for each in ours.ended] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_batches_and_several_segments_a_call_change_nothing(tmp_path: Path, kind: str) -> None:
    folder = nemo_models.build(tmp_path, **KINDS[kind])
    alone = open_transducer(folder)
    audio = sounds(3)
    whole = alone.transcribe(audio)
    rng = np.random.default_rng(0)
    for each, expected in zip(audio, whole, strict=True):
        stream = alone.stream()
        while len(each):
            count = int(rng.integers(1, 9000))
            stream.accept(each[:count])
            each = each[count:]
            if rng.random() < 0.2:
                stream = alone.stream(stream.save())
        found = stream.finish()
        assert (found.text, found.tokens) == (expected.text, expected.tokens)
        assert found.counts is not None
        assert expected.counts is not None
        assert (found.counts.frames, found.counts.tokens) == (expected.counts.frames, expected.counts.tokens)
    for other in (open_transducer(folder, batch_size=3), open_transducer(folder, frame_by_frame=True), alone):
        other.settle(1e6)
        assert [each.text for each in other.transcribe(audio)] == [each.text for each in whole]


def test_frames_tokens_and_calls_are_counted(tmp_path: Path) -> None:
    """3 s and a tail: calls of 320 ms with 8 × 4 feature frames, each frame ends in a blank or in its tenth token."""
    ours = open_transducer(nemo_models.build(tmp_path), tail_s=0.0)
    counts = ours.transcribe([np.concatenate(sounds(1))[: 16000 * 3]])[0].counts
    assert counts is not None
    assert counts.encoder_calls == (300 - 41 - 1) // 32 + 1
    assert counts.frames == 4 * counts.encoder_calls
    assert counts.predictor_rows == 1 + counts.tokens
    assert counts.blanks <= counts.frames <= counts.blanks + counts.tokens


def test_what_is_built_on_the_layout_goes_to_the_runtime_that_takes_it(tmp_path: Path) -> None:
    assert runtime_of(nemo_models.build(tmp_path / "plain")) == "onnx"
    folder = nemo_models.build(tmp_path / "prompt", prompt=True)
    assert runtime_of(folder) == "sherpa"
    with pytest.raises(ModelError, match=r"prompt_index.*sherpa:DIRECTORY"):
        open_transducer(folder)


def test_metadata_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = nemo_models.build(tmp_path)
    for key, value, words in (
        ("cache_last_channel_dim2", "7", "metadata say that state 'cache_last_channel'"),
        ("pred_hidden", "25", "metadata say that state 'states.1'"),
        ("vocab_size", "18", "knows 18 and a blank"),
        ("chunk_shift", "64", "chunk_shift=64 is more than window_size=41"),
    ):
        path = folder / "encoder.onnx"
        good = path.read_bytes()
        model = onnx.load(path)
        for entry in model.metadata_props:
            entry.value = value if entry.key == key else entry.value
        onnx.save(model, path)
        with pytest.raises(ModelError, match=words):
            open_transducer(folder)
        path.write_bytes(good)


def test_beam_search_is_left_to_sherpa_onnx(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"decoded greedily here.*sherpa:DIRECTORY"):
        open_transducer(nemo_models.build(tmp_path), decoding="beam")


def test_a_compressed_model_keeps_the_layout_and_both_runtimes_hear_the_same(tmp_path: Path) -> None:
    from tests.compression.builders import unlabelled
    from wattscribe.compression.calibrate import Calibration
    from wattscribe.compression.candidate import read_candidate
    from wattscribe.compression.levers import apply
    from wattscribe.compression.step import Step

    candidate = read_candidate(nemo_models.build(tmp_path / "model", width=64))
    calibration, size = Calibration(candidate, unlabelled(2)), candidate.size_bytes
    for component, lever in (("encoder", "int8"), ("joiner", "int8"), ("predictor", "fp16"), ("all", "place")):
        candidate = apply(candidate, Step(lever=lever, component=component), calibration)
    candidate.write(tmp_path / "small")
    assert candidate.size_bytes < 0.8 * size
    assert check_alike(open_transducer(tmp_path / "small"), reference(tmp_path / "small"), sounds(4)) > 40
