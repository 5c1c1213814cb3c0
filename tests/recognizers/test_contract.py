"""What every recognizer promises, fakes included; each promise in one test over all of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import wattscribe
from tests.recognizers import ggml
from tests.recognizers.test_endpoint import Server
from wattscribe.errors import RecognizerError
from wattscribe.recognizers import Audio, Recognizer, StreamingRecognizer, open_recognizer, parse_model
from wattscribe.recognizers.registry import RUNTIMES
from wattscribe.testing.contracts import RecognizerContract, babble
from wattscribe.transcribing import Follower

NEEDS = {"hf": "transformers", "ct2": "faster_whisper", "sherpa": "sherpa_onnx", "pocketsphinx": "pocketsphinx",
         "whispercpp": "pywhispercpp"}  # fmt: skip
NAMES = (
    "fake", "pocketsphinx", "ct2", "whispercpp", "cmd", "cmd:stream", "http", "onnx:real", "sherpa:real",
    *(f"hf:{family}" for family in ("whisper", "wav2vec2", "hubert", "wavlm", "unispeech", "speecht5", "moonshine",
                                    "parakeet-ctc", "parakeet-tdt", "parakeet-rnnt", "nemotron", "nemotron-3.5",
                                    "qwen3-asr", "kyutai")),
    *(f"sherpa:{kind}" for kind in ("online zipformer2 ctc", "offline transducer", "offline zipformer ctc",
                                    "offline nemo ctc", "whisper", "moonshine", "dolphin ctc", "fire red asr ctc",
                                    "medasr ctc", "offline wenet ctc", "telespeech ctc", "tdnn ctc",
                                    "omnilingual asr ctc", "sense voice", "offline paraformer", "online t-one ctc",
                                    "online wenet ctc")),
    "moonshine", "vosk", "openvino",
    *(f"onnx-asr:{kind}" for kind in ("nemo-conformer-ctc", "nemo-conformer-tdt", "nemo-conformer-aed",
                                      "gigaam-v3-ctc", "gigaam-v3-rnnt", "whisper")),
)  # fmt: skip
STREAMING = {"fake", "cmd:stream", "onnx:real", "sherpa:real", "sherpa:online zipformer2 ctc"}
PARAMS = [pytest.param(name, marks=pytest.mark.data if name.endswith(":real") else ()) for name in NAMES]
Open = Callable[[], Recognizer]
FIXTURES = {"hf": "checkpoint", "sherpa": "sherpa_model", "onnx-asr": "onnx_asr_model"}
SINGLE = {"moonshine": "moonshine_streaming_model", "vosk": "vosk_model", "openvino": "openvino_model"}
NEEDS |= {"moonshine": "moonshine_voice", "onnx-asr": "onnx_asr", "vosk": "vosk", "openvino": "openvino_genai"}
STREAMING |= {"sherpa:online t-one ctc", "sherpa:online wenet ctc", "moonshine", "vosk"}


@pytest.fixture(scope="module")
def clips() -> list[Audio]:
    """Shorter than elsewhere: PocketSphinx searches long for words in a buzz."""
    return [babble(0.9, 1), babble(0.7, 2)]


UNSTEADY = ("sherpa:offline wenet ctc",)
"""Random models whose text differs from call to call of one recognizer: ties fall with where the memory lies."""
COMMAND = """
import base64, json, sys
lengths = {}
for line in sys.stdin:
    request = json.loads(line)
    lengths[request["id"]] = lengths.get(request["id"], 0) + len(base64.b64decode(request["samples"]))
    key = "text" if request.get("last", True) else "partial"
    print(json.dumps({key: f"{lengths[request['id']]} bytes"}), flush=True)
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("command") / "asr.py"
    path.write_text(COMMAND)
    return path


@pytest.fixture(scope="module")
def ggml_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ggml.random(tmp_path_factory.mktemp("ggml") / "ggml-random.bin")


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with Server() as server:
        server.answers = [lambda handler: handler.say(200, f"{len(server.asked[-1][2]['file'])} bytes".encode())]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.url
        server.shutdown()


