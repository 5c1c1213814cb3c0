"""Audio and models that the room's tests share, each made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from wattscribe.recognizers.base import Audio
from wattscribe.testing.contracts import babble


@pytest.fixture(scope="session")
def clips() -> list[Audio]:
    return [babble(2.0, 1), babble(1.3, 2), babble(2.7, 3)]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A Transformers checkpoint by family, built at its first use."""
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    import torch

    from tests.recognizers import checkpoints, checkpoints_later

    torch.set_num_threads(1)
    return _built({**checkpoints.BUILDERS, **checkpoints_later.BUILDERS}, tmp_path_factory)


@pytest.fixture(scope="session")
def sherpa_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A sherpa-onnx directory by kind, built at its first use."""
    pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    from tests.recognizers import sherpa_models, sherpa_more

    return _built({**sherpa_models.BUILDERS, **sherpa_more.BUILDERS}, tmp_path_factory)


@pytest.fixture(scope="session")
def onnx_asr_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A directory of onnx-asr by its kind."""
    pytest.importorskip("onnx_asr", reason="needs wattscribe[onnx-asr]")
    from tests.recognizers.onnx_asr_models import BUILDERS

    return _built(BUILDERS, tmp_path_factory)


@pytest.fixture(scope="session")
def vosk_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("vosk", reason="needs wattscribe[vosk]")
    from tests.recognizers.vosk_models import vosk_model

    return _built({"vosk": vosk_model}, tmp_path_factory)("vosk")


@pytest.fixture(scope="session")
def moonshine_streaming_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("moonshine_voice", reason="needs wattscribe[moonshine]")
    from tests.recognizers.moonshine_models import streaming_model

    return _built({"moonshine": streaming_model}, tmp_path_factory)("moonshine")


@pytest.fixture(scope="session")
def openvino_model(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[[str], Path]) -> Path:
    """The random Whisper, converted."""
    pytest.importorskip("openvino_genai", reason="needs wattscribe[openvino]")
    from tests.recognizers.openvino_models import convert

    target = tmp_path_factory.mktemp("openvino")
    convert(checkpoint("whisper"), target)
    return target


def _built(
    builders: Mapping[str, Callable[[Path], None]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Directories by name, each built at its first use."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
            builders[name](folder)
            made[name] = folder
        return made[name]

    return get


@pytest.fixture(scope="session")
def ct2_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Whisper, converted as ct2-transformers-converter does."""
    pytest.importorskip("faster_whisper", reason="needs wattscribe[ct2]")
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    from tests.recognizers.checkpoints import whisper_ct2

    target = tmp_path_factory.mktemp("ct2") / "model"
    whisper_ct2(target)
    return target


@pytest.fixture(scope="session")
def zipformer(shared: Path) -> Path:
    pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    return shared / "models/zipformer-gigaspeech-3.3m"


@pytest.fixture(scope="session")
def chapter(shared: Path) -> list[tuple[str, str, Audio]]:
    """The first eight utterances of the LibriSpeech chapter: id, reference, samples."""
    import soundfile

    folder = shared / "librispeech/dev-clean/3752/4944"
    lines = (folder / "3752-4944.trans.txt").read_text().splitlines()[:8]
    pairs = [line.split(" ", 1) for line in lines]
    return [(name, text, soundfile.read(folder / f"{name}.flac", dtype="float32")[0]) for name, text in pairs]
