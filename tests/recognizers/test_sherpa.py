"""sherpa-onnx directories of every kind: our text is the text of sherpa-onnx's own interface on the same files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattscribe.errors import InputError, ModelError, RecognizerError
from wattscribe.recognizers import StreamingRecognizer, open_recognizer, parse_model
from wattscribe.recognizers.sherpa_files import find_layout

sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")

Directory = Callable[[str], Path]
RATE = 16_000


def own_text(model: Any, audio: np.ndarray, *, online: bool, tail_s: float = 0.8) -> str:
    stream = model.create_stream()
    stream.accept_waveform(RATE, audio)
    if not online:
        model.decode_stream(stream)
        return str(stream.result.text.strip())
    stream.accept_waveform(RATE, np.zeros(round(tail_s * RATE), np.float32))
    stream.input_finished()
    while model.is_ready(stream):
        model.decode_stream(stream)
    return str(model.get_result(stream))


def _transducer(folder: Path) -> dict[str, str]:
    return {part: str(folder / f"{part}.onnx") for part in ("encoder", "decoder", "joiner")}


OWN: dict[str, Callable[[Path], Any]] = {
    "online zipformer2 ctc": lambda d: sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
        tokens=str(d / "tokens.txt"), model=str(d / "model.onnx")
    ),
    "offline transducer": lambda d: sherpa_onnx.OfflineRecognizer.from_transducer(
        tokens=str(d / "tokens.txt"), **_transducer(d)
    ),
    "offline zipformer ctc": lambda d: sherpa_onnx.OfflineRecognizer.from_zipformer_ctc(
        tokens=str(d / "tokens.txt"), model=str(d / "model.onnx")
    ),
    "offline nemo ctc": lambda d: sherpa_onnx.OfflineRecognizer.from_nemo_ctc(
        tokens=str(d / "tokens.txt"), model=str(d / "model.onnx")
    ),
    "whisper": lambda d: sherpa_onnx.OfflineRecognizer.from_whisper(
        tokens=str(d / "tiny.en-tokens.txt"),
        encoder=str(d / "tiny.en-encoder.onnx"),
        decoder=str(d / "tiny.en-decoder.onnx"),
    ),
    "moonshine": lambda d: sherpa_onnx.OfflineRecognizer.from_moonshine(
        tokens=str(d / "tokens.txt"),
        preprocessor=str(d / "preprocess.onnx"),
        encoder=str(d / "encode.onnx"),
        uncached_decoder=str(d / "uncached_decode.onnx"),
        cached_decoder=str(d / "cached_decode.onnx"),
    ),
}


@pytest.mark.parametrize("kind", OWN)
def test_every_kind_gives_the_librarys_own_text(kind: str, sherpa_model: Directory, clips: Any) -> None:
    folder = sherpa_model(kind)
    spec = parse_model(f"sherpa:{folder}")
    assert find_layout(spec).kind == kind
    recognizer = open_recognizer(spec)
    texts = [answer.text for answer in recognizer.transcribe(clips)]
    own = OWN[kind](folder)
    assert texts == [own_text(own, clip, online=kind.startswith("online")) for clip in clips]
    assert all(len(text) > 3 for text in texts)
    assert len(set(texts)) == len(texts)


def test_beam_search_and_its_width_reach_the_library(sherpa_model: Directory, clips: Any) -> None:
    folder = sherpa_model("offline transducer")
    own = sherpa_onnx.OfflineRecognizer.from_transducer(
        tokens=str(folder / "tokens.txt"),
        **_transducer(folder),
        decoding_method="modified_beam_search",
        max_active_paths=8,
        blank_penalty=1.0,
    )
    spec = parse_model(f"sherpa:{folder}?decoding=beam&beam=8&blank_penalty=1")
    texts = [answer.text for answer in open_recognizer(spec).transcribe(clips)]
    assert texts == [own_text(own, clip, online=False) for clip in clips]
    assert texts != [answer.text for answer in open_recognizer(parse_model(f"sherpa:{folder}")).transcribe(clips)]


def test_a_ctc_model_refuses_beam_search(sherpa_model: Directory) -> None:
    with pytest.raises(InputError, match="greedily"):
        open_recognizer(parse_model(f"sherpa:{sherpa_model('offline nemo ctc')}?decoding=beam"))


@pytest.mark.parametrize(
    ("option", "message"),
    [("decoding=viterbi", "greedy, beam"), ("beam=1.5", "whole number"), ("tail_s=-1", "Give 0 to 60")],
)
def test_bad_options_are_named(option: str, message: str, sherpa_model: Directory) -> None:
    with pytest.raises(InputError, match=message):
        open_recognizer(parse_model(f"sherpa:{sherpa_model('offline transducer')}?{option}&"))


def test_int8_is_chosen_by_file_and_judged_by_content(sherpa_model: Directory, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    shutil.copytree(sherpa_model("offline transducer"), folder)
    shutil.copy(folder / "encoder.onnx", folder / "encoder.int8.onnx")
    chosen = {p: find_layout(parse_model(f"sherpa:{folder}", precision=p)).parts for p in ("fp32", "int8", "stored")}
    assert {p: parts["encoder"].name for p, parts in chosen.items()} == {
        "fp32": "encoder.onnx",
        "int8": "encoder.int8.onnx",
        "stored": "encoder.onnx",
    }
    audit = open_recognizer(parse_model(f"sherpa:{folder}", precision="int8")).audit()
    assert not audit.ok
    assert "0% of the weight bytes" in str(audit.reason)


def test_ambiguous_missing_and_unknown_files_are_named(sherpa_model: Directory, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sherpa_model("offline transducer"), folder)
    shutil.copy(folder / "encoder.onnx", folder / "encoder-epoch-2.onnx")
    with pytest.raises(ModelError, match=r"could be the encoder: encoder-epoch-2\.onnx, encoder\.onnx"):
        open_recognizer(parse_model(f"sherpa:{folder}"))
    open_recognizer(parse_model(f"sherpa:{folder}?encoder=encoder.onnx")).close()
    with pytest.raises(ModelError, match=r"no file 'nope\.onnx'"):
        open_recognizer(parse_model(f"sherpa:{folder}?encoder=nope.onnx"))
    (folder / "encoder-epoch-2.onnx").unlink()
    (folder / "tokens.txt").unlink()
    with pytest.raises(ModelError, match=r"tokens\.txt"):
        open_recognizer(parse_model(f"sherpa:{folder}"))


def test_a_broken_file_is_an_error_and_not_a_crash(sherpa_model: Directory, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sherpa_model("offline nemo ctc"), folder)
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:200])
    with pytest.raises((ModelError, RecognizerError)):
        open_recognizer(parse_model(f"sherpa:{folder}"))


# --- the real streaming zipformer -----------------------------------------------------------------------------------
def _own_zipformer(folder: Path, **keywords: Any) -> Any:
    return sherpa_onnx.OnlineRecognizer.from_transducer(
        tokens=str(folder / "tokens.txt"),
        encoder=str(folder / "encoder.int8.onnx"),
        decoder=str(folder / "decoder.onnx"),
        joiner=str(folder / "joiner.onnx"),
        num_threads=1,
        **keywords,
    )


def test_real_text_equals_the_librarys_with_and_without_batches(zipformer: Path, chapter: Any) -> None:
    own = _own_zipformer(zipformer)
    audio = [samples for _, _, samples in chapter[:4]]
    expected = [own_text(own, samples, online=True) for samples in audio]
    for size in (1, 3):
        recognizer = open_recognizer(parse_model(f"sherpa:{zipformer}", batch_size=size))
        assert [answer.text for answer in recognizer.transcribe(audio)] == expected


def test_a_real_stream_gives_the_same_for_every_chunking(zipformer: Path, chapter: Any) -> None:
    _, reference, samples = chapter[0]
    recognizer = open_recognizer(parse_model(f"sherpa:{zipformer}"))
    assert isinstance(recognizer, StreamingRecognizer)
    whole = recognizer.transcribe([samples])[0]
    assert len(set(reference.split()) & set(whole.text.split())) > len(reference.split()) / 2
    for chunk in (160, 1600, 8000, len(samples)):
        stream = recognizer.stream()
        seen = []
        for start in range(0, len(samples), chunk):
            stream.accept(samples[start : start + chunk])
            seen.append(stream.partial())
        final = stream.finish()
        assert final == whole
        assert stream.finish() == final
        assert all(final.text.startswith(partial.text) for partial in seen)
        starts = [token.start_s for token in final.tokens]
        assert starts == sorted(starts)
        assert 0 < starts[-1] < len(samples) / RATE + 0.8
        assert "".join(token.text for token in final.tokens).strip() == final.text
    with pytest.raises(RecognizerError, match="finished"):
        stream.accept(samples)


def test_the_tail_is_an_option(zipformer: Path, chapter: Any) -> None:
    samples = chapter[1][2]
    own = _own_zipformer(zipformer)
    for tail_s in (0.0, 0.3):
        recognizer = open_recognizer(parse_model(f"sherpa:{zipformer}?tail_s={tail_s}"))
        assert recognizer.transcribe([samples])[0].text == own_text(own, samples, online=True, tail_s=tail_s)


def test_streams_are_independent(zipformer: Path, chapter: Any) -> None:
    recognizer = open_recognizer(parse_model(f"sherpa:{zipformer}"))
    assert isinstance(recognizer, StreamingRecognizer)
    first, second = recognizer.stream(), recognizer.stream()
    one, two = chapter[0][2], chapter[1][2]
    for start in range(0, max(len(one), len(two)), 8000):
        first.accept(one[start : start + 8000])
        second.accept(two[start : start + 8000])
    assert [first.finish(), second.finish()] == recognizer.transcribe([one, two])
