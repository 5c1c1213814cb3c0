"""The files of an exported transducer, as `models.directory` finds them, under the names that the runtime has for its parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import ModelError
from wattscribe.graph.read import read_model as read_onnx
from wattscribe.models.directory import find_model


@dataclass(frozen=True, slots=True, kw_only=True)
class TransducerFiles:
    """The chosen files; `notes` says where the precision that was asked for is not there."""

    directory: Path
    encoder: Path
    predictor: Path
    joiner: Path
    tokens: Path
    notes: tuple[str, ...] = ()

    @property
    def components(self) -> tuple[tuple[str, Path], ...]:
        return (("encoder", self.encoder), ("predictor", self.predictor), ("joiner", self.joiner))

    @property
    def model_bytes(self) -> int:
        """Size of the three networks, with external weights beside them."""
        models = [read_onnx(path) for _, path in self.components]
        beside = sum(tensor.nbytes for model in models for tensor in model.graph.tensors() if tensor.external)
        return beside + sum(path.stat().st_size for _, path in self.components)


def find_files(directory: str | Path, precision: str | None = None) -> TransducerFiles:
    """The transducer of `directory`. Raises as `find_model` does, and ModelError for a model of another kind."""
    model = find_model(directory, precision)
    if model.layout != "transducer":
        what = "one graph" if model.layout == "single" else "an encoder with its decoder"
        raise ModelError(
            f"is {what}, no transducer: joiner*.onnx is missing",
            where=model.directory,
            fix="CTC models are run by sherpa:DIRECTORY, Whisper and Moonshine by onnx:DIRECTORY",
        )
    notes = list(model.notes)
    if any(
        model.directory.glob("joiner_blank*.onnx")
    ):  # the small head of a factorised joiner: joiner.onnx holds it too
        notes.append("joiner_blank*.onnx is not used: every frame asks the whole joiner")
    return TransducerFiles(
        directory=model.directory,
        encoder=model.parts["encoder"],
        predictor=model.parts["decoder"],
        joiner=model.parts["joiner"],
        tokens=model.tokens(),
        notes=tuple(notes),
    )
