"""NVIDIA GPUs as part of the machine's description."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def describe_gpus(nvml: Any | None) -> list[dict[str, Any]]:
    """One entry per GPU; what a GPU does not support is None. Empty where there is no library, driver or GPU."""
    if nvml is None:
        return []
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    try:
        driver = _text(_ask(nvml, nvml.nvmlSystemGetDriverVersion))
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return [_describe(nvml, handle, driver) for handle in handles]
    except nvml.NVMLError:
        return []
    finally:
        nvml.nvmlShutdown()


def _describe(nvml: Any, handle: Any, driver: str | None) -> dict[str, Any]:
    memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    limit_mw = _ask(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return {
        "name": _text(_ask(nvml, nvml.nvmlDeviceGetName, handle)),
        "driver": driver,
        "memory_bytes": None if memory is None else int(memory.total),
        "power_limit_w": None if limit_mw is None else limit_mw / 1e3,
        "sm_clock_hz": _mhz(_ask(nvml, nvml.nvmlDeviceGetClockInfo, handle, getattr(nvml, "NVML_CLOCK_SM", 1))),
        "memory_clock_hz": _mhz(_ask(nvml, nvml.nvmlDeviceGetClockInfo, handle, getattr(nvml, "NVML_CLOCK_MEM", 2))),
        "temperature_c": _ask(nvml, nvml.nvmlDeviceGetTemperature, handle, 0),
        "persistence_mode": _ask(nvml, nvml.nvmlDeviceGetPersistenceMode, handle),
    }


def _ask(nvml: Any, function: Callable[..., Any], *arguments: Any) -> Any | None:
    try:
        return function(*arguments)
    except nvml.NVMLError:
        return None


def _text(value: Any) -> str | None:
    """Older releases of the library answer in bytes."""
    if value is None:
        return None
    return value.decode() if isinstance(value, bytes) else str(value)


def _mhz(value: Any) -> float | None:
    return None if value is None else float(value) * 1e6
