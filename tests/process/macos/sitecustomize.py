"""Loaded by every Python process of a test: hides what Linux has and macOS has not, from the package and not from its libraries.

Compiled libraries are loaded first, since those that are installed here are Linux's.
"""

import contextlib
import ctypes
import errno
import importlib
import multiprocessing.util  # noqa: F401
import os
import platform
import resource
import signal
import subprocess  # noqa: F401
import sys
import sysconfig
from types import SimpleNamespace
from typing import Any

sysconfig.get_config_vars()
for name in ("psutil", "numpy", "soundfile", "soxr", "pydantic_core", "regex", "kaldi_native_fbank", "onnxruntime"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)

_CDLL, _rusage = ctypes.CDLL, resource.getrusage
HIDDEN = ("/proc/", "/sys/")


class _Without:
    """The C library as macOS has it."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        if name in ("prctl", "malloc_trim"):
            raise AttributeError(f"dlsym(RTLD_DEFAULT, {name}): symbol not found")
        return getattr(self._library, name)


def _library(name: Any = None, *given: Any, **options: Any) -> Any:
    loaded = _CDLL(name, *given, **options)
    return _Without(loaded) if name is None else loaded


def _refuse(path: Any) -> None:
    """As where there is no such file; psutil is Linux's here, and asks the kernel otherwise on macOS."""
    if not isinstance(path, (str, bytes, os.PathLike)) or not os.fsdecode(path).startswith(HIDDEN):
        return
    frame: Any = sys._getframe(1)
    while frame is not None:
        if "/psutil/" in frame.f_code.co_filename:
            return
        frame = frame.f_back
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))


def _hook(event: str, given: tuple[Any, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and given:
        _refuse(given[0])


def _hiding(function: Any) -> Any:
    """A call that no audit event announces."""

    def called(path: Any, *given: Any, **options: Any) -> Any:
        _refuse(path)
        return function(path, *given, **options)

    return called


def _in_bytes(who: int) -> Any:
    """The largest resident set is in KiB under Linux."""
    used = _rusage(who)
    return SimpleNamespace(ru_utime=used.ru_utime, ru_stime=used.ru_stime, ru_maxrss=1024 * used.ru_maxrss)


sys.platform = "darwin"
resource.getrusage = _in_bytes
platform.system = lambda: "Darwin"
ctypes.CDLL = _library  # type: ignore[assignment, misc]
for _module, _names in (
    (os, ("sched_getaffinity", "sched_setaffinity", "memfd_create", "pidfd_open", "posix_fadvise", "eventfd")),
    (signal, ("sigwaitinfo", "sigtimedwait", "pidfd_send_signal")),
):
    for _name in _names:
        if hasattr(_module, _name):
            delattr(_module, _name)
os.stat, os.lstat = _hiding(os.stat), _hiding(os.lstat)
sys.addaudithook(_hook)
