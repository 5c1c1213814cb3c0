"""Audio and models that the room's tests share, each made once."""

from __future__ import annotations

from collections.abc import Callable
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

    from tests.recognizers.checkpoints import BUILDERS

    torch.set_num_threads(1)
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family)
            BUILDERS[family](made[family])
        return made[family]

    return get


@pytest.fixture(scope="session")
def sherpa_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A sherpa-onnx directory by kind, built at its first use."""
    pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    from tests.recognizers.sherpa_models import BUILDERS

    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind.replace(" ", "-"))
            BUILDERS[kind](made[kind])
        return made[kind]

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
