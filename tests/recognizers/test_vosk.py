"""Vosk on a random model in Kaldi's own files: the library's own text, the same one each time, and what is stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from wattscribe.errors import ModelError, RecognizerError
from wattscribe.recognizers import StreamingRecognizer, open_recognizer, parse_model
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.vosk import stored_in

vosk = pytest.importorskip("vosk", reason="needs wattscribe[vosk]")


@pytest.fixture(scope="module")
def without_noise(vosk_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without Kaldi's dither, which the library draws anew for every call."""
    folder = Path(shutil.copytree(vosk_model, tmp_path_factory.mktemp("quiet") / "model"))
    with (folder / "conf/mfcc.conf").open("a") as file:
        file.write("--dither=0\n")
    return folder


def own_text(folder: Path, clip: Audio) -> str:
    vosk.SetLogLevel(-1)
    recognizer = vosk.KaldiRecognizer(vosk.Model(str(folder)), 16_000)
    recognizer.AcceptWaveform((np.clip(clip, -1, 1) * 32767).round().astype("<i2").tobytes())
    return str(json.loads(recognizer.FinalResult())["text"])


def test_text_equals_the_librarys(without_noise: Path, clips: list[Audio]) -> None:
    recognizer = open_recognizer(parse_model(f"vosk:{without_noise}"))
    texts = [answer.text for answer in recognizer.transcribe(clips)]
    assert texts == [own_text(without_noise, clip) for clip in clips]
    assert len(set(texts)) == len(clips)


def test_dither_does_not_change_a_text_from_run_to_run(vosk_model: Path, clips: list[Audio]) -> None:
    """With times: without the seed they differ in almost every run."""
    recognizer = open_recognizer(parse_model(f"vosk:{vosk_model}"))
    answers = [recognizer.transcribe(clips[:1])[0] for _ in range(5)]
    assert all(answer == answers[0] for answer in answers)


def test_streams_that_alternate_give_the_whole_texts(vosk_model: Path, clips: list[Audio]) -> None:
    recognizer = open_recognizer(parse_model(f"vosk:{vosk_model}"))
    assert isinstance(recognizer, StreamingRecognizer)
    streams = [recognizer.stream() for _ in clips[:2]]
    seen = set()
    for start in range(0, 32_000, 1000):
        for stream, clip in zip(streams, clips, strict=False):
            stream.accept(clip[start : start + 1000])
        seen.add(streams[0].partial().text)
    assert [stream.finish() for stream in streams] == recognizer.transcribe(clips[:2])
    assert len(seen) > 3
    with pytest.raises(RecognizerError, match="finished"):
        streams[0].accept(clips[0])


def test_words_carry_their_times(vosk_model: Path, clips: list[Audio]) -> None:
    (answer,) = open_recognizer(parse_model(f"vosk:{vosk_model}")).transcribe(clips[:1])
    assert " ".join(token.text for token in answer.tokens) == answer.text
    starts = [token.start_s for token in answer.tokens]
    assert starts == sorted(starts)
    assert starts[-1] < 2.0


def test_the_audit_counts_kaldis_matrices(vosk_model: Path) -> None:
    """26 × 40 weights, 26 biases, 53 scores of transitions."""
    assert stored_in(vosk_model / "am/final.mdl") == {"float32": 4 * (26 * 40 + 26 + 53)}
    audit = open_recognizer(parse_model(f"vosk:{vosk_model}", precision="fp32")).audit()
    assert audit.ok
    assert audit.parameters == 26 * 40 + 26 + 53


def test_a_mark_inside_a_number_is_no_matrix(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"\0BFM \x04\xff\xff\xff\x7f\x04\xff\xff\xff\x7f" + b"FV \x04\x02\0\0\0" + bytes(8))
    assert stored_in(path) == {"float32": 8}


def test_what_is_missing_or_broken_is_named(vosk_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"acoustic model \(am/final\.mdl"):
        open_recognizer(parse_model(f"vosk:{tmp_path}"))
    folder = Path(shutil.copytree(vosk_model, tmp_path / "model"))
    (folder / "am/final.mdl").write_bytes(b"no model")
    with pytest.raises(RecognizerError, match="Vosk cannot load it") as refused:
        open_recognizer(parse_model(f"vosk:{folder}"))
    assert "\n" not in str(refused.value)
    (folder / "graph/HCLG.fst").unlink()
    with pytest.raises(ModelError, match="decoding graph"):
        open_recognizer(parse_model(f"vosk:{folder}"))
