"""Checkpoints that survive kill -9: written beside, flushed to disk, renamed. Tensors and plain data only, never pickled code."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wattscribe.errors import InputError, MissingExtraError
from wattscribe.text_files import read_json
from wattscribe.training.config import config_from_json, config_to_json
from wattscribe.training.fields import at
from wattscribe.training.model import TransducerModel, build
from wattscribe.training.tokens import Vocabulary, load_vocabulary, save_vocabulary
from wattscribe.training.writing import cannot_write


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where training stands: enough, with the seed, to name the next batch."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    elapsed_s: float = 0.0
    audio_s: float = 0.0


def write_whole(path: Path, content: bytes) -> None:
    """A file is there whole or not at all. Raises TrainingError on a full disk."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise cannot_write("the checkpoint", path, error, kept="the checkpoint before it is whole") from error


def save_model(folder: Path, model: TransducerModel, vocabulary: Vocabulary, notes: Mapping[str, Any]) -> None:
    """A model as a folder: model.safetensors, model.json (shape and notes), tokens.txt, bpe.model."""
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise MissingExtraError("safetensors", "train", needed_for="A checkpoint") from error
    save_vocabulary(vocabulary, folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_whole(folder / "model.safetensors", save(tensors))
    facts = {"model": config_to_json(model.config), "notes": dict(notes)}
    write_whole(folder / "model.json", json.dumps(facts, indent=1).encode())


def load_model(folder: Path) -> tuple[TransducerModel, Vocabulary]:
    """What `save_model` wrote. Raises InputError where it is not whole or of another shape than it says."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtraError("safetensors", "train", needed_for="A checkpoint") from error
    path, facts = folder / "model.safetensors", folder / "model.json"
    for file in (path, facts):
        if not file.is_file():
            raise InputError(f"no {file.name} here", where=folder,
                             fix="Give a folder that `wattscribe train` wrote, or hf:MODEL for a Whisper of the hub")  # fmt: skip
    try:
        with at(facts):
            config = config_from_json(read_json(facts, what="the model's description")["model"])
        tensors = load_file(path)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"the checkpoint cannot be read: {_first_line(error)}", where=folder,
                         fix="Give a folder that `wattscribe train` wrote") from error  # fmt: skip
    model = build(config)
    load_weights(model, tensors, folder)
    return model, load_vocabulary(folder)


def load_weights(model: TransducerModel, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Put weights into a model. Raises InputError naming the first weight whose shape differs."""
    own = model.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors or name not in own:
            raise InputError(
                f"the checkpoint is of another shape: {name} is {'missing' if name not in tensors else 'not in the model'}",
                where=where, fix="Use the config that it was trained with",
            )  # fmt: skip
        if own[name].shape != tensors[name].shape:
            raise InputError(
                f"the checkpoint is of another shape: {name} is {tuple(tensors[name].shape)}, "
                f"the model's {tuple(own[name].shape)}",
                where=where, fix="Use the config that it was trained with",
            )  # fmt: skip
    model.load_state_dict(dict(tensors))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """The resumable state: nested dicts and lists of tensors and plain values."""
    import io

    content = io.BytesIO()
    torch.save(dict(state), content)
    write_whole(path, content.getvalue())


STATE = frozenset(("model", "average", "average_updates", "head", "optimisers", "position", "entries"))
"""What a resumable state holds."""


def load_state(path: Path) -> dict[str, Any]:
    """The resumable state, read with `weights_only=True`. Raises InputError."""
    import pickle

    fix = "Remove it to start afresh"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own line tells how to execute it all the same
        raise InputError("the training state cannot be read: it holds more than tensors and plain data, or is cut off",
                         where=path, fix=fix) from error  # fmt: skip
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"the training state cannot be read: {_first_line(error)}", where=path, fix=fix) from error
    weights = state.get("model") if isinstance(state, dict) and state.keys() >= STATE else None
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise InputError("this is not a training state", where=path, fix=fix)
    if not finite(weights):
        raise InputError(
            "the training state belongs to a diverged run: its weights are not finite", where=path, fix=fix
        )
    return dict(state)


def finite(tensors: Mapping[str, Tensor]) -> bool:
    """No weight is infinite or not a number."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
