"""The columns of schema 1 about energy: of the run's machine, of its CPU, of a device profile, and for planning."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wattscribe.errors import InputError
from wattscribe.records import Interval, TrialFacts
from wattscribe.results.cost import Energy, mean
from wattscribe.results.row import CpuEnergy, DeviceEnergy, MachineEnergy, Planning, RailEnergy
from wattscribe.units import J_PER_WH

WH_PER_KWH = 1000.0


def check_grid(gco2_per_kwh: float | None) -> None:
    """Raises InputError for an intensity of the grid that is none; None: nothing is said about CO2."""
    if gco2_per_kwh is not None and not (math.isfinite(gco2_per_kwh) and gco2_per_kwh >= 0):
        raise InputError(
            f"a grid cannot emit {gco2_per_kwh:g} g of CO2 per kWh",
            fix="Give 0 or more, for instance `grid_gco2_per_kwh` 400",
        )


def per_audio_s(energy: Energy, done: Sequence[TrialFacts]) -> tuple[float | None, Interval | None]:
    """Joules per second of audio with their interval."""
    audio_s = mean([sum(result.audio_s for result in trial.utterances) for trial in done])
    per_second = energy.energy_j / audio_s if energy.energy_j is not None and audio_s else None
    interval = (energy.ci95_j[0] / audio_s, energy.ci95_j[1] / audio_s) if energy.ci95_j and audio_s else None
    return per_second, interval


def planning_columns(energy: Energy, done: Sequence[TrialFacts], grid_gco2_per_kwh: float | None) -> Planning:
    """For who plans a fleet or a year: Wh of the pass and of an hour of audio, and grams of CO2 at the grid's intensity.

    An hour of audio has 3600 s and a Wh 3600 J, so that joules per second of audio are Wh per hour of audio.
    """
    per_hour, interval = per_audio_s(energy, done)
    wh = None if energy.energy_j is None else energy.energy_j / J_PER_WH

    def grams(value_wh: float | None) -> float | None:
        return None if grid_gco2_per_kwh is None or value_wh is None else value_wh * grid_gco2_per_kwh / WH_PER_KWH

    low, high = (grams(bound_wh) for bound_wh in interval or (None, None))
    return Planning(
        energy_wh=wh,
        wh_per_audio_h=per_hour,
        wh_per_audio_h_ci95=interval,
        grid_gco2_per_kwh=grid_gco2_per_kwh,
        energy_gco2=grams(wh),
        gco2_per_audio_h=grams(per_hour),
        gco2_per_audio_h_ci95=None if low is None or high is None else (low, high),
    )


def cpu_columns(energy: Energy, done: Sequence[TrialFacts]) -> CpuEnergy:
    """CPU seconds × watts per core: one figure that compares over all rows."""
    per_second, interval = per_audio_s(energy, done)
    return CpuEnergy(
        cpu_s=mean([trial.cpu_s for trial in done]),
        cpu_energy_j=energy.energy_j,
        cpu_energy_ci95_j=energy.ci95_j,
        cpu_energy_covers=energy.covers or None,
        cpu_energy_reason=energy.reason,
        cpu_j_per_audio_s=per_second,
        cpu_j_per_audio_s_ci95=interval,
    )


def device_columns(energy: Energy | None, done: Sequence[TrialFacts], profile: str) -> DeviceEnergy:
    """Counted invocations × a device profile: another machine than the run's, so in columns of its own."""
    per_second, interval = (None, None) if energy is None else per_audio_s(energy, done)
    return DeviceEnergy(
        device_profile=None if energy is None else profile,
        device_energy_j=energy.energy_j if energy else None,
        device_energy_ci95_j=energy.ci95_j if energy else None,
        device_energy_evidence=energy.evidence if energy else None,
        device_energy_covers=energy.covers or None if energy else None,
        device_energy_reason=energy.reason if energy else None,
        device_j_per_audio_s=per_second,
        device_j_per_audio_s_ci95=interval,
    )


def energy_columns(energy: Energy, done: Sequence[TrialFacts]) -> MachineEnergy:
    """What the run's own machine took."""
    per_second, interval = per_audio_s(energy, done)
    return MachineEnergy(
        energy_j=energy.energy_j,
        energy_ci95_j=energy.ci95_j,
        energy_idle_j=energy.idle_j,
        energy_net_j=energy.net_j,
        energy_net_ci95_j=energy.net_ci95_j,
        energy_evidence=energy.evidence,
        energy_covers=energy.covers or None,
        energy_reason=energy.reason,
        j_per_audio_s=per_second,
        j_per_audio_s_ci95=interval,
        mean_power_w=energy.mean_power_w,
        rails=tuple(
            RailEnergy(
                covers=rail.covers,
                energy_j=rail.energy_j,
                energy_ci95_j=rail.ci95_j,
                energy_idle_j=rail.idle_j,
                energy_net_j=rail.net_j,
                energy_net_ci95_j=rail.net_ci95_j,
                energy_evidence=rail.evidence,
                energy_reason=rail.reason,
            )
            for rail in energy.rails
        ),
    )
