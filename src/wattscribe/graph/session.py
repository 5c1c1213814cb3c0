"""onnxruntime sessions as this runtime opens them, and its exceptions as one line that names the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from wattscribe import first_run
from wattscribe.errors import ModelError
from wattscribe.graph.linked import graph_apart, real_places
from wattscribe.graph.memory import give_back


def open_session(
    path: Path,
    *,
    threads: int = 1,
    model: bytes | None = None,
    ready: Path | None = None,
    optimised: bool = True,
    saved: Path | None = None,
    planned: bool = True,
) -> Any:
    """An InferenceSession for the file, for `model`, its rewritten bytes, or for `ready`, its graph as it was `saved` before.

    One thread per operator unless told otherwise; idle threads do not spin, so that a stream that waits for audio costs
    nothing. Denormals stay numbers: onnxruntime would set the calling thread's own arithmetic. `planned`: from the second run
    of each shape on, memory is taken in one block, beside that of the first. Raises ModelError.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = planned
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.execution_order = (
        onnxruntime.ExecutionOrder.PRIORITY_BASED
    )  # neighbours in the graph run one after the other
    if not optimised or ready is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if saved is not None:
        options.optimized_model_filepath = str(saved)
        options.add_session_config_entry("session.save_model_format", "ORT" if saved.suffix == ".ort" else "ONNX")
    options.log_severity_level = 3
    if _one_arena():
        options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(ready) if ready is not None and model is None else source_of(options, path, model)
    with Running(path, "cannot be executed"):
        return onnxruntime.InferenceSession(
            source,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=_none_but_first_give_back(),
            enable_fallback=0,  # which prints to standard output, and tries the same once more
        )


def source_of(options: Any, path: Path, model: bytes | None = None) -> bytes | str:
    """What onnxruntime shall open for the file, or for `model`, made of it; `options` learn where weights outside lie."""
    model = graph_apart(path) if model is None else model
    if model is None:
        return str(path)
    model, folder = real_places(model, path)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return model


@cache
def _one_arena() -> bool:
    """Memory for all sessions, which grows by what is asked for; else each has its own, which doubles. False: not to be had."""
    import onnxruntime as ort

    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    by_need = 1
    try:
        ort.create_and_register_allocator(place, ort.OrtArenaCfg(0, by_need, -1, -1))
    except _failures():
        return False
    return True


def _none_but_first_give_back() -> Iterator[str]:
    """No names. onnxruntime takes them between reading the graph and making its operators, when memory stands highest."""
    give_back()
    yield from ()


class Running:
    """`with Running(path, what):` turns onnxruntime's exceptions into a ModelError with the node and the reason in one line."""

    __slots__ = ("_path", "_what")

    def __init__(self, path: Path, what: str) -> None:
        self._path, self._what = path, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and isinstance(error, _failures()):
            message = str(error)
            newer = _newer(message)
            if newer is not None:
                raise ModelError(newer, where=self._path, fix=_UPGRADE) from None
            if first_run.ENDED in message:
                raise ModelError(first_run.endless(), where=self._path, fix="Export it again") from None
            raise ModelError(f"{self._what}: {_one_line(message)}", where=self._path, fix=_remedy(message)) from None


_UPGRADE = "Install a newer onnxruntime, or export with an older opset"


def _newer(message: str) -> str | None:
    """Which version the model is of and which this onnxruntime takes, where that is what it says."""
    import onnxruntime

    ours = f"onnxruntime {onnxruntime.__version__}"
    if match := re.search(r"IR version: (\d+), max supported IR version: (\d+)", message):
        return f"is of ONNX IR version {match[1]}; {ours} takes {match[2]} at most"
    if match := re.search(r"Opset (\d+) is under development .* for domain (\S+) is till opset (\d+)", message):
        return f"is of opset {match[1]} of {match[2]}; {ours} takes {match[3]} at most"
    return None


@cache
def _failures() -> tuple[type[BaseException], ...]:
    """onnxruntime's exceptions, which have no common base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = (
        "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "NoSuchFile", "NoModel",
        "RuntimeException", "EPFail", "EngineError", "NotFound",
    )  # fmt: skip
    bound_runs = RuntimeError
    return (bound_runs, *(getattr(state, name) for name in names if hasattr(state, name)))


def _one_line(message: str) -> str:
    """onnxruntime's message without its prefix, build paths and line breaks."""
    message = re.sub(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", message)
    message = re.sub(r"\S*/onnxruntime/\S+\.(cc|h):\d+ ", "", message)
    message = re.sub(r"Load model from \S+ (failed:)?", "", message)
    message = re.sub(r"(\w+[*&]? )*\bonnxruntime::\S*\(.*?\)( const)? (?=[A-Z])", "", message)  # a C++ signature
    message = re.sub(r"(onnxruntime::|\(anonymous namespace\)::)?\S*\(.*?\) ?(?=\S+ was false)", "", message)
    message = re.sub(r' : \(".*?\) -> \(.*?\) ?,', ":", message)  # the node's values, which can be a screen long
    return shorten(message, 400, placeholder=" …").rstrip(". ")


def _remedy(message: str) -> str:
    if "No opset import for domain" in message or "is not a registered function" in message:
        return "Export it with ONNX's own operators: those of other domains are not known here"
    if "Could not find an implementation" in message or "No Op registered" in message or "not a registered" in message:
        return "Export it with operators of the standard ONNX opset, or install a newer onnxruntime"
    if "opset" in message or "IR version" in message:
        return _UPGRADE
    return "Export the model again and check it with onnx.checker"


def bare(net: Any) -> Any:
    """The object inside an InferenceSession that runs it: the session's checks of every call take a tenth of a joiner's time."""
    return getattr(net, "_sess", net)


def bound(net: Any, binding: Any) -> Callable[[], None]:
    """A call of the session with these buffers, again without its checks."""
    inner, buffers = getattr(net, "_sess", None), getattr(binding, "_iobinding", None)
    if inner is None or buffers is None:
        return partial(net.run_with_iobinding, binding)
    return partial(inner.run_with_iobinding, buffers, None)


def run_and_shrink(net: Any, binding: Any, path: Path) -> None:
    """A first run into bound buffers, after which only weights are kept.

    It takes its memory piece by piece, later runs take theirs in one block: the pieces would stay beside it, and do where
    onnxruntime allocates the outputs in between them.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    with first_run.limited(options), Running(path, "failed while running"):
        net.run_with_iobinding(binding, options)


def run_first(session: Any, path: Path, outputs: list[str], feeds: Mapping[str, Any]) -> list[Any]:
    """As `run`, of a graph that nobody has seen running: one that never ends is ended."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    with first_run.limited(options), Running(path, "failed while running"):
        return session.run(outputs, feeds, options)  # type: ignore[no-any-return]


def require_numbers(values: Any, path: Path, *, infinite: bool = False) -> None:
    """Refuse what a model computes where it is no number: texts of it would be empty or nonsense. Raises ModelError.

    `infinite`: infinities are numbers too, as scores of what can never be emitted.
    """
    if np.isnan(values).any() if infinite else not np.isfinite(values).all():
        raise ModelError(
            "computes values that are not numbers (NaN): its weights are damaged, or its precision overflows",
            where=path,
            fix="Copy or export it again; an fp16 export may need fp32",
        )


def run(session: Any, path: Path, outputs: list[str], feeds: Mapping[str, Any]) -> list[Any]:
    """`session.run` with its failures reported for `path`."""
    with Running(path, "failed while running"):
        return bare(session).run(outputs, feeds, None)  # type: ignore[no-any-return]
