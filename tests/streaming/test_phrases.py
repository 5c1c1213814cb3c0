"""Phrases as text: the tokens are those of SentencePiece, the bonuses those of sherpa-onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.streaming import models
from wattscribe.errors import InputError
from wattscribe.models.vocabulary import byte_characters, read_vocabulary
from wattscribe.streaming import open_transducer
from wattscribe.streaming.context import ContextGraph
from wattscribe.streaming.phrases import Phrase, read_phrases, tokens_of

SENTENCES = [
    "the quick brown fox jumps over the lazy dog and then the other one",
    "she sells sea shells by the sea shore while the waves are rolling in",
    "how much wood would a woodchuck chuck if a woodchuck could chuck wood",
]


def vocabulary(folder: Path, symbols: list[str]) -> Any:
    (folder / "tokens.txt").write_text("".join(f"{s} {i}\n" for i, s in enumerate(symbols)), encoding="utf-8")
    return read_vocabulary(folder / "tokens.txt")


def test_tokens_are_those_of_sentencepiece(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="needs wattscribe[train]")
    from wattscribe.training.tokens import save_vocabulary, train_bpe

    trained = train_bpe(SENTENCES * 3, 90)
    save_vocabulary(trained, tmp_path)
    ours = read_vocabulary(tmp_path / "tokens.txt")
    for sentence in (*SENTENCES, "wood shells", "a lazy woodchuck", "dog"):
        expected = tuple(trained.encode(sentence))
        assert tokens_of(sentence, ours, len(ours)) == expected, sentence
        assert tokens_of(sentence.upper(), ours, len(ours)) == expected  # in the case that the model writes


@pytest.mark.parametrize(
    ("symbols", "text", "expected"),
    [
        (["<blk>", "你", "好", "世", "界"], "你好 世界", [1, 2, 3, 4]),
        (["<blk>", " ", "a", "b"], "ab ba", [2, 3, 1, 3, 2]),
        (["<blk>", "▁", "a", "▁a", "<0xC3>", "<0xA9>"], "a aé", [3, 3, 4, 5]),
        (
            ["<blk>", "▁" + byte_characters("你"), byte_characters("好"), *sorted({"▁", *byte_characters("你好")})],
            "你",
            [1],
        ),
    ],
    ids=["characters", "spaces", "byte fallback", "byte level"],
)
def test_other_vocabularies(tmp_path: Path, symbols: list[str], text: str, expected: list[int]) -> None:
    table = vocabulary(tmp_path, symbols)
    found = tokens_of(text, table, len(table))
    if "你" in text and table.byte_level:  # which pairs merge depends on the table; what they spell does not
        assert table.text(found) == text
    else:
        assert list(found) == expected


def test_a_character_that_no_token_writes_is_named(tmp_path: Path) -> None:
    table = vocabulary(tmp_path, ["<blk>", "▁", "a", "#0"])
    with pytest.raises(InputError, match=r"phrase 'añ': no token writes 'ñ|phrase 'añ': no token writes '<0xC3>'"):
        tokens_of("añ", table, 4)
    with pytest.raises(InputError, match="no token writes"):
        tokens_of("a#0", table, 3)  # a disambiguation symbol is no token of the joiner


def test_a_file_of_phrases(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text("\ufeffHELLO WORLD :2.5\r\n\nten : one\nA:B\n", encoding="utf-8")
    assert read_phrases(path)[:1] == (Phrase("HELLO WORLD", 2.5),)
    path.write_text("HELLO\nBYE :many\n")
    with pytest.raises(InputError, match=r"phrases\.txt, line 2: 'BYE :many' is not a phrase"):
        read_phrases(path)
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no phrase"):
        read_phrases(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_phrases(tmp_path / "none.txt")


def test_of_phrases_that_begin_alike_the_higher_score_counts() -> None:
    graph = ContextGraph([(1, 2), (1, 3), (5,)], 1.0, [None, 4.0, 0.5])
    assert [graph.forward(0, token)[0] for token in (1, 5, 2)] == [4.0, 0.5, 0.0]


@pytest.mark.parametrize("seed", range(4))
def test_the_text_with_phrases_is_that_of_sherpa_onnx(tmp_path: Path, seed: int) -> None:
    sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    where = models.build(tmp_path / "model", layout="lstm", seed=seed, blank_bias=1)
    table = vocabulary(where, ["<blk>", "<unk>", *"你好世界再见一二三四五六七"])
    spoken = [(4, 6, 7), (9, 2), (5, 5)]
    lines = [table.text(tokens) for tokens in spoken]
    (tmp_path / "hotwords.txt").write_text(
        "".join(f"{line} :{2 + i}\n" for i, line in enumerate(lines)), encoding="utf-8"
    )
    theirs = sherpa_onnx.OnlineRecognizer.from_transducer(
        tokens=str(where / "tokens.txt"), encoder=str(where / "encoder.onnx"), decoder=str(where / "decoder.onnx"),
        joiner=str(where / "joiner.onnx"), num_threads=1, feature_dim=models.MELS, decoding_method="modified_beam_search",
        hotwords_file=str(tmp_path / "hotwords.txt"), hotwords_score=1.5, modeling_unit="cjkchar",
    )  # fmt: skip
    ours = open_transducer(where, decoding="beam", phrases=[Phrase(table.text(t), 2 + i) for i, t in enumerate(spoken)])
    plain = open_transducer(where, decoding="beam")
    changed = 0
    for sound in range(4):
        audio = models.sound(sound, 24000)
        stream = theirs.create_stream()
        stream.accept_waveform(16000, np.concatenate([audio, np.zeros(12800, np.float32)]))
        stream.input_finished()
        while theirs.is_ready(stream):
            theirs.decode_stream(stream)
        found = ours.transcribe([audio])[0].text
        assert found == theirs.get_result_all(stream).text.strip()
        changed += found != plain.transcribe([audio])[0].text
    assert changed, "phrases that change nothing prove nothing"
