"""tokens.txt as other people's exporters write it, against sherpa-onnx's own text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.streaming import models
from wattscribe.errors import ModelError
from wattscribe.models.vocabulary import _BYTE_CHARACTERS, Vocabulary, read_vocabulary
from wattscribe.streaming import open_transducer


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "tokens.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def byte_level(text: str) -> str:
    """A word as icefall's byte_encode writes it."""
    return "".join(_BYTE_CHARACTERS[value] for value in text.encode())


def test_each_byte_has_one_printable_character() -> None:
    assert len(set(_BYTE_CHARACTERS)) == 256
    assert [_BYTE_CHARACTERS[value] for value in (0x00, 0x20, 0x7E, 0x7F, 0xE4, 0xFF)] == ["Ā", " ", "~", "Ġ", "Ƌ", "Ʀ"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a 0\nb\n", "line 2 is not `symbol id`"),
        ("a 0\nb c 1\n", "line 2 is not `symbol id`"),
        ("a 0\nb 1x\n", "line 2 is not `symbol id`"),
        ("a 0\nb -1\n", "line 2 is not `symbol id`"),
        ("a 0\nb ٣\n", "line 2 is not `symbol id`"),
        ("a 0\nb " + "9" * 5000 + "\n", "line 2 is not `symbol id`"),
        ("a 0\nb 99999999\n", "line 2 gives the id 99999999, beyond any vocabulary"),
        ("a 0\nb 0\n", "line 2 gives id 0 a second time"),
        ("", "lists no symbols"),
        ("\n\r\n", "lists no symbols"),
        (b"a 0\n\xff 1\n", "cannot be read"),
    ],
)
def test_a_bad_table_names_the_line(tmp_path: Path, text: str | bytes, fault: str) -> None:
    with pytest.raises(ModelError, match=r"tokens\.txt") as caught:
        read_vocabulary(table(tmp_path, text))
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "<blk> 0\n▁ONE 1\nS 2\n",
        "<blk>\t0\n▁ONE\t1\nS\t2\n",
        "<blk> 0\r\n▁ONE 1\r\nS 2\r\n",
        "\ufeff<blk> 0\n▁ONE 1\nS 2",
        "S  2\n<blk>   0\n\n▁ONE \t 1\n",
    ],
)
def test_blanks_tabs_windows_line_ends_and_any_order(tmp_path: Path, text: str) -> None:
    found = read_vocabulary(table(tmp_path, text))
    assert found.symbols == ("<blk>", "▁ONE", "S")
    assert found.text([1, 2]) == "ONES"


def test_an_id_that_is_left_out_shows_itself(tmp_path: Path) -> None:
    found = read_vocabulary(table(tmp_path, "<blk> 0\n▁ONE 1\nS 4\n"))
    assert (len(found), found.text([1, 2, 4]), found.unknown_id) == (5, "ONE<2>S", None)


def test_a_line_of_an_id_alone_is_the_space_where_nothing_precedes_it(tmp_path: Path) -> None:
    found = read_vocabulary(table(tmp_path, "<blk> 0\na 1\n  2\n"))
    assert found.text([1, 2, 1]) == "a a"


@pytest.mark.parametrize("symbol", ["\u2028", "\u00a0", "\u3000", "\x85", "\x1c"])
def test_white_space_of_unicode_may_be_a_symbol(tmp_path: Path, symbol: str) -> None:
    found = read_vocabulary(table(tmp_path, f"<blk> 0\na 1\n{symbol} 2\n"))
    assert found.symbols == ("<blk>", "a", symbol)


def test_bytes_and_word_starts_become_text(tmp_path: Path) -> None:
    found = read_vocabulary(table(tmp_path, "<blk> 0\n▁ONE 1\n<0xC3> 2\n<0xA9> 3\nS 4\n"))
    assert found.text([1, 4, 1, 2, 3]) == "ONES ONEé"
    assert not found.byte_level


def test_byte_level_symbols_become_characters(tmp_path: Path) -> None:
    words = [
        "<blk>",
        "<unk>",
        *("▁" + byte_level(w) for w in ("你", "好", "mix", "ed")),
        byte_level("界")[:2],
        byte_level("界")[2:],
    ]
    found = read_vocabulary(table(tmp_path, "".join(f"{w} {i}\n" for i, w in enumerate(words))))
    assert found.byte_level
    assert found.text([2, 3, 4, 5, 6, 7]) == "你好mix ed界"
    assert found.piece(4) == " mix"


@pytest.mark.parametrize("symbols", [["é", "ü", "ß"], ["你", "Ɗ"], ["Đ", "ş"]])
def test_letters_are_no_bytes(tmp_path: Path, symbols: list[str]) -> None:
    found = read_vocabulary(table(tmp_path, "".join(f"{s} {i}\n" for i, s in enumerate(["<blk>", *symbols]))))
    assert not found.byte_level
    assert found.text(range(1, len(symbols) + 1)) == "".join(symbols)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.integers(0, 5))
def test_any_text_survives_byte_level_encoding(text: str, cut: int) -> None:
    encoded = byte_level(text)
    symbols = ("", encoded[:cut], encoded[cut:])
    found = Vocabulary(Path("tokens.txt"), symbols, None, True, ())
    assert found.text([1, 2]) == text.strip()


SPOKEN = range(models.VOCAB - 2)
TABLES = {
    "letters": [f"▁{chr(97 + i)}" if i % 3 == 0 else chr(97 + i) for i in SPOKEN],
    "bytes of Chinese": ["▁" * (i % 2) + byte_level(chr(0x4E00 + i))[: 1 + i % 3] + "Ɗ" * (i + 1) for i in SPOKEN],
    "bytes of English": ["▁" * (i % 2) + chr(97 + i) + "Ɗ" * (i == 12) for i in SPOKEN],
    "Chinese": list("你好世界再见一二三四五六七"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("extra", [[], ["#0", "#1", "#2"]], ids=["", "disambiguation"])
@pytest.mark.parametrize("separator", [" ", "\t"], ids=["blank", "tab"])
def test_the_text_is_that_of_sherpa_onnx(tmp_path: Path, name: str, extra: list[str], separator: str) -> None:
    sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    where = models.build(tmp_path / "model", layout="lstm", seed=3, blank_bias=0)
    symbols = ["<blk>", "<unk>", *TABLES[name], *extra]
    table(where, "".join(f"{symbol}{separator}{i}\n" for i, symbol in enumerate(symbols)))
    audio = models.sound(3, 32000)
    theirs = sherpa_onnx.OnlineRecognizer.from_transducer(
        tokens=str(where / "tokens.txt"), encoder=str(where / "encoder.onnx"), decoder=str(where / "decoder.onnx"),
        joiner=str(where / "joiner.onnx"), num_threads=1, feature_dim=models.MELS,
    )  # fmt: skip
    stream = theirs.create_stream()
    stream.accept_waveform(16000, np.concatenate([audio, np.zeros(12800, np.float32)]))
    stream.input_finished()
    while theirs.is_ready(stream):
        theirs.decode_stream(stream)
    expected = theirs.get_result_all(stream).text
    assert len(expected.strip()) > 3
    ours = open_transducer(where)
    assert ours.scored_tokens == models.VOCAB
    # Bytes that make no character: sherpa-onnx's Python shows each as a replacement character, here they are left out.
    assert ours.transcribe([audio])[0].text == expected.replace("\ufffd", "").strip()
