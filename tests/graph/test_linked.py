"""A model whose files are links into a folder of blobs, as the hub's cache keeps them, runs as one that lies there itself."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.streaming import models
from wattscribe.energy.files import of_directory
from wattscribe.errors import ModelError
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
    """.git/annex/objects/0f/m7/KEY/KEY, each in folders of its own, and model/NAME, a link to each."""
    snapshot = folder / "model"
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir())):
        blob = folder / ".git/annex/objects" / f"{number:02x}" / "m7" / f"SHA256E-{number}" / f"SHA256E-{number}"
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


def in_the_hubs_cache(source: Path, folder: Path) -> Path:
    """blobs/HASH, and snapshots/REVISION/NAME, a relative link to each."""
    snapshot, blobs = folder / "snapshots" / "0a1b2c", folder / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(sorted(source.iterdir())):
        (blobs / f"{number:064x}").write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(Path("../../blobs") / f"{number:064x}")
    return snapshot


def test_weights_behind_a_link_out_of_the_model_are_refused(transducer: Path, tmp_path: Path) -> None:
    """Whoever made the directory could otherwise have any file of the reader's read, and written into what is made of it."""
    plain = outside(transducer, tmp_path / "plain")
    snapshot = in_the_hubs_cache(plain, tmp_path / "models--somebody--model")
    assert of_directory(snapshot).size_bytes == of_directory(transducer).size_bytes
    weights = snapshot / "encoder.onnx_data"
    secret = tmp_path / "secret"
    secret.write_bytes(weights.read_bytes())
    weights.unlink()
    weights.symlink_to(secret)
    for use in (of_directory, text_of):
        with pytest.raises(ModelError, match="a link that leads out of the model's directory") as refused:
            use(snapshot)
        assert "encoder.onnx: " in str(refused.value)
        assert str(secret) not in str(refused.value)
    weights.unlink()
    weights.symlink_to("encoder.real")
    (snapshot / "encoder.real").write_bytes(secret.read_bytes())
    assert text_of(snapshot) == text_of(transducer), "a link within the directory"
