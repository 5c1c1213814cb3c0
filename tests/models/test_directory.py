"""One answer to which file is which part: every verb and runtime takes the same files, and refuses with the same line."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile

import wattscribe
from tests.recognizers import sherpa_models
from tests.streaming import models
from wattscribe.compression import candidate
from wattscribe.energy import files as counted
from wattscribe.energy.files import of_directory
from wattscribe.errors import InputError, ModelError, WattscribeError
from wattscribe.graph.portable import whole
from wattscribe.graph.read import read_model
from wattscribe.models.directory import FIRST_DECODER, find_model
from wattscribe.models.names import read_name
from wattscribe.recognizers import parse_model
from wattscribe.recognizers.detect import runtime_of
from wattscribe.recognizers.sherpa_files import find_layout
from wattscribe.streaming.files import find_files

PARTS = ("encoder", "decoder", "joiner")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.build(tmp_path_factory.mktemp("toy") / "model", seed=1)


@pytest.fixture
def layout(toy: Path, tmp_path: Path) -> Callable[[Sequence[str], str], Path]:
    """A directory that holds the toy's graphs under these names; of other names the encoder's."""

    def build(names: Sequence[str], tokens: str = "tokens.txt") -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            part = next((part for part in PARTS[::-1] if part[:4] in name.lower()), "encoder")
            shutil.copy(toy / f"{part}.onnx", folder / name)
        if tokens:
            shutil.copy(toy / "tokens.txt", folder / tokens)
        return folder

    return build


def by_transcribe(folder: Path, precision: str, _: pytest.MonkeyPatch) -> list[Path]:
    assert runtime_of(folder) == "onnx"
    return [path for _, path in find_files(folder, precision).components]


def by_sherpa(folder: Path, precision: str, _: pytest.MonkeyPatch) -> list[Path]:
    found = find_layout(parse_model(f"sherpa:{folder}", precision=precision)).parts
    return [found[part] for part in PARTS]


def noting(read: list[Path], before: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """The same function, which writes down what it read."""

    def noted(path: Path) -> Any:
        read.append(path)
        return before(path)

    return noted


def by_profile(folder: Path, precision: str, patch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    before = read_model
    patch.setattr(counted, "read_model", noting(read, before))
    counted.of_directory(folder, precision=precision)
    return read


def by_compress(folder: Path, precision: str, patch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    before = whole
    patch.setattr(candidate, "whole", noting(read, before))
    candidate.read_candidate(folder, precision)
    return read


VERBS = (by_transcribe, by_sherpa, by_profile, by_compress)

RELEASE = "epoch-99-avg-1-chunk-16-left-64"
FINE = [  # names, the precision asked for, the files that are taken
    ("encoder.onnx decoder.onnx joiner.onnx", "stored", "encoder.onnx decoder.onnx joiner.onnx"),
    ("encoder.onnx encoder-int8.onnx decoder.onnx joiner.onnx", "stored", "encoder.onnx decoder.onnx joiner.onnx"),
    ("encoder.onnx encoder-int8.onnx decoder.onnx joiner.onnx", "int8", "encoder-int8.onnx decoder.onnx joiner.onnx"),
    ("encoder.onnx encoder_int8.onnx decoder.onnx joiner.onnx", "int8", "encoder_int8.onnx decoder.onnx joiner.onnx"),
    ("encoder.onnx encoder.int8.onnx decoder.onnx joiner.onnx", "int8", "encoder.int8.onnx decoder.onnx joiner.onnx"),
    ("my-encoder.onnx my-decoder.onnx my-joiner.onnx", "stored", "my-encoder.onnx my-decoder.onnx my-joiner.onnx"),
    ("Encoder.onnx Decoder.onnx Joiner.onnx", "stored", "Encoder.onnx Decoder.onnx Joiner.onnx"),
    ("encoder.onnx decoder.onnx joiner.onnx joiner_blank.fp16.onnx", "fp16", "encoder.onnx decoder.onnx joiner.onnx"),
    ("encoder.onnx decoder.onnx joiner.onnx joiner-encoder-proj.onnx", "stored", "encoder.onnx decoder.onnx joiner.onnx"),
    ("encoder.onnx decoder.onnx joiner.onnx silero_vad.onnx rnnlm.onnx", "stored", "encoder.onnx decoder.onnx joiner.onnx"),
    ("encoder.onnx decoder.onnx joiner.onnx ._encoder.onnx", "stored", "encoder.onnx decoder.onnx joiner.onnx"),
    ("encoder.fp16.onnx encoder.int8.onnx decoder.onnx joiner_q4.onnx", "stored",
     "encoder.fp16.onnx decoder.onnx joiner_q4.onnx"),
    ("encoder_quantized.onnx encoder_int8.onnx decoder.onnx joiner.onnx", "int8", "encoder_int8.onnx decoder.onnx joiner.onnx"),
    ("onnx/encoder.onnx onnx/decoder.onnx onnx/joiner.onnx", "stored", "onnx/encoder.onnx onnx/decoder.onnx onnx/joiner.onnx"),
    (" ".join(f"{part}-{RELEASE}{mark}.onnx" for part in PARTS for mark in ("", ".int8")), "int8",
     " ".join(f"{part}-{RELEASE}.int8.onnx" for part in PARTS)),
    (" ".join(f"{part}-{RELEASE}{mark}.onnx" for part in PARTS for mark in ("", ".int8")), "stored",
     " ".join(f"{part}-{RELEASE}.onnx" for part in PARTS)),
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("names", "precision", "taken"), FINE)
def test_every_verb_takes_the_same_files(
    names: str,
    precision: str,
    taken: str,
    verb: Callable[[Path, str, pytest.MonkeyPatch], list[Path]],
    layout: Callable[[Sequence[str]], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = layout(names.split())
    found = [path.relative_to(folder).as_posix() for path in verb(folder, precision, monkeypatch)]
    assert found == taken.split()


WRONG = [  # names, tokens, what every verb says
    ("encoder.onnx decoder.onnx", "tokens.txt", "joiner*.onnx is missing"),
    ("encoder.onnx joiner.onnx", "tokens.txt", "decoder*.onnx is missing"),
    ("decoder.onnx joiner.onnx", "tokens.txt", "encoder*.onnx is missing"),
    ("decoder.onnx", "tokens.txt", "encoder*.onnx is missing"),
    ("encoder.onnx encoder-epoch-9.onnx decoder.onnx joiner.onnx", "tokens.txt",
     "2 files could be the encoder: encoder-epoch-9.onnx, encoder.onnx"),
    ("encoder-model.onnx decoder_joint-model.onnx", "tokens.txt", "its decoder and joiner are one graph"),
    ("encoder.onnx uncached_decode.onnx", "tokens.txt", "preprocess*.onnx, cached_decode*.onnx is missing"),
    ("a.onnx b.onnx", "tokens.txt", "2 files could be the model: a.onnx, b.onnx"),
    ("README.md", "tokens.txt", "no model is recognised here"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("model.safetensors", "is a checkpoint of Transformers, and no ONNX"),
        ("model.bin", "is a model of CTranslate2, and no ONNX"),
    ],
)
def test_a_checkpoint_is_called_one_where_onnx_was_asked_for(weights: str, said: str, tmp_path: Path) -> None:
    for name in ("config.json", weights):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match=said):
        find_model(tmp_path)


def everyones_line(folder: Path, wav: Path, out: Path) -> dict[str, str]:
    """What each verb says of the directory."""
    asked: dict[str, Callable[[], object]] = {
        "transcribe": lambda: wattscribe.transcribe(str(folder), [wav]),
        "onnx:": lambda: wattscribe.transcribe(f"onnx:{folder}", [wav]),
        "sherpa:": lambda: wattscribe.transcribe(f"sherpa:{folder}", [wav]),
        "bench": lambda: wattscribe.bench({"models": [str(folder)], "data": ["bundled"]}, out / "run"),
        "profile": lambda: wattscribe.profile(str(folder)),
        "compress": lambda: wattscribe.compress(str(folder), out / "small", data=["bundled"]),
    }
    said = {}
    for verb, call in asked.items():
        with pytest.raises(WattscribeError) as caught:
            call()
        said[verb] = str(caught.value)
    return said


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000, np.float32), 16_000)
    return tmp_path / "a.wav"


@pytest.mark.parametrize(("names", "tokens", "line"), WRONG)
def test_every_verb_refuses_with_the_same_line(
    names: str, tokens: str, line: str, layout: Callable[[Sequence[str], str], Path], wav: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    said = everyones_line(layout(names.split(), tokens), wav, tmp_path)
    assert len(set(said.values())) == 1, said
    assert line in said["bench"]


@pytest.mark.parametrize("tokens", ["", "several"])
def test_without_its_tokens_a_model_is_counted_and_not_heard(
    tokens: str, layout: Callable[[Sequence[str], str], Path], wav: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    folder = layout([f"{part}.onnx" for part in PARTS], "")
    assert [each.name for each in of_directory(folder).components] == ["encoder", "predictor", "joiner"]
    if tokens:
        for name in ("a-tokens.txt", "b-tokens.txt"):
            (folder / name).write_text("<blk> 0\n")
    lines: list[Callable[[], object]] = [
        lambda: wattscribe.transcribe(str(folder), [wav]),
        lambda: wattscribe.transcribe(f"sherpa:{folder}", [wav]),
        lambda: wattscribe.compress(str(folder), tmp_path / "small", data=["bundled"]),
    ]
    said = set()
    for call in lines:
        with pytest.raises(ModelError) as caught:
            call()
        said.add(str(caught.value))
    (line,) = said
    assert ("2 files could be the tokens.txt" if tokens else "tokens.txt is missing") in line


def test_a_prefix_is_one_of_the_tokens_too(layout: Callable[[Sequence[str], str], Path]) -> None:
    folder = layout([f"tiny-{part}.onnx" for part in PARTS], "tiny-tokens.txt")
    assert find_files(folder).tokens.name == "tiny-tokens.txt"
    (folder / "tokens.txt").write_text("<blk> 0\n")
    assert find_files(folder).tokens.name == "tokens.txt"
    assert find_layout(parse_model(f"sherpa:{folder}")).tokens == folder / "tokens.txt"


# --- an encoder and its decoder -------------------------------------------------------------------------------------
def named(folder: Path, names: str) -> Path:
    """Files whose graphs nobody asks for anything but inputs and metadata."""
    folder.mkdir()
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", "T", 80])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value], [])
    model = onnx.helper.make_model(graph)
    for name in names.split():
        (folder / name).write_bytes(model.SerializeToString())
    return folder


JS = " ".join(
    f"{part}{mark}.onnx"
    for part in ("encoder_model", "decoder_model", "decoder_with_past_model", "decoder_model_merged")
    for mark in ("", "_fp16", "_int8", "_quantized", "_uint8", "_q4", "_q4f16", "_bnb4")
)


@pytest.mark.parametrize(
    ("names", "precision", "encoder", "decoder", "first"),
    [
        (JS, "stored", "encoder_model.onnx", "decoder_with_past_model.onnx", "decoder_model.onnx"),
        (JS, "int8", "encoder_model_int8.onnx", "decoder_with_past_model_int8.onnx", "decoder_model_int8.onnx"),
        ("encoder_model.onnx decoder_model_merged.onnx decoder_model.onnx", "stored",
         "encoder_model.onnx", "decoder_model_merged.onnx", None),
        ("encoder_model.onnx encoder_model_quantized.onnx decoder_model_merged.onnx decoder_model_merged_quantized.onnx",
         "int8", "encoder_model_quantized.onnx", "decoder_model_merged_quantized.onnx", None),
        ("encoder_model.ort decoder_model_merged.ort", "stored", "encoder_model.ort", "decoder_model_merged.ort", None),
        ("base-encoder.onnx base-encoder.ort base-decoder.onnx base-decoder.ort", "stored",
         "base-encoder.onnx", "base-decoder.onnx", None),
        ("silero_vad.onnx encoder_model.ort decoder_model_merged.ort", "stored",
         "encoder_model.ort", "decoder_model_merged.ort", None),
    ],
)  # fmt: skip
def test_an_encoder_and_the_decoder_that_runs_for_every_token(
    names: str, precision: str, encoder: str, decoder: str, first: str | None, tmp_path: Path
) -> None:
    found = find_model(named(tmp_path / "model", names), precision)
    assert found.layout == "encoder-decoder"
    assert {part: path.name for part, path in found.parts.items()} == {
        "encoder": encoder,
        "decoder": decoder,
        **({FIRST_DECODER: first} if first else {}),
    }


def test_a_streaming_paraformer_is_sherpas(tmp_path: Path) -> None:
    folder = named(tmp_path / "model", "encoder.int8.onnx encoder.onnx decoder.int8.onnx decoder.onnx")
    for path in folder.glob("encoder*.onnx"):
        model = onnx.load(str(path))
        for key, value in (("lfr_window_size", "7"), ("vocab_size", "8404")):
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        onnx.save(model, str(path))
    (folder / "tokens.txt").write_text("<blk> 0\n")
    assert runtime_of(folder) == "sherpa"
    found = find_layout(parse_model(f"sherpa:{folder}", precision="int8"))
    assert (found.kind, found.online) == ("online paraformer", True)
    assert [path.name for path in found.parts.values()] == ["encoder.int8.onnx", "decoder.int8.onnx"]


@pytest.mark.parametrize(
    ("names", "precision", "taken"),
    [
        ("model.onnx model.int8.onnx", "stored", "model.onnx"),
        ("model.onnx model.int8.onnx", "int8", "model.int8.onnx"),
        ("ctc-epoch-20-avg-1-chunk-16-left-128.int8.onnx", "stored", "ctc-epoch-20-avg-1-chunk-16-left-128.int8.onnx"),
        ("model.onnx silero_vad.onnx", "stored", "model.onnx"),
        ("silero_vad.onnx", "stored", "silero_vad.onnx"),
        ("encoder.onnx", "stored", "encoder.onnx"),
    ],
)
def test_one_graph(names: str, precision: str, taken: str, tmp_path: Path) -> None:
    found = find_model(named(tmp_path / "model", names), precision)
    assert (found.layout, found.main.name) == ("single", taken)


@pytest.mark.parametrize("kind", ["whisper", "moonshine", "offline nemo ctc"])
def test_other_layouts_are_heard_and_counted_from_the_same_files(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    sherpa_models.BUILDERS[kind](folder)
    for path in list(folder.glob("*.onnx")):
        shutil.copy(path, path.with_name(f"{path.stem}.int8.onnx"))
    assert runtime_of(folder) == ("sherpa" if kind == "offline nemo ctc" else "onnx")
    for precision in ("stored", "int8"):
        found = find_layout(parse_model(f"sherpa:{folder}", precision=precision))
        assert found.kind == kind
        assert all((".int8" in path.name) == (precision == "int8") for path in found.parts.values())
        assert by_profile(folder, precision, monkeypatch) == list(found.parts.values())
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("name", "role", "precision"),
    [
        ("tiny.en-encoder.int8.onnx", "encoder", "int8"),
        ("encoder-epoch-99-avg-1.fp16.onnx", "encoder", "fp16"),
        ("joiner_blank.onnx", "auxiliary", "fp32"),
        ("decoder_joint-model.int8.onnx", "decoder_joint", "int8"),
        ("uncached_decode.int8.onnx", "uncached_decoder", "int8"),
        ("cached_decode.onnx", "cached_decoder", "fp32"),
        ("whisper_encoder_decoder_init.onnx", "auxiliary", "fp32"),
        ("joint.onnx", "joiner", "fp32"),
        ("joiner-encoder-proj.onnx", "auxiliary", "fp32"),
        ("en-vad-encoder.onnx", "encoder", "fp32"),
        ("silero_vad.onnx", "auxiliary", "fp32"),
        ("model_q4f16.onnx", "model", "int4"),
        ("sense-voice.onnx", "model", "fp32"),
        ("encoder_bf16.onnx", "encoder", "bf16"),
    ],
)
def test_names(name: str, role: str, precision: str) -> None:
    found = read_name(Path(name))
    assert (found.role, found.precision) == (role, precision)


def test_no_directory_and_no_precision(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match="no such directory"):
        find_model(tmp_path / "missing")
    with pytest.raises(InputError, match="this is a file"):
        find_model(tmp_path / "file")
    with pytest.raises(InputError, match="no precision 'int3'"):
        find_model(tmp_path, "int3")


@pytest.mark.parametrize(
    ("broken", "line"), [("empty", "is empty"), ("link", "is a link to nothing"), ("folder", "is not a file")]
)
def test_a_file_that_is_none(broken: str, line: str, tmp_path: Path) -> None:
    folder = named(tmp_path / "model", "model.onnx")
    (folder / "model.onnx").unlink()
    if broken == "empty":
        (folder / "model.onnx").touch()
    elif broken == "link":
        (folder / "model.onnx").symlink_to("nowhere")
    else:
        (folder / "model.onnx").mkdir()
    with pytest.raises(ModelError, match=line):
        find_model(folder)
