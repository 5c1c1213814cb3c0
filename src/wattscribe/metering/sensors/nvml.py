"""NVIDIA GPUs through NVML: the energy counter where there is one, else power; NotSupported is absent, never 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Clock, MonotonicClock, Probe
from wattscribe.metering.host import Host
from wattscribe.metering.sensors.crosscheck import CrossCheck
from wattscribe.units import j_from_mj, w_from_mw

NAME = "nvml"
UPDATE_S = 0.1
"""Both the counter and the power refresh every 20 to 100 ms depending on the GPU (arXiv 2312.02741); the data tell more."""
POWER_AVERAGE_S = 1.0
"""nvmlDeviceGetPowerUsage on Ampere and later, except GA100 (NVML API reference)."""
ARCHITECTURE_AMPERE = 7
DRIVER_FILES = ("proc/driver/nvidia/version", "dev/nvidiactl")
FIELD_POWER_INSTANT = 186
"""NVML_FI_DEV_POWER_INSTANT."""
GA100_NAMES = ("A100", "A30", "A800")
PARTLY_SAMPLED_NAMES = ("A100", "H100", "H200", "H800", "GH200")
OVER_LIMIT = 2.0
"""A board's power limit holds on average; for milliseconds it may draw up to about twice as much (ATX 3.0, power excursions)."""
MAX_BOARD_W = 3000.0
"""Twice the largest rating (1400 W: GB300, NVIDIA), where a GPU tells no limit."""
Source = Literal["energy counter", "instant power", "average power"]


class _Gpu:
    """One GPU with the best source that it answers. Raises MeterError where none does."""

    def __init__(self, nvml: Any, index: int, clock: Clock) -> None:
        self._nvml = nvml
        self._clock = clock
        self.check = CrossCheck()
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(self._handle)
        self.name = name.decode() if isinstance(name, bytes) else str(name)
        self.index = index
        self.source, self._read = self._best_source()
        self._power = self._other_power() if self.source == "energy counter" else None

    def read(self) -> float | None:
        """J or W by the source; None where this read failed, NaN while the counter and the power contradict each other."""
        try:
            value = self._read()
        except self._nvml.NVMLError:
            return None
        if self._power is not None:
            with suppress(self._nvml.NVMLError):
                self.check.see(self._clock.now_s(), value, self._power())
        return value if self.check.doubt is None else math.nan

    def _other_power(self) -> Callable[[], float] | None:
        for read in (self._instant_w, self._average_w):
            try:
                read()
            except (self._nvml.NVMLError, AttributeError):
                continue
            return read
        return None

    def _ceiling_w(self) -> float:
        try:
            _, most_mw = self._nvml.nvmlDeviceGetPowerManagementLimitConstraints(self._handle)
        except (self._nvml.NVMLError, AttributeError):
            try:
                most_mw = self._nvml.nvmlDeviceGetEnforcedPowerLimit(self._handle)
            except (self._nvml.NVMLError, AttributeError):
                return MAX_BOARD_W
        return OVER_LIMIT * w_from_mw(float(most_mw)) if most_mw else MAX_BOARD_W

    def channel(self) -> Channel:
        return Channel(
            name=f"gpu{self.index}",
            covers=f"GPU board {self.index} ({self.name}), {self.source}",
            kind="energy" if self.source == "energy counter" else "power",
            total=True,
            update_interval_s=UPDATE_S,
            resolution=1e-3,
            averaging_s=self._averaging_s(),
            ceiling_w=self._ceiling_w(),
            processors=("gpu",),
            gpu_index=self.index,
        )

    def _best_source(self) -> tuple[Source, Callable[[], float]]:
        choices: tuple[tuple[Source, Callable[[], float]], ...] = (
            ("energy counter", self._energy_j),
            ("instant power", self._instant_w),
            ("average power", self._average_w),
        )
        reasons = []
        for source, read in choices:
            try:
                read()
            except (self._nvml.NVMLError, AttributeError) as error:
                reasons.append(f"{source}: {error}")
                continue
            return source, read
        raise MeterError(f"NVML answers for no power ({'; '.join(reasons)})", where=self.name)

    def _energy_j(self) -> float:
        return j_from_mj(float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)))

    def _average_w(self) -> float:
        return w_from_mw(float(self._nvml.nvmlDeviceGetPowerUsage(self._handle)))

    def _instant_w(self) -> float:
        field = self._nvml.nvmlDeviceGetFieldValues(self._handle, [FIELD_POWER_INSTANT])[0]
        if field.nvmlReturn != 0:
            raise self._nvml.NVMLError(field.nvmlReturn)
        return w_from_mw(float(field.value.uiVal))

    def _averaging_s(self) -> float | None:
        if self.source == "energy counter":
            return None
        if self.source == "instant power" or any(name in self.name for name in GA100_NAMES):
            return 0.0
        try:
            architecture = int(self._nvml.nvmlDeviceGetArchitecture(self._handle))
        except (self._nvml.NVMLError, AttributeError):
            return None
        return POWER_AVERAGE_S if architecture >= ARCHITECTURE_AMPERE else 0.0


