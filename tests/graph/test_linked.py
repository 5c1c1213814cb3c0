"""A model whose files are links into a folder of blobs, as the hub's cache keeps them, runs as one that lies there itself."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.streaming import models
from wattscribe.energy.files import of_directory
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.seq2seq.export import export_whisper
from wattscribe.testing.contracts import babble


def outside(source: Path, target: Path) -> Path:
    """The directory with every weight in a second file, as large exports have it."""
    target.mkdir()
    for path in source.iterdir():
        if path.suffix == ".onnx":
            beside = {"location": f"{path.name}_data", "size_threshold": 256}
            onnx.save(onnx.load(path), target / path.name, save_as_external_data=True, **beside)
        elif path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


def linked(source: Path, folder: Path) -> Path:
    """blobs/ab/0…, and snapshot/NAME, a link to each."""
    snapshot = folder / "snapshot"
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir())):
        blob = folder / "blobs" / f"{number:02x}" / "blob"  # each in a folder of its own, as git-annex has them
        blob.parent.mkdir(parents=True)
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(blob)
    return snapshot


@pytest.fixture(scope="module")
def whisper_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    from tests.recognizers.checkpoints import whisper

    folder = tmp_path_factory.mktemp("linked-whisper")
    (folder / "source").mkdir()
    whisper(folder / "source")
    export_whisper(str(folder / "source"), folder / "export")
    return folder / "export"


@pytest.fixture(scope="module")
def transducer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linked-transducer") / "model"
    models.build(folder)
    return folder


def text_of(folder: Path) -> str:
    recognizer = open_recognizer(parse_model(f"onnx:{folder}"))
    (heard,) = recognizer.transcribe([babble(2.0, 1)])
    recognizer.close()
    return heard.text


@pytest.mark.parametrize("beside", [False, True], ids=["weights inside", "weights beside"])
@pytest.mark.parametrize("kind", ["whisper_export", "transducer"])
def test_links_are_followed(
    kind: str, beside: bool, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATTSCRIBE_GRAPH_CACHE", "off")  # every graph is opened as it lies
    source: Path = request.getfixturevalue(kind)
    plain = outside(source, tmp_path / "plain") if beside else source
    snapshot = linked(plain, tmp_path / "cache")
    assert text_of(snapshot) == text_of(source)
    theirs, ours = of_directory(snapshot), of_directory(plain)
    assert [part.call_bytes for part in theirs.components] == [part.call_bytes for part in ours.components]
    assert [part.total_macs for part in theirs.components] == [part.total_macs for part in ours.components]
