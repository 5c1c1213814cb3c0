"""Random checkpoints of a Whisper's shape and what is exported of them, each made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattscribe.recognizers import Audio
from wattscribe.seq2seq.export import export_whisper
from wattscribe.testing.contracts import babble

LANGUAGES = ("en", "de", "fr")


@pytest.fixture(scope="session")
def clips() -> list[Audio]:
    return [babble(2.0, 1), babble(1.3, 2), babble(2.7, 3)]


def _checkpoint(folder: Path, languages: tuple[str, ...] = ("en",)) -> Path:
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    from tests.recognizers.checkpoints import whisper

    whisper(folder, languages=languages)
    return folder


@pytest.fixture(scope="session")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _checkpoint(tmp_path_factory.mktemp("english"))


@pytest.fixture(scope="session")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _checkpoint(tmp_path_factory.mktemp("multilingual"), languages=LANGUAGES)


@pytest.fixture(scope="session")
def exported(english: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export_whisper(str(english), folder, precisions=("fp32", "fp16", "int8"))
    return folder


@pytest.fixture(scope="session")
def exported_multilingual(multilingual: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported-multilingual")
    export_whisper(str(multilingual), folder)
    return folder