class NvmlMeter:
    """Every GPU that answers. `nvml` is a module with pynvml's functions."""

    name = NAME

    def __init__(self, nvml: Any, clock: Clock | None = None) -> None:
        self._nvml = nvml
        self._clock: Clock = clock if clock is not None else MonotonicClock()
        self._open = False
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            raise MeterError(f"NVML does not start: {error}", where=NAME) from None
        self._open = True
        self._gpus: list[_Gpu] = []
        self.refused: list[str] = []
        try:
            self._find_gpus()
        except nvml.NVMLError as error:
            self.close()
            raise MeterError(f"NVML lists no GPU: {error}", where=NAME) from None
        if not self._gpus:
            self.close()
            raise MeterError("; ".join(self.refused) or "NVML lists no GPU", where=NAME)

    def channels(self) -> Sequence[Channel]:
        return [gpu.channel() for gpu in self._gpus]

    def read(self) -> Sequence[float | None]:
        return [gpu.read() for gpu in self._gpus]

    def doubts(self) -> Mapping[str, str]:
        """GPUs whose counter and power contradict each other, and how."""
        return {f"{NAME}.gpu{gpu.index}": gpu.check.doubt for gpu in self._gpus if gpu.check.doubt is not None}

    @property
    def partly_sampled(self) -> bool:
        """Whether one of them looks at its power for a part of the time only."""
        return any(name in gpu.name for gpu in self._gpus for name in PARTLY_SAMPLED_NAMES)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._nvml.nvmlShutdown()

    def _find_gpus(self) -> None:
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                self._gpus.append(_Gpu(self._nvml, index, self._clock))
            except MeterError as error:
                self.refused.append(str(error))


def probe(host: Host) -> Probe:
    """Which GPUs answer, and by what; a Jetson's integrated GPU answers NotSupported and is absent here."""
    if host.nvml is None and not any(host.files.path(name).exists() for name in DRIVER_FILES):
        return Probe(meter=NAME, available=False, reason="no NVIDIA driver")
    if host.nvml is None:
        return Probe(
            meter=NAME,
            available=False,
            reason="the package nvidia-ml-py is not installed",
            fix="pip install 'wattscribe[nvml]'",
        )
    try:
        meter = NvmlMeter(host.nvml, host.clock)
    except MeterError as error:
        return Probe(meter=NAME, available=False, reason=_in_words(str(error)))
    try:
        channels = tuple(meter.channels())
    finally:
        meter.close()
    words = [channel.covers for channel in channels] + meter.refused
    if meter.partly_sampled:
        words.append(
            "this GPU measures only a part of the time (a quarter on A100 and H100): average over long windows"
        )
    return Probe(meter=NAME, available=True, reason="; ".join(words), channels=channels)


def _in_words(reason: str) -> str:
    if "Not Supported" in reason or "NotSupported" in reason:
        return f"{reason}. On a Jetson the rails of its INA3221 are the source"
    return reason


def open_meter(host: Host) -> NvmlMeter:
    """Raises MeterError where no GPU answers."""
    if host.nvml is None:
        raise MeterError("the package nvidia-ml-py is not installed", where=NAME)
    return NvmlMeter(host.nvml, host.clock)