@pytest.fixture(scope="module", params=PARAMS)
def named(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The name here, and the one that a user writes."""
    name = str(request.param)
    runtime, _, what = name.partition(":")
    if runtime in NEEDS and find_spec(NEEDS[runtime]) is None:
        pytest.skip(f"needs wattscribe[{runtime}]")
    if runtime == "fake":
        text = "fake:x"
    elif runtime == "pocketsphinx":
        text = "pocketsphinx:en-us"
    elif runtime == "whispercpp":
        text = f"whispercpp:{request.getfixturevalue('ggml_model')}?beam=1&audio_ctx=100"  # a beam draws its candidates
    elif runtime == "cmd":
        text = f"cmd:{sys.executable} {request.getfixturevalue('command')}?{'stream=true' if what else 'audio=samples'}"
    elif runtime == "http":
        text = f"{request.getfixturevalue('served')}?response_format=text"
    elif runtime == "ct2":
        text = f"ct2:{request.getfixturevalue('ct2_model')}?beam=1"
    elif what == "real":
        text = f"{runtime}:{request.getfixturevalue('zipformer')}"
    elif runtime in SINGLE:
        text = f"{runtime}:{request.getfixturevalue(SINGLE[runtime])}"
    else:
        path: Path = request.getfixturevalue(FIXTURES[runtime])(what)
        text = f"{runtime}:{path}"
    return name, text


@pytest.fixture(scope="module")
def opener(named: tuple[str, str]) -> tuple[str, Open]:
    """The name, and a function that opens a fresh recognizer of it."""
    spec = parse_model(named[1])
    return named[0], lambda: open_recognizer(spec)


@pytest.fixture(scope="module")
def contract(opener: tuple[str, Open], clips: list[Audio]) -> RecognizerContract:
    return RecognizerContract(opener[1], clips)


@pytest.fixture(scope="module")
def recognizer(contract: RecognizerContract) -> Recognizer:
    return contract.recognizer


@pytest.mark.parametrize("promise", RecognizerContract.PROMISES)
def test_every_promise_is_kept(contract: RecognizerContract, promise: str) -> None:
    getattr(contract, promise)()


def test_bad_samples_are_refused(opener: tuple[str, Open], recognizer: Recognizer) -> None:
    if opener[0] in ("fake", "onnx:real"):
        pytest.skip("hears anything, or checks its audio in wattscribe.streaming")
    for audio in (np.array([0.0, np.nan] * 8000, np.float32), np.zeros((2, 8000), np.float32)):
        with pytest.raises(RecognizerError, match=r"NaN|shape"):
            recognizer.transcribe([audio])


def test_ours_audit_what_they_computed_in(opener: tuple[str, Open], recognizer: Recognizer) -> None:
    audit = recognizer.audit()
    assert audit.ok, audit.reason
    assert audit.device == "cpu"
    if opener[0].startswith(("cmd", "http")):
        assert "not" in str(audit.note), "nothing is visible, which is said"
        return
    assert sum(audit.weight_bytes.values()) > 1000
    assert any(":" in name for name in audit.operators)


def test_streaming_is_offered_by_those_that_can(opener: tuple[str, Open], recognizer: Recognizer) -> None:
    assert isinstance(recognizer, StreamingRecognizer) is (opener[0] in STREAMING)


def test_a_closed_one_says_so(opener: tuple[str, Open], clips: Any) -> None:
    fresh = opener[1]()
    fresh.close()
    with pytest.raises(RecognizerError, match="closed"):
        fresh.transcribe([clips[0]])


def test_every_runtime_is_among_them() -> None:
    """`python:` has tests of its own (test_foreign.py), and https: is http: with a certificate."""
    assert {name.partition(":")[0] for name in NAMES} | {"python", "https"} == set(RUNTIMES)


class Heard(Follower):
    def __init__(self) -> None:
        self.partials: list[str] = []

    def partial(self, source: str, text: str) -> None:
        self.partials.append(text)


def test_transcribe_runs_it_under_the_same_name(
    named: tuple[str, str], recognizer: Recognizer, clips: list[Audio], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", np.tile(clips[0], 2), 16_000, subtype="FLOAT")
    heard = Heard()
    (transcript,) = wattscribe.transcribe(named[1], [tmp_path / "a.wav"], follow=heard)
    audio = np.tile(clips[0], 2)
    calls = 12 if named[0] in UNSTEADY else 1
    assert any(recognizer.transcribe([audio])[0].text == transcript.text for _ in range(calls))
    if not isinstance(recognizer, StreamingRecognizer):
        assert set(heard.partials[:-1]) <= {""}, "text before the end"
