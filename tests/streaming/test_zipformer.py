"""The real zipformer against sherpa-onnx on the same directory: same words at the same times, endpoints included."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks._memory import measured

from tests.streaming import models
from tests.streaming.test_decoding import alike
from wattscribe.corpora.audio import read_audio
from wattscribe.streaming import Endpointing, open_transducer
from wattscribe.streaming.files import find_files

pytestmark = pytest.mark.data
SHARED = models.ZIPFORMER.parents[1]


@cache
def speech() -> tuple[np.ndarray, ...]:
    """Some utterances of the clean and of the noisy chapter and some LJSpeech clips; benchmarks/streaming.py hears all."""
    files = [
        *sorted((SHARED / "librispeech").rglob("*.flac"))[::18],
        *sorted(path for path in (SHARED / "librispeech-noisy").rglob("*") if path.suffix in (".flac", ".wav"))[3::18],
        *sorted(path for path in (SHARED / "ljspeech").rglob("*") if path.suffix in (".flac", ".wav", ".ogg"))[::40],
    ]
    return tuple(read_audio(path) for path in files)


def theirs(method: str, joiner: str = "joiner.onnx", **options: object) -> Any:
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    where = str(models.ZIPFORMER)
    return sherpa_onnx.OnlineRecognizer.from_transducer(
        tokens=f"{where}/tokens.txt", encoder=f"{where}/encoder.int8.onnx", decoder=f"{where}/decoder.onnx",
        joiner=f"{where}/{joiner}", num_threads=1,
        decoding_method="greedy_search" if method == "greedy" else "modified_beam_search", **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "joiner", "blank_penalty"),
    [
        ("greedy", "joiner.onnx", 0.0),
        ("beam", "joiner.onnx", 0.0),
        ("greedy", "joiner.int8.onnx", 0.0),
        ("beam", "joiner.onnx", 0.8),
    ],
)
def test_the_same_words_at_the_same_times(method: str, joiner: str, blank_penalty: float) -> None:
    reference = theirs(method, joiner, blank_penalty=blank_penalty)
    ours = open_transducer(
        models.ZIPFORMER, precision="int8" if "int8" in joiner else None, decoding=method, blank_penalty=blank_penalty
    )
    joiner_calls = frames = 0
    for audio in speech()[:: 1 if method == "greedy" else 2]:
        stream = reference.create_stream()
        stream.accept_waveform(16000, audio)
        stream.accept_waveform(16000, np.zeros(12800, np.float32))
        stream.input_finished()
        while reference.is_ready(stream):
            reference.decode_stream(stream)
        expected = reference.get_result_all(stream)
        found = ours.transcribe([audio])[0]
        assert found.text == expected.text.strip()
        assert np.allclose([token.start_s for token in found.tokens], expected.timestamps)
        assert found.counts is not None
        joiner_calls, frames = joiner_calls + found.counts.joiner_calls, frames + found.counts.frames
    if method == "greedy":
        assert frames >= 3 * joiner_calls


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_the_same_utterances_between_endpoints(method: str) -> None:
    reference = theirs(method, enable_endpoint_detection=True)
    ours = open_transducer(models.ZIPFORMER, decoding=method, endpointing=Endpointing()).stream()
    audio = np.concatenate(
        [np.concatenate([each, np.zeros(16000 * (1 + i % 3), np.float32)]) for i, each in enumerate(speech()[:7])]
    )
    stream, expected = reference.create_stream(), []
    for start in range(0, len(audio), 5120):
        stream.accept_waveform(16000, audio[start : start + 5120])
        while reference.is_ready(stream):
            reference.decode_stream(stream)
            if reference.is_endpoint(stream):
                expected.append(reference.get_result(stream).strip())
                reference.reset(stream)
    ours.accept(audio)
    assert len(expected) > 3
    assert [each.transcript.text for each in ours.ended] == expected


def test_the_live_feed_reads_what_the_file_reads() -> None:
    ours = open_transducer(models.ZIPFORMER)
    for audio in speech()[:4]:
        stream = ours.stream()
        for start in range(0, len(audio), 1600):
            stream.accept(audio[start : start + 1600])
        assert alike(stream.finish(), ours.transcribe([audio])[0])


def test_directories_without_their_rewritten_graph_read_the_same() -> None:
    plain, rewritten = (open_transducer(models.ZIPFORMER, rewriting=flag) for flag in (False, True))
    audio = list(speech()[:3])
    assert plain.transcribe(audio) == rewritten.transcribe(audio)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_a_running_stream_keeps_little_more_than_the_weights(tmp_path: Path) -> None:
    """Memory that is not pages of files, which does not depend on the machine's page cache; the peak stands in `make bench`."""
    audio = sorted((SHARED / "librispeech").rglob("*.flac"))[0]
    weights = sum(path.stat().st_size for _, path in find_files(models.ZIPFORMER).components)
    for _ in range(2):  # the first start prepares the graph
        found = measured(str(tmp_path), "live", str(models.ZIPFORMER), str(audio))
    assert found["without_file_pages_bytes"] < 3 * weights
