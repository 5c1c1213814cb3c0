"""Open the three networks, rewritten where that changes no answer."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from wattscribe.errors import ModelError
from wattscribe.graph import cache
from wattscribe.graph.index import index_of
from wattscribe.graph.memory import give_back
from wattscribe.graph.model import Model
from wattscribe.graph.names import shortened
from wattscribe.graph.one_stream import for_one_stream
from wattscribe.graph.portable import whole
from wattscribe.graph.proving import dies, note
from wattscribe.graph.read import ORT_MARK, parse_model, read_model
from wattscribe.graph.row_scales import by_row
from wattscribe.graph.session import open_session
from wattscribe.graph.simplify import quantised, simplified
from wattscribe.graph.states import parts
from wattscribe.graph.trim import trimmed
from wattscribe.streaming.encoder import Encoder

_LARGEST_INSIDE_BYTES = 1 << 29
"""Weights beside a model up to this size are taken into memory with it; larger ones are read by onnxruntime alone."""
_PIECE_BYTES = 1 << 20


def open_encoder(
    path: Path,
    *,
    threads: int,
    rewriting: bool,
    alone: bool = True,
    saved: Path | None = None,
    notes: list[str] | None = None,
) -> tuple[Any, bool]:
    """The encoder's session, and whether streams that share a call leave one another alone (no scale taken over all).

    `alone`: no streams are to share calls, as they never can where there is such a scale; the graph is for one stream then.
    `saved`: where to write the graph as onnxruntime runs it, instead of taking one that was kept. What a user should know is
    added to `notes`.
    """
    apart = not takes_one_scale(path)
    if is_ort(path):
        return open_session(path, threads=threads, ready=path, saved=saved), apart
    alone = alone or not apart
    target = cache.place(path, f"encoder of {'one' if alone else 'any'}") if rewriting and saved is None else None
    net = kept(path, target, threads)
    if net is not None:
        return net, apart
    model, data = _read(path)
    if dies(path, model, data):
        return _as_exported(path, data, threads, notes), apart
    outside = external(model)
    changed = _rewritten(model, data, alone, apart) if rewriting and not outside else None
    del model
    give_back()
    try:
        less = _trimmed(changed, path, threads) if changed is not None and alone else None
        net = _opened(
            path, None if outside else target, less or changed or data, threads, optimised=less is None, saved=saved
        )
    except ModelError:
        if changed is None:
            raise
        net = open_session(path, threads=threads, model=data)  # runs, or says by the file's own names why not
    del changed, less, data
    give_back()
    return net, apart


def _read(path: Path) -> tuple[Model, bytes | None]:
    """The model, its weights inside; and its bytes where they lie in files beside it, unless those are large.

    torch's exporter puts even small constants there, and onnxruntime refuses a graph whose shapes it cannot read at once.
    """
    model = read_model(path)
    if not external(model) or sum(tensor.nbytes for tensor in model.graph.tensors()) > _LARGEST_INSIDE_BYTES:
        return model, None
    data = whole(path)
    return parse_model(data, path), data


def _as_exported(path: Path, data: bytes | None, threads: int, notes: list[str] | None) -> Any:
    """The session of a graph that must not be optimised."""
    if notes is not None:
        notes.append(note(path))
    return open_session(path, threads=threads, model=data, optimised=False)


def _opened(
    path: Path,
    target: Path | None,
    model: bytes | None,
    threads: int,
    *,
    optimised: bool = True,
    saved: Path | None = None,
) -> Any:
    """The session, its graph kept at `target`, or `saved`; it opens where nothing can be kept, on a full disk too."""
    if saved is None and target is not None:
        with cache.writing(target) as new, contextlib.suppress(ModelError):
            return open_session(path, threads=threads, model=model, optimised=optimised, saved=new)
    return open_session(path, threads=threads, model=model, optimised=optimised, saved=saved)


def kept(path: Path, target: Path | None, threads: int) -> Any:
    """The session of a graph that was prepared before; None where there is none, or none that can be read."""
    if target is None or not cache.whole(target):
        return None
    try:
        return open_session(path, threads=threads, ready=target)
    except ModelError:  # of another build of onnxruntime: it is prepared again
        cache.drop(target)
        return None
    finally:
        give_back()


def _rewritten(model: Model, data: bytes | None, alone: bool, apart: bool) -> bytes:
    """The changed graph; `data` where the model's file does not hold all of it."""
    single = _for_one(model, data) if alone else None
    heads_in_place = alone and (not apart or quantised(model))
    changed, _ = simplified(model if single is None else parse_model(single, model.path), alone=heads_in_place)
    return shortened(parse_model(changed, model.path)) or changed


def _trimmed(changed: bytes, path: Path, threads: int) -> bytes | None:
    """The graph as onnxruntime optimises it, without what moves nothing; None where there is no place to write it to."""
    try:
        with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
            optimised = Path(folder) / "encoder.onnx"
            open_session(path, threads=threads, model=changed, saved=optimised)
            model = read_model(optimised)
    except (OSError, ModelError):
        return None
    give_back()
    less = trimmed(model)
    return shortened(parse_model(less, path)) or less


def _for_one(model: Model, data: bytes | None) -> bytes | None:
    """The encoder with a state for each layer; None where its states are so already."""
    wires = index_of(model.graph)
    if all(parts(wires, port.name) == 1 for port in model.graph.inputs):
        return None
    encoder = Encoder(open_session(model.path, model=data, optimised=False), model.path)
    features, states = encoder.noise(1)
    return for_one_stream(model, encoder.layout.feeds(features, [0], states), encoder.layout.states)


def open_rows(
    path: Path, *, threads: int, many: bool = True, saved: Path | None = None, notes: list[str] | None = None
) -> Any:
    """The session of a predictor or joiner; `many` rows can share a call, since each is quantised by itself. `saved` as above."""
    if is_ort(path):
        return open_session(path, threads=threads, ready=path, saved=saved)
    target = cache.place(path, "rows" if many else "one row") if saved is None else None
    net = kept(path, target, threads)
    if net is not None:
        return net
    model, data = _read(path)
    if dies(path, model, data):
        return _as_exported(path, data, threads, notes)
    outside = external(model)
    changed = by_row(model) if many and not outside else None
    del model
    return _opened(path, None if outside else target, changed or data, threads, saved=saved)


def is_ort(path: Path) -> bool:
    """Whether it is in onnxruntime's own format: optimised already, to be run as it is."""
    with path.open("rb") as file:
        return file.read(8)[4:] == ORT_MARK


def takes_one_scale(path: Path) -> bool:
    """Whether the model quantises dynamically: rows of a call then share a scale. Found piece by piece: a mapping that is
    searched is resident as a whole, and would be the peak of a Whisper whose table of rows is hardly read."""
    sought, end = b"DynamicQuantize", b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            if sought in end + piece:
                return True
            end = piece[-len(sought) :]
    return False


def external(model: Model) -> bool:
    """Weights in a file beside the model: it is opened by its path."""
    return any(tensor.external is not None for tensor in model.graph.tensors())
