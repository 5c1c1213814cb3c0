"""A stand-in for pynvml with GPUs that support what a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

NOT_SUPPORTED = 3
"""NVML_ERROR_NOT_SUPPORTED."""
DRIVER_NOT_LOADED = 9


WORDS = {NOT_SUPPORTED: "Not Supported", DRIVER_NOT_LOADED: "Driver Not Loaded", 12: "NVML Shared Library Not Found"}


class FakeNvmlError(Exception):
    """As pynvml's NVMLError: a code with words."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return WORDS.get(self.value, f"error {self.value}")


@dataclass(slots=True)
class FakeGpu:
    """A value of None is answered with NotSupported, as NVML does."""

    name: str = "NVIDIA H100 80GB HBM3"
    energy_mj: int | None = 0
    power_mw: int | None = 70_000
    instant_mw: int | None = 71_000
    architecture: int = 9
    used_bytes: int = 1 << 30
    processes: dict[int, int | None] = field(default_factory=dict)


class FakeNvml:
    """The functions of pynvml that Wattscribe calls."""

    NVMLError = FakeNvmlError
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    def __init__(self, gpus: Sequence[FakeGpu] = (), *, start_error: int | None = None) -> None:
        self.gpus = list(gpus)
        self.start_error = start_error
        self.open = 0

    def nvmlInit(self) -> None:
        if self.start_error is not None:
            raise FakeNvmlError(self.start_error)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str:
        return gpu.name

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: FakeGpu) -> int:
        return _supported(gpu.energy_mj)

    def nvmlDeviceGetPowerUsage(self, gpu: FakeGpu) -> int:
        return _supported(gpu.power_mw)

    def nvmlDeviceGetFieldValues(self, gpu: FakeGpu, fields: Sequence[int]) -> list[Any]:
        """Field values report their error beside the value, which is then garbage."""
        code = NOT_SUPPORTED if gpu.instant_mw is None else 0
        return [
            SimpleNamespace(fieldId=f, nvmlReturn=code, value=SimpleNamespace(uiVal=gpu.instant_mw or 0))
            for f in fields
        ]

    def nvmlDeviceGetArchitecture(self, gpu: FakeGpu) -> int:
        return gpu.architecture

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> Any:
        return SimpleNamespace(total=80 << 30, used=gpu.used_bytes, free=(80 << 30) - gpu.used_bytes)

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in gpu.processes.items()]

    def nvmlSystemGetDriverVersion(self) -> str:
        return "570.00"

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: FakeGpu) -> int:
        return 700_000

    def nvmlDeviceGetClockInfo(self, gpu: FakeGpu, kind: int) -> int:
        return 1980 if kind == self.NVML_CLOCK_SM else 2619

    def nvmlDeviceGetTemperature(self, gpu: FakeGpu, kind: int) -> int:
        return 35

    def nvmlDeviceGetPersistenceMode(self, gpu: FakeGpu) -> int:
        return 1


def _supported(value: int | None) -> int:
    if value is None:
        raise FakeNvmlError(NOT_SUPPORTED)
    return value
