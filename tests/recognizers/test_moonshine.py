"""moonshine-voice: the real tiny.en on real speech, and a random streaming model, against the library's own interface."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattscribe.errors import InputError, ModelError, RecognizerError
from wattscribe.recognizers import StreamingRecognizer, open_recognizer, parse_model
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.moonshine import text_of
from wattscribe.scoring import count_errors
from wattscribe.testing.contracts import RecognizerContract
from wattscribe.units import SAMPLE_RATE_HZ

pytest.importorskip("moonshine_voice", reason="needs wattscribe[moonshine]")

REAL = Path(os.environ.get("WATTSCRIBE_REAL_MODELS", "~/.cache/real-asr-models")).expanduser() / "moonshine-tiny-en"
HEARD = 3


@pytest.fixture(scope="module")
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip(f"Moonshine's weights are not at {REAL}")
    return REAL


def own_texts(folder: Path, clips: list[Audio], arch: int, **options: Any) -> list[str]:
    """By the library's stream, fed with everything at once."""
    from moonshine_voice.moonshine_api import ModelArch
    from moonshine_voice.transcriber import Transcriber

    model = Transcriber(
        folder, ModelArch(arch), options={"vad_threshold": 0, "vad_max_segment_duration": 1e6, **options}
    )
    texts = []
    for clip in clips:
        stream = model.create_stream(update_interval=1e6)
        stream.start()
        stream.add_audio(clip.tolist())
        texts.append(text_of(stream.stop()))
        stream.close()
    model.close()
    return texts


@pytest.mark.data
def test_the_real_model_hears_what_the_library_hears(real: Path, chapter: list[tuple[str, str, Audio]]) -> None:
    """At most one word in six wrong on three clean utterances, as for the small Whispers."""
    clips = [audio for _, _, audio in chapter[:HEARD]]
    recognizer = open_recognizer(parse_model(f"moonshine:{real}"))
    ours = [answer.text for answer in recognizer.transcribe(clips)]
    assert ours == own_texts(real, clips, 0)
    counts = count_errors([text for _, text, _ in chapter[:HEARD]], ours, rule="whisper")
    assert counts.errors.sum() / counts.words.sum() < 1 / 6, ours
    audit = recognizer.audit()
    assert audit.ok
    assert audit.weight_bytes["uint8"] == pytest.approx(34.8e6, rel=0.01)
    assert "one per core" in str(audit.note)
    assert not isinstance(recognizer, StreamingRecognizer)
    recognizer.close()


@pytest.mark.data
def test_the_real_model_keeps_the_promises(real: Path) -> None:
    RecognizerContract(lambda: open_recognizer(parse_model(f"moonshine:{real}"))).check()


@pytest.mark.data
def test_fp32_is_not_what_eight_bits_are(real: Path) -> None:
    audit = open_recognizer(parse_model(f"moonshine:{real}", precision="fp32")).audit()
    assert not audit.ok
    assert "uint8" in str(audit.reason)


@pytest.mark.data
def test_long_audio_is_cut_where_it_is_quiet_and_loses_nothing(
    real: Path, chapter: list[tuple[str, str, Audio]]
) -> None:
    """The library would hear all of it at once, far beyond what the model was trained on."""
    long = np.concatenate([audio for _, _, audio in chapter])
    recognizer = open_recognizer(parse_model(f"moonshine:{real}?chunk_s=8"))
    words = recognizer.transcribe([long])[0].text.split()
    spoken = sum(len(text.split()) for _, text, _ in chapter)
    assert abs(len(words) - spoken) <= spoken / 4
    recognizer.close()


def test_a_streaming_models_text_is_the_librarys_however_it_comes(
    moonshine_streaming_model: Path, clips: list[Audio]
) -> None:
    recognizer = open_recognizer(parse_model(f"moonshine:{moonshine_streaming_model}"))
    assert isinstance(recognizer, StreamingRecognizer)
    own = own_texts(moonshine_streaming_model, clips, 2)
    assert len(set(own)) == len(clips)
    assert [answer.text for answer in recognizer.transcribe(clips)] == own
    for chunk in (160, 1600, 8000):
        stream = recognizer.stream()
        partials = []
        for start in range(0, len(clips[0]), chunk):
            stream.accept(clips[0][start : start + chunk])
            partials.append(stream.partial().text)
        assert stream.finish().text == own[0]
        assert len(set(partials)) > 2  # text comes while it hears
    with pytest.raises(RecognizerError, match="finished"):
        stream.accept(clips[0])


def test_a_stream_ends_when_another_begins(moonshine_streaming_model: Path, clips: list[Audio]) -> None:
    """Heard in turns they would change each other's words: the library has one state for all."""
    recognizer = open_recognizer(parse_model(f"moonshine:{moonshine_streaming_model}"))
    assert isinstance(recognizer, StreamingRecognizer)
    first = recognizer.stream()
    first.accept(clips[0])
    second = recognizer.stream()
    with pytest.raises(RecognizerError, match="one stream at a time"):
        first.accept(clips[0])
    with pytest.raises(RecognizerError, match="one stream at a time"):
        first.finish()
    second.accept(clips[1])
    assert second.finish().text == recognizer.transcribe(clips[1:2])[0].text


def test_the_last_frames_are_heard(moonshine_streaming_model: Path, clips: list[Audio]) -> None:
    """The library's call for whole audio leaves a streaming model's lookahead unheard: its text is that of less audio."""
    from moonshine_voice.moonshine_api import ModelArch
    from moonshine_voice.transcriber import Transcriber

    model = Transcriber(moonshine_streaming_model, ModelArch(2), options={"vad_threshold": 0})
    short = text_of(model.transcribe_without_streaming(clips[0].tolist(), SAMPLE_RATE_HZ))
    recognizer = open_recognizer(parse_model(f"moonshine:{moonshine_streaming_model}"))
    assert recognizer.transcribe(clips[:1])[0].text != short


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"holds no encoder_model\.ort"),
        (
            {"encoder_model.ort": b"x", "decoder_model_merged.ort": b"", "tokenizer.bin": b"x"},
            r"no decoder_model_merged\.ort, or",
        ),
        ({"streaming_config.json": b"{}"}, r"holds no frontend\.ort"),
    ],
)
def test_what_is_missing_is_named(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        open_recognizer(parse_model(f"moonshine:{tmp_path}"))


def test_files_of_another_kind_are_one_line(moonshine_streaming_model: Path, tmp_path: Path) -> None:
    for path in moonshine_streaming_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes() if path.suffix != ".ort" else b"no model")
    with pytest.raises(RecognizerError, match="moonshine-voice cannot load it") as refused:
        open_recognizer(parse_model(f"moonshine:{tmp_path}"))
    assert "\n" not in str(refused.value)
    (tmp_path / "streaming_config.json").write_text('{"depth": "many"}')
    with pytest.raises(ModelError, match="depth"):
        open_recognizer(parse_model(f"moonshine:{tmp_path}"))


def test_a_bad_option_is_named(moonshine_streaming_model: Path) -> None:
    with pytest.raises(InputError, match="vad"):
        open_recognizer(parse_model(f"moonshine:{moonshine_streaming_model}?vad=perhaps"))
