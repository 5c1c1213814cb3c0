"""openvino-genai's Whisper: our text is the library's own, and the audit tells what its compiled graphs compute in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wattscribe.as_found import as_found
from wattscribe.errors import ModelError, RecognizerError
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.recognizers.base import Audio
from wattscribe.scoring import count_errors

openvino_genai = pytest.importorskip("openvino_genai", reason="needs wattscribe[openvino]")
pytest.importorskip("transformers", reason="needs wattscribe[hf]")

REAL = Path(os.environ.get("WATTSCRIBE_REAL_MODELS", "~/.cache/real-asr-models")).expanduser() / "whisper-tiny.en-hf"


def test_text_equals_the_librarys_and_transformers(
    openvino_model: Path, checkpoint: object, clips: list[Audio]
) -> None:
    """The weights are the random checkpoint's, so Transformers says the same but for how it counts the limit of tokens."""
    recognizer = open_recognizer(parse_model(f"openvino:{openvino_model}"))
    texts = [answer.text for answer in recognizer.transcribe(clips)]
    with as_found():  # it gives this thread a stack of its own for signals
        own = openvino_genai.WhisperPipeline(str(openvino_model), "CPU")
    assert texts == [own.generate(clip.tolist()).texts[0].strip() for clip in clips]
    assert callable(checkpoint)
    hf = open_recognizer(parse_model(f"hf:{checkpoint('whisper')}"))
    assert [text[:20] for text in texts] == [answer.text[:20] for answer in hf.transcribe(clips)]
    assert all(len(text) >= 3 for text in texts)


def test_signals_are_still_handled_when_the_library_has_freed_its_stack_for_them() -> None:
    """Its plugin gives the thread a stack for signals and puts back the one that it found: another plugin's, which is gone."""
    code = (
        "import faulthandler, signal, openvino\n"
        "from wattscribe.as_found import as_found\n"
        "faulthandler.enable()\n"
        "def overlapping():\n"
        "    first, second = openvino.Core(), openvino.Core()\n"
        "    assert first.available_devices and second.available_devices\n"
        "    del first\n"
        "{how}\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled'))\n"
        "signal.raise_signal(signal.SIGUSR1)\n"
    )
    ended = {
        how: subprocess.run([sys.executable, "-c", code.format(how=how)], capture_output=True, text=True, check=False)
        for how in ("overlapping()", "with as_found(): overlapping()")
    }
    assert [each.returncode for each in ended.values()] == [-signal.SIGSEGV, 0], "the library mends it, or we do not"
    assert ended["with as_found(): overlapping()"].stdout == "handled\n"


def test_a_limit_of_tokens_is_kept(openvino_model: Path, clips: list[Audio]) -> None:
    recognizer = open_recognizer(parse_model(f"openvino:{openvino_model}?max_new_tokens=4"))
    assert len(recognizer.transcribe(clips[:1])[0].text) <= 4


def test_the_audit_reads_the_compiled_graphs(openvino_model: Path) -> None:
    audit = open_recognizer(parse_model(f"openvino:{openvino_model}", precision="fp32")).audit()
    assert audit.ok, audit.reason
    assert audit.operators["FullyConnected:float32"] > 10
    assert audit.device == "cpu"
    int8 = open_recognizer(parse_model(f"openvino:{openvino_model}", precision="int8")).audit()
    assert not int8.ok
    assert "0% of the weight bytes are 8-bit" in str(int8.reason)


def test_what_is_missing_is_named(openvino_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"openvino_encoder_model\.xml.*optimum-cli"):
        open_recognizer(parse_model(f"openvino:{tmp_path}"))
    with pytest.raises(RecognizerError, match="OpenVINO finds no NPU"):
        open_recognizer(parse_model(f"openvino:{openvino_model}", device="npu"))
    folder = Path(shutil.copytree(openvino_model, tmp_path / "model"))
    (folder / "openvino_decoder_model.xml").write_text("<net/>")
    with pytest.raises(RecognizerError, match="openvino-genai cannot load it") as refused:
        open_recognizer(parse_model(f"openvino:{folder}"))
    assert "\n" not in str(refused.value)


@pytest.mark.data
@pytest.mark.timeout(900)
def test_real_weights_hear_real_words(chapter: list[tuple[str, str, Audio]], tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"real Whisper weights are not at {REAL}")
    from tests.recognizers.openvino_models import convert

    convert(REAL, tmp_path)
    recognizer = open_recognizer(parse_model(f"openvino:{tmp_path}", precision="fp32"))
    ours = [answer.text for answer in recognizer.transcribe([audio for _, _, audio in chapter[:2]])]
    counts = count_errors([text for _, text, _ in chapter[:2]], ours, rule="whisper")
    assert counts.errors.sum() / counts.words.sum() < 1 / 5, ours
    audit = recognizer.audit()
    assert audit.ok, audit.reason
    assert audit.parameters == pytest.approx(37.8e6, rel=0.01)
    assert np.isfinite(sum(audit.weight_bytes.values()))
