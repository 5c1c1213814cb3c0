"""whisper.cpp: the library's own text, the types that the file states, and files that would crash the library."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recognizers import ggml
from tests.recognizers.test_real_whisper import REAL, Chapter
from wattscribe.errors import InputError, ModelError, RecognizerError
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.recognizers.ggml_file import read_ggml
from wattscribe.recognizers.wav import wav_file
from wattscribe.scoring import count_errors
from wattscribe.testing.contracts import babble

pytest.importorskip("pywhispercpp", reason="needs wattscribe[whispercpp]")
DTYPES = ("float32", "float16", "q8_0", "q5_0")
Made = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A random model by type, written at its first use."""
    files: dict[str, Path] = {}

    def get(dtype: str = "float16") -> Path:
        if dtype not in files:
            files[dtype] = ggml.random(tmp_path_factory.mktemp("ggml") / f"ggml-{dtype}.bin", dtype)
        return files[dtype]

    return get


def heard(model: str, audio: Any) -> str:
    with closing(open_recognizer(parse_model(model))) as recognizer:
        return recognizer.transcribe([audio])[0].text


def own_text(path: Path, audio: Any, beam: int, **keywords: Any) -> str:
    """The library's own call, with sampling switched off."""
    from pywhispercpp.model import Model

    model = Model(
        str(path), params_sampling_strategy=int(beam > 1), n_threads=1, language="en", temperature_inc=0.0,
        beam_search={"beam_size": beam, "patience": -1.0}, print_progress=False, context_params={"use_gpu": False}, **keywords,
    )  # fmt: skip
    return " ".join(filter(None, (segment.text for segment in model.transcribe(audio))))


@pytest.mark.parametrize(
    ("query", "keywords"), [("beam=1&audio_ctx=200", {"audio_ctx": 200}), ("beam=2&audio_ctx=100", {"audio_ctx": 100})]
)
def test_options_reach_the_library(query: str, keywords: dict[str, int], made: Made) -> None:
    clip, beam = babble(1.0, 1), int(query[5])
    text = heard(f"whispercpp:{made()}?{query}", clip)
    assert text
    assert text.split() == own_text(made(), clip, beam, **keywords).split()


AUDITED = {
    ("float32", "fp32"): True, ("float16", "fp16"): True, ("q8_0", "int8"): True, ("q5_0", "int8"): True,
    ("float16", "fp32"): False, ("q8_0", "fp16"): False, ("float32", "int8"): False, ("q5_0", "stored"): True,
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "precision"), AUDITED)
def test_the_audit_says_what_the_file_says(dtype: str, precision: str, made: Made) -> None:
    with closing(open_recognizer(parse_model(f"whispercpp:{made(dtype)}", precision=precision))) as recognizer:
        audit = recognizer.audit()
    assert audit.ok is AUDITED[dtype, precision], audit.reason
    assert max(audit.weight_bytes, key=lambda name: audit.weight_bytes[name]) == dtype
    assert f"MulMat:{dtype}" in audit.operators
    assert sum(audit.weight_bytes.values()) == pytest.approx(made(dtype).stat().st_size, rel=0.2)


def test_a_file_alone_is_recognised(made: Made, tmp_path: Path) -> None:
    assert parse_model(str(made())).runtime == "whispercpp"
    (tmp_path / "other.bin").write_bytes(b"PK")
    with pytest.raises(InputError, match="no such directory"):
        parse_model(str(tmp_path / "other.bin"))


def test_a_file_that_is_not_there_is_refused_before(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "ggml-tiny.bin"):
        with pytest.raises(InputError, match=r"is a directory|no such file"):
            parse_model(f"whispercpp:{name}")


def changed(path: Path, at: int, number: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack("<i", number))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "ends too early": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "magic number": lambda path: changed(path, 0, 0x46554747),
    "sizes in its header": lambda path: changed(path, 4, 60000),
    "encoder.blocks": lambda path: changed(path, 20, 6),
    "of its heads": lambda path: changed(path, 16, 0),
    "the size": lambda path: changed(path, 8, 1 << 30),
    "no readable ggml": lambda path: path.write_bytes(path.read_bytes()[:52 + 80 * 201 * 4]),
}  # fmt: skip


@pytest.mark.parametrize("words", DAMAGES)
def test_a_damaged_file_is_one_line(words: str, made: Made, tmp_path: Path) -> None:
    """Most of them end the process where the library meets them."""
    path = Path(shutil.copy(made(), tmp_path / "damaged.bin"))
    DAMAGES[words](path)
    with pytest.raises(ModelError, match=words):
        open_recognizer(parse_model(f"whispercpp:{path}"))


