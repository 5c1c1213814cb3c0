"""What this package does inside another program leaves that program's process as it was found.

Libraries change the process that imports and calls them: filters of warnings, the root logger, `sys.path`, the environment,
random states. They also report on their users. Every verb, and every opening of a recognizer, happens inside `as_found()`.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

TELEMETRY_OFF: Mapping[str, str] = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime from 1.29 on, which looks once, when it is loaded, and never again
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, transformers, datasets, hf-xet; at import, too
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # datasets
    "MLFLOW_DISABLE_TELEMETRY": "true",  # mlflow; looks when it is imported
    "DO_NOT_TRACK": "1",  # what others agreed on
}
"""The environment in which libraries are to be imported: none collects or sends anything about its user."""

LIBRARIES = (
    "accelerate", "alembic", "ctranslate2", "datasets", "faster_whisper", "huggingface_hub", "lightning", "lightning_fabric",
    "mlflow", "onnxruntime", "onnxscript", "optuna", "torch", "torchao", "transformers",
)  # fmt: skip
"""Those whose loggers say more than errors."""
_SAY_AT_IMPORT = ("torch.utils._pytree",)
"""Loggers below a library's own, which sets its level when it is imported."""


@contextlib.contextmanager
def as_found() -> Iterator[None]:
    """Inside, libraries send no telemetry and say nothing but errors; afterwards the process is as it was. Also a decorator.

    May be nested and entered by several threads at once: what belongs to the process is put back when the last one leaves. What
    other threads change meanwhile in `os.environ`, `sys.path` or the filters of warnings is put back with it. Random states and
    threads of torch, numpy and Python are put back each time, for those that are imported on entering: enter once more after an
    import to guard what it brought. So is the stack on which this thread handles signals.
    """
    with _SHARED, contextlib.ExitStack() as mine:
        mine.callback(_signal_stack, _signal_stack())
        mine.callback(_put_back, _states())
        if (numpy := sys.modules.get("numpy")) is not None:
            mine.enter_context(
                numpy.errstate(divide="warn", over="warn", under="ignore", invalid="warn")
            )  # its own defaults
        yield


class _Shared:
    """What belongs to the process: saved when the first one enters, put back when the last one leaves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved: contextlib.ExitStack | None = None
        self._levels: dict[logging.Logger, int] = {}

    def __enter__(self) -> None:
        with self._lock:
            if self._saved is None:
                self._saved = self._save()
            self._inside += 1
            self._hush()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._saved is not None:
                saved, self._saved = self._saved, None
                saved.close()

    def _save(self) -> contextlib.ExitStack:
        """Save everything, then set what holds inside."""
        stack = contextlib.ExitStack()
        stack.callback(_put_back_mapping, os.environ, dict(os.environ))
        os.environ.update(TELEMETRY_OFF)
        stack.callback(sys.path.__setitem__, slice(None), list(sys.path))
        stack.enter_context(warnings.catch_warnings())
        if not sys.warnoptions:  # who asks for warnings with -W gets them
            warnings.simplefilter("ignore")
        root = logging.root
        stack.callback(_put_back_root, list(root.handlers), root.level, root.manager.disable)
        if not root.handlers:  # those that a program has set up go on as they are
            root.addHandler(_errors_only())
        stack.callback(self._speak)
        return stack

    def _hush(self) -> None:
        """Libraries' loggers, those too that have come since the last time, say errors only."""
        for name in (*LIBRARIES, *_SAY_AT_IMPORT):
            logging.getLogger(name)
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if isinstance(logger, logging.Logger) and name.partition(".")[0] in LIBRARIES:
                own = logger.level != logging.NOTSET or name in LIBRARIES or name in _SAY_AT_IMPORT
                if own and logger.level < logging.ERROR:
                    self._levels[logger] = logger.level  # once more where its library has set it since
                    logger.setLevel(logging.ERROR)

    def _speak(self) -> None:
        for logger, level in self._levels.items():
            if logger.level == logging.ERROR:  # else set meanwhile, as some libraries do when they are imported
                logger.setLevel(level)
        self._levels.clear()


_SHARED = _Shared()


def _put_back_mapping(now: Any, before: Mapping[str, str]) -> None:
    """Only what differs: each assignment to the environment is a call of the C library."""
    for name in [name for name in now if name not in before]:
        del now[name]
    now.update({name: value for name, value in before.items() if now.get(name) != value})


def _errors_only() -> logging.Handler:
    """Instead of the handler that `logging.warning` adds to a root logger that has none, for good, and of `lastResort`."""
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: record.levelno >= logging.ERROR or record.name.startswith("wattscribe"))
    handler.setLevel(logging.WARNING)
    return handler


def _put_back_root(handlers: list[logging.Handler], level: int, disabled: int) -> None:
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.disable(disabled)


class _Stack(ctypes.Structure):
    """stack_t of Linux."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def _signal_stack(put_back: _Stack | None = None) -> _Stack | None:
    """Where this thread handles signals (sigaltstack), before it is put back.

    OpenVINO gives the thread that loads it a stack of its own, and frees it: the next signal would end the process, silently.
    """
    if sys.platform != "linux":
        return None
    now = _Stack()
    library = ctypes.CDLL(None)
    library.sigaltstack(None, ctypes.byref(now))
    if put_back is not None and (now.sp, now.size) != (put_back.sp, put_back.size):
        library.sigaltstack(ctypes.byref(put_back), None)
    return now


def _states() -> dict[str, Any]:
    """States of the libraries that are here already, by the name of the function that sets each."""
    states: dict[str, Any] = {}
    if (random := sys.modules.get("random")) is not None:
        states["random.setstate"] = random.getstate()
    if (drawn := sys.modules.get("numpy.random")) is not None:
        states["numpy.random.set_state"] = drawn.get_state()
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "get_rng_state"):  # else it is being imported
        states["torch.set_rng_state"] = torch.get_rng_state()
        states["torch.set_num_threads"] = torch.get_num_threads()
    return states


def _put_back(states: Mapping[str, Any]) -> None:
    now = _states()
    for name, state in states.items():
        module, _, function = name.rpartition(".")
        if module in sys.modules and (function != "set_num_threads" or state != now[name]):
            getattr(sys.modules[module], function)(state)
