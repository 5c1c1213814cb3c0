"""Text ↔ token ids: SentencePiece BPE or plain characters, blank always 0, written as sherpa-onnx's tokens.txt."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe import as_file
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.training.writing import cannot_write

BLANK = "<blk>"
UNKNOWN = "<unk>"
SPACE = "▁"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The units of a model. `bpe` is a SentencePiece model, or None for characters."""

    units: tuple[str, ...]
    bpe: bytes | None = None

    def __len__(self) -> int:
        return len(self.units)

    def encode(self, text: str) -> list[int]:
        """Token ids of a plain text. Raises InputError where a character is outside the vocabulary."""
        if self.bpe is None:
            places = {unit: place for place, unit in enumerate(self.units)}
            ids = [places.get(SPACE if c == " " else c, -1) for c in text]
        else:
            ids = _processor(self.bpe).encode(text)
            ids = [-1 if self.units[i] == UNKNOWN else i for i in ids]
        if -1 in ids:
            known = {c for unit in self.units for c in unit.replace(SPACE, " ")}
            strange = sorted(set(text) - known)
            raise InputError(
                f"the text has characters outside the vocabulary: {' '.join(map(repr, strange)) or 'unknown units'}",
                where=repr(text[:60]),
                fix="Normalise the text (lower case, numbers in words) or train a vocabulary that has them",
            )
        return list(ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids."""
        return "".join(self.units[i] for i in ids).replace(SPACE, " ").strip()

    def write_tokens(self, path: Path) -> None:
        """tokens.txt: one `unit id` a line."""
        path.write_text("".join(f"{unit} {i}\n" for i, unit in enumerate(self.units)), encoding="utf-8")


_processors: dict[bytes, Any] = {}


def _processor(content: bytes) -> Any:
    if content not in _processors:
        _processors[content] = _sentencepiece().SentencePieceProcessor(model_proto=content)
    return _processors[content]


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise MissingExtraError("sentencepiece", "train", needed_for="A BPE vocabulary") from error
    return sentencepiece


def train_bpe(sentences: Sequence[str], size: int) -> Vocabulary:
    """A BPE vocabulary of `size` units over plain sentences. Raises InputError where the text is too little for it."""
    if not sentences:
        raise InputError("there is no text to train a vocabulary on", fix="Give a text file with one sentence a line")
    spm = _sentencepiece()
    content = io.BytesIO()
    try:
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=content, vocab_size=size, model_type="bpe",
            character_coverage=1.0, unk_id=2, bos_id=-1, eos_id=-1, user_defined_symbols=[BLANK, "<sos/eos>"],
            normalization_rule_name="identity", minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        raise InputError(f"no vocabulary of {size} units can be made of this text",
                         fix="Give more text or ask for fewer units") from error  # fmt: skip
    processor = spm.SentencePieceProcessor(model_proto=content.getvalue())
    units = tuple(processor.id_to_piece(i) for i in range(len(processor)))
    return Vocabulary(units=units, bpe=content.getvalue())


def characters(sentences: Iterable[str]) -> Vocabulary:
    """A vocabulary of the characters that occur. Raises InputError where there are none."""
    letters = sorted({c for sentence in sentences for c in sentence} - {" "})
    if not letters:
        raise InputError("there is no text to take characters from", fix="Give a text file with one sentence a line")
    return Vocabulary(units=(BLANK, "<sos/eos>", UNKNOWN, SPACE, *letters))


def save_vocabulary(vocabulary: Vocabulary, folder: Path) -> None:
    """tokens.txt and, for BPE, bpe.model."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary.write_tokens(folder / "tokens.txt")
        if vocabulary.bpe is not None:
            (folder / "bpe.model").write_bytes(vocabulary.bpe)
        else:
            (folder / "bpe.model").unlink(missing_ok=True)  # of units that stood here before
    except OSError as error:
        raise cannot_write("the vocabulary", folder, error) from error


def load_vocabulary(folder: Path) -> Vocabulary:
    """What `save_vocabulary` wrote. Raises InputError."""
    path = folder / "tokens.txt"
    if not path.is_file():
        raise InputError("the vocabulary has no tokens.txt", where=folder)
    try:
        units = tuple(line.rsplit(" ", 1)[0] for line in as_file.read_text(path).splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the vocabulary cannot be read: {error}", where=path, fix="Give a tokens.txt in UTF-8"
        ) from error
    bpe = folder / "bpe.model"
    return Vocabulary(units=units, bpe=bpe.read_bytes() if bpe.is_file() else None)
