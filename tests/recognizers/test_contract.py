"""What every recognizer promises, fakes included; each promise in one test over all of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.recognizers.conftest import babble
from wattscribe.errors import RecognizerError
from wattscribe.recognizers import Audio, Recognizer, StreamingRecognizer, open_recognizer, parse_model
from wattscribe.records import PrecisionAudit, Transcript, from_json, to_json

NEEDS = {"hf": "transformers", "ct2": "faster_whisper", "sherpa": "sherpa_onnx", "pocketsphinx": "pocketsphinx"}
NAMES = (
    "fake", "pocketsphinx", "ct2", "onnx:real", "sherpa:real",
    *(f"hf:{family}" for family in ("whisper", "wav2vec2", "hubert", "wavlm", "unispeech", "speecht5", "moonshine",
                                    "parakeet-ctc", "parakeet-tdt", "parakeet-rnnt")),
    *(f"sherpa:{kind}" for kind in ("online zipformer2 ctc", "offline transducer", "offline zipformer ctc",
                                    "offline nemo ctc", "whisper", "moonshine")),
)  # fmt: skip
STREAMING = {"fake", "onnx:real", "sherpa:real", "sherpa:online zipformer2 ctc"}
PARAMS = [pytest.param(name, marks=pytest.mark.data if name.endswith(":real") else ()) for name in NAMES]
Open = Callable[[], Recognizer]


@pytest.fixture(scope="module")
def clips() -> list[Audio]:
    """Shorter than elsewhere: PocketSphinx searches long for words in a buzz."""
    return [babble(0.9, 1), babble(0.7, 2)]


@pytest.fixture(scope="module", params=PARAMS)
def opener(request: pytest.FixtureRequest) -> tuple[str, Open]:
    """The name, and a function that opens a fresh recognizer of it."""
    name = str(request.param)
    runtime, _, what = name.partition(":")
    if runtime in NEEDS and find_spec(NEEDS[runtime]) is None:
        pytest.skip(f"needs wattscribe[{runtime}]")
    if runtime == "fake":
        text = "fake:x"
    elif runtime == "pocketsphinx":
        text = "pocketsphinx:en-us"
    elif runtime == "ct2":
        text = f"ct2:{request.getfixturevalue('ct2_model')}?beam=1"
    elif what == "real":
        text = f"{runtime}:{request.getfixturevalue('zipformer')}"
    else:
        path: Path = request.getfixturevalue("checkpoint" if runtime == "hf" else "sherpa_model")(what)
        text = f"{runtime}:{path}"
    spec = parse_model(text)
    return name, lambda: open_recognizer(spec)


@pytest.fixture(scope="module")
def recognizer(opener: tuple[str, Open]) -> Recognizer:
    return opener[1]()


@pytest.fixture(scope="module")
def alone(recognizer: Recognizer, clips) -> list[Transcript]:
    return [recognizer.transcribe([clip])[0] for clip in clips]


def test_order_and_count_are_kept_and_a_call_with_many_equals_many_calls(recognizer: Recognizer, alone, clips):
    assert recognizer.transcribe([clips[1], clips[0]]) == alone[::-1]


def test_the_same_audio_gives_the_same_text_in_a_fresh_recognizer(opener: tuple[str, Open], alone, clips):
    fresh = opener[1]()
    assert fresh.transcribe([clips[0]]) == alone[:1]
    fresh.close()


def test_an_empty_batch_is_answered_with_nothing(recognizer: Recognizer):
    assert recognizer.transcribe([]) == []


@pytest.mark.parametrize("samples", [0, 1, 160, 400, 4000])
def test_short_and_silent_audio_is_answered(recognizer: Recognizer, samples: int):
    for audio in (np.zeros(samples, np.float32), babble(0.5, 3)[:samples]):
        answers = recognizer.transcribe([audio])
        assert len(answers) == 1
        assert isinstance(answers[0].text, str)
        assert answers[0].text == answers[0].text.strip()


def test_bad_samples_are_refused(opener: tuple[str, Open], recognizer: Recognizer):
    if opener[0] in ("fake", "onnx:real"):
        pytest.skip("hears anything, or checks its audio in wattscribe.streaming")
    for audio in (np.array([0.0, np.nan] * 8000, np.float32), np.zeros((2, 8000), np.float32)):
        with pytest.raises(RecognizerError, match=r"NaN|shape"):
            recognizer.transcribe([audio])


def test_the_audit_is_well_formed_and_travels(recognizer: Recognizer):
    audit = recognizer.audit()
    assert isinstance(audit, PrecisionAudit)
    assert audit.ok, audit.reason
    assert audit.device == "cpu"
    assert sum(audit.weight_bytes.values()) > 1000
    assert all(count > 0 for count in audit.weight_bytes.values())
    assert any(":" in name for name in audit.operators)
    assert from_json(PrecisionAudit, to_json(audit)) == audit
    assert recognizer.audit() == audit


def test_streaming_is_offered_by_those_that_can(opener: tuple[str, Open], recognizer: Recognizer, alone, clips):
    assert isinstance(recognizer, StreamingRecognizer) is (opener[0] in STREAMING)
    if not isinstance(recognizer, StreamingRecognizer):
        return
    stream = recognizer.stream()
    stream.accept(np.zeros(0, np.float32))
    assert stream.partial().text == ""
    for start in range(0, len(clips[0]), 2345):
        stream.accept(clips[0][start : start + 2345])
    assert stream.finish().text == alone[0].text


def test_closing_twice_is_closing_once(opener: tuple[str, Open], clips):
    fresh = opener[1]()
    fresh.close()
    fresh.close()
    with pytest.raises(RecognizerError, match="closed"):
        fresh.transcribe([clips[0]])
