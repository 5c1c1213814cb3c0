"""A stand-in for zeus_apple_silicon: an SoC whose counters a test sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class FakeCounters:
    """As AppleEnergyMetrics: mJ, None where the chip has no such counter; lists of cores lie inside `cpu_total_mj`."""

    cpu_total_mj: int | None = 120_000
    efficiency_cores_mj: list[int] | None = None
    performance_cores_mj: list[int] | None = None
    gpu_mj: int | None = 50_000
    gpu_sram_mj: int | None = 400
    dram_mj: int | None = 30_000
    ane_mj: int | None = 0


class FakeApple:
    """The module: its class gives `counters`, or raises `error` as the compiled one does."""

    def __init__(self, counters: FakeCounters | None = None, error: str | None = None) -> None:
        self.counters = counters or FakeCounters(efficiency_cores_mj=[10_000] * 4, performance_cores_mj=[20_000] * 4)
        self.error = error

    def AppleEnergyMonitor(self) -> FakeApple:
        if self.error is not None:
            raise RuntimeError(self.error)
        return self

    def get_cumulative_energy(self) -> FakeCounters:
        if self.error is not None:
            raise RuntimeError(self.error)
        return self.counters
