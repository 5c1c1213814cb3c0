"""How much memory a worker needed: the peak of its resident set above what the empty process already had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from wattscribe.metering.files import SensorFiles
from wattscribe.metering.host import system_nvml
from wattscribe.metering.processes import descendants, is_copy

RESET_PEAK = b"5"
"""Written to clear_refs, this sets VmHWM back to the present resident set (Linux 4.0, proc(5))."""
KIB_BYTES = 1024
T = TypeVar("T")


class PeakMemory:
    """Made in, or for, an empty process; `above_baseline_bytes` later says what the work added at its peak.

    The peak mark is set back when this is made, so that a peak of the interpreter's start does not count. Where the kernel
    does not allow that (`reset` is False), a peak that lies below the start's is not visible, and the figure is an upper bound.
    """

    def __init__(self, pid: int | None = None, files: SensorFiles | None = None) -> None:
        self._files = files if files is not None else SensorFiles()
        self._pid = pid
        self.reset = reset_peak(pid, self._files)
        self.baseline_bytes = rss_bytes(pid, self._files)

    def above_baseline_bytes(self) -> int | None:
        """Peak minus baseline, at least 0; None where the process is gone or the system does not tell."""
        peak_bytes = peak_rss_bytes(self._pid, self._files)
        if peak_bytes is None or self.baseline_bytes is None:
            return None
        return max(peak_bytes - self.baseline_bytes, 0)


def descendants_peak_bytes(pid: int | None = None) -> int:
    """The peaks of a process's living children and theirs, added up: an upper bound of what they held at once; 0: it has none.

    A child that has not started its program yet still shows its parent's memory and is left out.
    """
    return sum(peak_rss_bytes(child) or 0 for child in descendants(pid) if not is_copy(child))


def rss_bytes(pid: int | None = None, files: SensorFiles | None = None) -> int | None:
    """Resident set now: VmRSS, or psutil where there is no /proc."""
    value = _status_bytes(pid, "VmRSS", files)
    if value is not None or (files is not None and files.root != Path("/")):
        return value
    return _psutil_bytes(pid, "rss")


def peak_rss_bytes(pid: int | None = None, files: SensorFiles | None = None) -> int | None:
    """Largest resident set so far: VmHWM, or psutil's peak where there is no /proc. None: unknown."""
    value = _status_bytes(pid, "VmHWM", files)
    if value is not None or (files is not None and files.root != Path("/")):
        return value
    return _psutil_bytes(pid, "peak_wset") or _own_peak_bytes(pid)


def reset_peak(pid: int | None = None, files: SensorFiles | None = None) -> bool:
    """Set VmHWM back to the present resident set; False where the kernel does not let us."""
    files = files if files is not None else SensorFiles()
    path = _proc(pid, files) / "clear_refs"
    try:
        if not path.exists():
            return False
        path.write_bytes(RESET_PEAK)
    except OSError:
        return False
    return True


def gpu_memory_bytes(pid: int | None = None, nvml: Any | None = None) -> int | None:
    """Memory that the process and its children hold on all NVIDIA GPUs; `pid` None: this process.

    None: no GPU, or the driver does not tell.

    In a container the driver lists processes by the host's numbers, so ours may not be found: then None, not 0.
    """
    import os

    wanted = {os.getpid() if pid is None else pid, *descendants(pid)}
    found = _of_gpus(nvml, _gpu_processes) or []
    mine = [process.usedGpuMemory for processes in found for process in processes if process.pid in wanted]
    known = [int(value) for value in mine if value is not None]
    return sum(known) if known else None


def gpu_used_bytes(nvml: Any | None = None) -> int | None:
    """Memory in use on all NVIDIA GPUs, by anyone; its rise over a trial is the figure where processes cannot be told apart."""
    used = _of_gpus(nvml, lambda library, handle: int(library.nvmlDeviceGetMemoryInfo(handle).used))
    return sum(used) if used else None


def _of_gpus(nvml: Any | None, ask: Callable[[Any, Any], T]) -> list[T] | None:
    """What the driver says of each GPU; None where there is no driver or it does not tell."""
    library = nvml if nvml is not None else system_nvml()
    if library is None:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    try:
        return [
            ask(library, library.nvmlDeviceGetHandleByIndex(index)) for index in range(library.nvmlDeviceGetCount())
        ]
    except library.NVMLError:
        return None
    finally:
        library.nvmlShutdown()


def _gpu_processes(library: Any, handle: Any) -> list[Any]:
    try:
        return list(library.nvmlDeviceGetComputeRunningProcesses(handle))
    except library.NVMLError:
        return []


def _proc(pid: int | None, files: SensorFiles) -> Path:
    return files.path(f"proc/{'self' if pid is None else pid}")


def _status_bytes(pid: int | None, key: str, files: SensorFiles | None) -> int | None:
    files = files if files is not None else SensorFiles()
    text = files.text(_proc(pid, files) / "status") or ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if name == key and words and words[0].isdigit():
            return int(words[0]) * KIB_BYTES
    return None


def _psutil_bytes(pid: int | None, name: str) -> int | None:
    try:
        value = getattr(psutil.Process(pid).memory_info(), name, None)
    except psutil.Error:
        return None
    return None if value is None else int(value)


def _own_peak_bytes(pid: int | None) -> int | None:
    """getrusage knows the peak of this process alone: KiB on Linux, bytes on macOS."""
    import resource
    import sys

    if pid is not None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else KIB_BYTES)
