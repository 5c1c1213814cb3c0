"""`python -m tests.process.leaves ORDER OUT`: what verbs and recognizers change in a process of their own.

ORDER is JSON: `jobs`, done once in a process that has imported nothing and once more where random states, threads and the
handling of errors are the program's own; `stay_s`, how long the process then lives on. OUT, JSON too, holds [run, what, before,
after] of all that differs.
"""

from __future__ import annotations

import ctypes
import gc
import json
import locale
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

Facts = dict[str, Any]


def facts() -> Facts:
    """Everything about this process that belongs to its user."""
    found: Facts = {
        "floating point": _arithmetic(),
        "signal handlers": [signal.getsignal(each) for each in sorted(signal.valid_signals())],
        "warnings": [list(warnings.filters), warnings.showwarning],
        "root logger": [
            logging.root.level,
            list(logging.root.handlers),
            logging.root.manager.disable,
            logging.lastResort,
        ],
        "environment": dict(os.environ),
        "working directory": Path.cwd(),
        "files in it": sorted(map(str, Path().iterdir())),
        "random": random.getstate(),
        "sys.path": list(sys.path),
        "streams and hooks": [sys.stdout, sys.stderr, sys.excepthook, sys.displayhook, threading.excepthook],
        "interpreter": [sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), gc.get_threshold()],
        "locale": locale.setlocale(locale.LC_ALL),
    }
    found.update(_kernel())
    for module, read in _OF_LIBRARIES.items():
        if module in sys.modules:
            found.update(read(sys.modules[module]))
    return found


def _arithmetic() -> str:
    """What flush-to-zero, denormals-are-zero and each direction of rounding would change."""
    least, small, half = float("5e-324"), float("2.3e-308"), float(2**-53)
    return repr(
        [least * 1.0, small / 4, 1.0 + half, -1.0 - half, 1.0 + half * 1.5]
    )  # not as numbers: 5e-324 == 0.0 then


def _kernel() -> Facts:
    """Signals that C code handles, the umask; the descriptors of the standard streams."""
    status = Path("/proc/self/status")
    found: Facts = {"streams": [os.fstat(each)[:3] for each in (1, 2)], "stack of signals": _signal_stack()}
    if status.exists():
        wanted = ("Umask", "SigBlk", "SigIgn", "SigCgt")
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith(wanted):
                name, value = line.split(":")
                found[name] = value.strip()[-8:]  # signals above 32 are the C library's own, for threads
    return found


def _signal_stack() -> list[int] | None:
    """Address and size of what sigaltstack says."""
    if sys.platform != "linux":
        return None
    words = (ctypes.c_size_t * 3)()  # stack_t: a pointer, an int that is padded, a size
    ctypes.CDLL(None).sigaltstack(None, words)
    return [words[0], words[2]]


def _numpy(numpy: Any) -> Facts:
    state = numpy.random.get_state()
    return {"numpy errstate": numpy.geterr(), "numpy random": [state[0], state[1].tolist(), *state[2:]],
            "numpy printing": {key: str(value) for key, value in numpy.get_printoptions().items()}}  # fmt: skip


def _torch(torch: Any) -> Facts:
    return {
        "torch threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "torch random": torch.get_rng_state().tolist(),
        "torch defaults": [str(torch.get_default_dtype()), torch.is_grad_enabled(), torch.backends.mkldnn.enabled,
                           torch.are_deterministic_algorithms_enabled(),],
        "torch engine": torch.backends.quantized.engine,
    }  # fmt: skip


def _transformers(transformers: Any) -> Facts:
    return {"transformers": [transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()]}


_OF_LIBRARIES: Mapping[str, Callable[[Any], Facts]] = {
    "numpy": _numpy, "torch": _torch, "transformers": _transformers,
    "optuna": lambda optuna: {"optuna": optuna.logging.get_verbosity()},
    "datasets": lambda datasets: {"datasets": datasets.utils.logging.get_verbosity()},
}  # fmt: skip
AT_IMPORT: Facts = {"transformers": [logging.WARNING, True], "optuna": logging.INFO, "datasets": logging.WARNING,
                    "torch defaults": ["torch.float32", True, True, False]}  # fmt: skip
"""What these libraries begin with, for those that the job itself imports."""


def changes(before: Facts) -> list[tuple[str, str, str]]:
    """What is not as it was; of libraries that came meanwhile, what they do not begin with."""
    now, then = facts(), {**AT_IMPORT, **before}
    return [(key, _short(then[key]), _short(now[key])) for key in now if key in then and now[key] != then[key]]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 600 else f"{text[:300]} … {text[-300:]}"


def do(job: Mapping[str, Any]) -> None:
    """One verb, or a recognizer's whole life."""
    kind = job["do"]
    if kind == "recognize":
        import numpy as np

        from wattscribe.recognizers import open_recognizer, parse_model
        from wattscribe.recognizers.base import StreamingRecognizer

        recognizer = open_recognizer(parse_model(job["model"], precision=job.get("precision")))
        audio = (0.1 * np.random.Generator(np.random.PCG64(1)).standard_normal(12_000)).astype(np.float32)
        recognizer.transcribe([audio])
        if isinstance(recognizer, StreamingRecognizer):
            stream = recognizer.stream()
            stream.accept(audio)
            stream.finish()
        recognizer.audit()
        recognizer.close()
    elif kind == "command":
        from wattscribe.cli import main

        if main(list(job["arguments"])):
            raise SystemExit(f"wattscribe {' '.join(job['arguments'])} failed")
    else:
        from wattscribe import api

        getattr(api, kind)(*job.get("args", ()), **job.get("options", {}))


def seeded() -> None:
    """As a program that has chosen its own random states, threads and ways of handling errors."""
    random.seed(5)
    numpy = import_module("numpy")
    numpy.random.seed(5)
    numpy.seterr(under="raise", over="raise")
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.manual_seed(5)
        torch.set_num_threads(2)


def main() -> None:
    order = json.loads(sys.argv[1])
    jobs = order["jobs"]
    if any(job["do"] == "recognize" for job in jobs):
        import_module("numpy")  # whoever has samples has it
    found = []
    for run in order.get("runs", ("fresh", "seeded")):
        if run == "seeded":
            seeded()
        before = facts()
        for job in jobs:
            do(job)
        found += [(run, *each) for each in changes(before)]
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
    time.sleep(order.get("stay_s", 0.0))


if __name__ == "__main__":
    main()