def test_weights_that_are_no_numbers_are_found(made: Made, tmp_path: Path) -> None:
    path = Path(shutil.copy(made(), tmp_path / "nan.bin"))
    tensor = next(each for each in read_ggml(path).tensors if each.name == "decoder.ln.weight")
    with path.open("r+b") as file:
        file.seek(tensor.offset_bytes)
        file.write(np.full(4, np.nan, "<f4").tobytes())
    with (
        closing(open_recognizer(parse_model(f"whispercpp:{path}"))) as recognizer,
        pytest.raises(ModelError, match="NaN"),
    ):
        recognizer.audit()


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    path = ggml.random(tmp_path / "multilingual.bin", vocabulary=ggml.MULTILINGUAL)
    with pytest.raises(RecognizerError, match="knows no language"):
        open_recognizer(parse_model(f"whispercpp:{path}?language=klingon"))
    with closing(open_recognizer(parse_model(f"whispercpp:{path}?language=de&beam=1&audio_ctx=100"))) as recognizer:
        assert recognizer.transcribe([babble(0.5, 1)])[0].language == "de"


def test_a_language_that_nobody_states_is_detected(tmp_path: Path) -> None:
    """As whisper.cpp's own program does, told `auto`."""
    import _pywhispercpp as library

    path = ggml.random(tmp_path / "multilingual.bin", vocabulary=ggml.MULTILINGUAL)
    audio = babble(0.5, 1)
    with closing(open_recognizer(parse_model(f"whispercpp:{path}?beam=1&audio_ctx=100"))) as recognizer:
        found = recognizer.transcribe([audio])[0].language
    detected = {library.whisper_lang_str(each) for each in range(library.whisper_lang_max_id() + 1)}
    assert found in detected
    assert found != "en", "that is what the library takes where it is told nothing"


def test_nothing_of_its_log_is_seen(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    heard(f"whispercpp:{made()}?beam=1", babble(0.05, 1))
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """OpenAI's tiny.en, converted here."""
    checkpoint = REAL / "whisper-tiny.en-hf"
    if not checkpoint.is_dir():
        pytest.skip(f"real Whisper weights are not at {checkpoint}")
    pytest.importorskip("safetensors", reason="needs wattscribe[hf]")

    def get(dtype: str) -> Path:
        path = tmp_path_factory.getbasetemp() / f"ggml-tiny.en-{dtype}.bin"
        return path if path.exists() else ggml.convert(checkpoint, path, dtype)

    return get


@pytest.mark.data
@pytest.mark.parametrize("dtype", ["float16", "q5_0"])
def test_real_weights_hear_real_words(dtype: str, tiny: Made, chapter: Chapter) -> None:
    path = tiny(dtype)
    with closing(open_recognizer(parse_model(f"whispercpp:{path}"))) as recognizer:
        texts = [recognizer.transcribe([audio])[0].text for _, _, audio in chapter[:2]]
        audit = recognizer.audit()
    counts = count_errors([reference for _, reference, _ in chapter[:2]], texts, rule="whisper")
    assert counts.errors.sum() / counts.words.sum() < 1 / 5, texts
    assert audit.parameters == pytest.approx(37.8e6, rel=0.02)


@pytest.mark.data
def test_real_multilingual_weights_hear_english(chapter: Chapter, tmp_path: Path) -> None:
    checkpoint = REAL / "whisper-base-hf"
    if not checkpoint.is_dir():
        pytest.skip(f"real Whisper weights are not at {checkpoint}")
    path = ggml.convert(checkpoint, tmp_path / "ggml-base.bin", "q8_0")
    with closing(open_recognizer(parse_model(f"whispercpp:{path}?beam=1"))) as recognizer:
        answers = [recognizer.transcribe([audio])[0] for _, _, audio in chapter[:2]]
    assert {each.language for each in answers} == {"en"}
    counts = count_errors(
        [reference for _, reference, _ in chapter[:2]], [each.text for each in answers], rule="whisper"
    )
    assert counts.errors.sum() / counts.words.sum() < 1 / 5, answers


@pytest.mark.data
@pytest.mark.parametrize("beam", [1, 5])
def test_the_text_is_that_of_whisper_cpps_own_program(beam: int, tiny: Made, chapter: Chapter, tmp_path: Path) -> None:
    program = os.environ.get("WATTSCRIBE_WHISPER_CLI") or shutil.which("whisper-cli")
    if program is None:
        pytest.skip("whisper-cli is not here (WATTSCRIBE_WHISPER_CLI names it)")
    path, (_, _, audio) = tiny("float16"), chapter[0]
    (tmp_path / "a.wav").write_bytes(wav_file(audio))
    asked = ["-m", str(path), "-f", str(tmp_path / "a.wav"), "-t", "1", "-bs", str(beam), "-nf", "-nt", "-np"]
    theirs = subprocess.run([program, *asked], capture_output=True, text=True, timeout=280, check=True).stdout
    assert " ".join(heard(f"whispercpp:{path}?beam={beam}", audio).split()) == " ".join(theirs.split())
