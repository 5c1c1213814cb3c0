"""Graphs as onnxruntime runs them, kept from one start to the next: parsing, rewriting and optimising a model takes several times
its size in memory, and most of the time that opening it takes.

They lie in `$XDG_CACHE_HOME/wattscribe/graphs` (`~/.cache/…`), under the digest of everything on which they depend. The directory
may be deleted at any time; where it cannot be written nothing is kept. Beside each graph lies its checksum: a damaged one is
prepared again. `WATTSCRIBE_GRAPH_CACHE=off` keeps and reads nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from wattscribe.graph.read import read_model

_VERSION = b"8"
"""To be raised when a rewriting rule changes."""
_KEPT, _KEPT_BYTES = 24, 1 << 30
"""Files, and more of them as long as they are smaller together; those that were not used for the longest time go first."""
_SMALLEST_BYTES, _LARGEST_BYTES = 1 << 18, 1 << 27
"""Smaller graphs open at once; larger ones would fill the disk."""
_CHUNK_BYTES = 1 << 16


def place(model: Path, what: str) -> Path | None:
    """Where the prepared graph of this file lies or is to lie; None: it is not kept."""
    folder, files = directory(), _files(model)
    if folder is None or not _SMALLEST_BYTES <= sum(path.stat().st_size for path in files) <= _LARGEST_BYTES:
        return None
    return folder / f"{_digest(files, what)}.ort"


def note_place(model: Path, what: str) -> Path | None:
    """Where something is noted of this file, of any size; None where nothing is kept."""
    folder = directory()
    return None if folder is None else folder / f"{_digest(_files(model), what)}.txt"


def _files(model: Path) -> tuple[Path, ...]:
    """The model and the files beside it that hold its weights. Found without reading it into memory where it has none."""
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(b"location") < 0:  # the key of TensorProto.external_data
            return (model,)
    outside = {tensor.external.path for tensor in read_model(model).graph.tensors() if tensor.external is not None}
    return (model, *sorted(outside))


def directory() -> Path | None:
    """The directory of prepared graphs; None where the environment forbids it."""
    if os.environ.get("WATTSCRIBE_GRAPH_CACHE", "").lower() in ("off", "0", "no"):
        return None
    base = os.environ.get("XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError):  # no home directory
        return (Path(base) if base else Path.home() / ".cache") / "wattscribe" / "graphs"
    return None


def possible() -> bool:
    """Whether graphs can be kept here at all."""
    folder = directory()
    with contextlib.suppress(OSError):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return os.access(folder, os.W_OK | os.X_OK)
    return False


def whole(target: Path) -> bool:
    """Whether the kept graph is there as it was written; one that is not is dropped."""
    with contextlib.suppress(OSError):
        if _checksum(target).read_text(encoding="ascii") == _hash(target).hexdigest():
            with contextlib.suppress(OSError):
                os.utime(target)
            return True
    drop(target)
    return False


def drop(target: Path) -> None:
    """Forget a kept graph, where that can be done."""
    for path in (target, _checksum(target)):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _checksum(target: Path) -> Path:
    return target.with_suffix(".sha256")


def _hash(path: Path) -> hashlib._Hash:
    """Of a file's bytes, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest


def _digest(files: Sequence[Path], what: str) -> str:
    """Of the model's bytes, and of the software and the processor for which its graph is prepared."""
    digest = _hash(files[0])
    for path in files[1:]:
        digest.update(_hash(path).digest())
    for part in (_VERSION, what.encode(), _machine().encode()):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:40]


@cache
def _machine() -> str:
    """onnxruntime's version and what its choice of operators depends on: the processor's instructions."""
    import onnxruntime

    flags = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{onnxruntime.__version__} {platform.machine()} {platform.processor()} {flags}"


@contextmanager
def writing(target: Path | None) -> Iterator[Path | None]:
    """A file to write the graph to, which takes its place when it is whole; None where there is nowhere to write."""
    if target is None:
        yield None
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = tempfile.TemporaryDirectory(prefix="new-", dir=target.parent)
    except OSError:
        yield None
        return
    with folder as name:
        new = Path(name) / target.name
        yield new
        with contextlib.suppress(OSError):
            checksum = _checksum(new)
            checksum.write_text(_hash(new).hexdigest(), encoding="ascii")
            new.replace(target)
            checksum.replace(_checksum(target))
            _prune(target.parent)


def _prune(folder: Path) -> None:
    """Drop what was not used for the longest time, beyond what is kept."""
    graphs = [(path.stat(), path) for path in folder.glob("*.ort")]
    total_bytes = 0
    for number, (about, path) in enumerate(sorted(graphs, key=lambda graph: graph[0].st_mtime, reverse=True)):
        total_bytes += about.st_size
        if number >= _KEPT and total_bytes > _KEPT_BYTES:
            drop(path)


def written() -> frozenset[tuple[str, int]]:
    """Which graphs lie there and when each was made: two answers differ by what was prepared between them."""
    folder = directory()
    if folder is None:
        return frozenset()
    with contextlib.suppress(OSError):
        return frozenset((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.sha256"))
    return frozenset()
