"""Directories that others made: optimum's, Moonshine's own; and what is missing, by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.known import known
from tests.seq2seq.test_runtime import heard, texts
from wattscribe.errors import ModelError
from wattscribe.recognizers import Audio, parse_model
from wattscribe.records import Utterance
from wattscribe.seq2seq.files import find
from wattscribe.seq2seq.vocabulary import bytes_of, piece, read_binary, read_tokens

REAL = Path(os.environ.get("WATTSCRIBE_REAL_MODELS", "~/.cache/real-asr-models")).expanduser()


@pytest.fixture(scope="module")
def folder(multilingual: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.seq2seq.others import optimum

    return optimum(multilingual, tmp_path_factory.mktemp("optimum") / "model")


def test_optimum_says_what_sherpa_onnx_layout_says(
    folder: Path, exported_multilingual: Path, clips: list[Audio]
) -> None:
    own, others = heard(exported_multilingual, clips), heard(folder, clips)
    assert [(each.language, each.text, each.counts) for each in others] == [
        (each.language, each.text, each.counts) for each in own
    ]
    assert texts(folder, clips, batch_size=3) == [each.text for each in own]
    assert texts(folder, clips, decoding="beam") == texts(exported_multilingual, clips, decoding="beam")
    assert parse_model(str(folder)).runtime == "onnx"


def test_a_first_run_needs_its_decoder(folder: Path, clips: list[Audio], tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.name != "decoder_model.onnx":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match=r"no decoder_model\*\.onnx: it fills the caches"):
        texts(tmp_path, clips)
    (tmp_path / "decoder_model.onnx").write_bytes((folder / "decoder_model.onnx").read_bytes())
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokens\.txt and no tokenizer"):
        texts(tmp_path, clips)


def test_a_directory_of_nothing_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"no model is recognised here\. Looked for: .*encoder and decoder of a Whisper"
    ):
        find(tmp_path)


def test_pieces_of_every_kind(tmp_path: Path) -> None:
    assert bytes_of("Ġthe") == b" the"
    assert bytes_of("Ã©") == "é".encode()
    assert (piece("▁a"), piece("<0xE2>"), piece("</s>")) == (b" a", b"\xe2", b"")
    long = "x" * 130
    (tmp_path / "tokenizer.bin").write_bytes(b"\x03<s>\x04\xe2\x96\x81a\x00" + bytes([130, 1]) + long.encode())
    assert read_binary(tmp_path / "tokenizer.bin").text([0, 1, 2, 3]) == "a" + long
    (tmp_path / "tokenizer.bin").write_bytes(b"\x05abc")
    with pytest.raises(ModelError, match="ends inside a token"):
        read_binary(tmp_path / "tokenizer.bin")
    (tmp_path / "tokens.txt").write_text("IA== 0\n!! 1\n")
    with pytest.raises(ModelError, match="the token of id 1 is not Base64"):
        read_tokens(tmp_path / "tokens.txt", encoded=True)
    (tmp_path / "tokens.txt").write_text("▁a\u2028b 0\n<0x41> 1\n")
    assert read_tokens(tmp_path / "tokens.txt", encoded=False).text([0, 1]) == "a\u2028bA"
    (tmp_path / "tokens.txt").write_text("▁a 0\n▁b 0\n")
    with pytest.raises(ModelError, match="line 2 gives id 0 a second time"):
        read_tokens(tmp_path / "tokens.txt", encoded=False)


@pytest.mark.data
def test_moonshine_as_its_authors_ship_it(shared: Path) -> None:
    """tiny.en in .ort files: at most one word in six wrong on three clean utterances."""
    from wattscribe.corpora import open_corpus
    from wattscribe.scoring import count_errors

    folder = REAL / "moonshine-tiny-en"
    if not folder.is_dir():
        pytest.skip(f"Moonshine's files are not at {folder}")
    corpus = open_corpus(str(shared / "librispeech"))
    entries = [entry for entry, _ in zip(corpus, range(3), strict=False) if isinstance(entry, Utterance)]
    found = heard(folder, [corpus.audio(entry) for entry in entries])
    counts = count_errors([entry.reference for entry in entries], [each.text for each in found], rule="whisper")
    assert counts.errors.sum() / counts.words.sum() < 1 / 6, [each.text for each in found]
    assert all(one.predictor_calls == one.tokens for one in (known(each.counts) for each in found))
