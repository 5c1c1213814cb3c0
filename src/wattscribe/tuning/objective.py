"""What is minimised: measured energy, or a stand-in that the user names and that is never called energy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from wattscribe.errors import InputError
from wattscribe.records import Interval, TrialFacts
from wattscribe.results.cost import (
    Energy,
    EnergyRule,
    busy_s,
    computed_s,
    cpu_energy_of,
    device_energy_of,
    energy_of,
    mean,
    within_and_between,
)

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device

Minimise = Literal["energy", "modelled_energy", "device_energy", "cpu_s", "rtf"]
NO_SENSOR = "no sensor could be read"
INSTEAD = (
    "Name what stands for it, and is then not called energy: `minimise` modelled_energy (processor time × watts per core), "
    "device_energy with `device` (counted work × a device profile), cpu_s or rtf; wattscribe meters says what a sensor lacks"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one pass over the speech of a stage took; None where nothing is known, with the reason."""

    total: float | None
    ci95: Interval | None
    per_utterance: Mapping[str, float]
    """By id, in any unit: how the total is spread."""
    kind: tuple[str, str]
    """Evidence, and what it covers: only costs of one kind are compared."""
    reason: str | None = None
    independent: bool = False
    """Whether `ci95` is of this measurement alone; that of a model's constants is the same for all, and cancels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """`title` in words, `unit` of what is said per second of audio."""

    name: Minimise
    title: str
    unit: str
    cost: Callable[[Sequence[TrialFacts], EnergyRule], Cost]


def objective(name: str, device: Device | None) -> Objective:
    """Raises InputError for a name that there is not, and where a device profile is lacking or has no use."""
    if name not in OBJECTIVES:
        raise InputError(f"`minimise` {name!r} is unknown", fix=f"One of: {', '.join(get_args(Minimise))}")
    chosen = OBJECTIVES[name]
    if (device is None) == (chosen.name == "device_energy"):
        fix = (
            "Name a profile (wattscribe devices)" if device is None else "Add `minimise` device_energy, or leave it out"
        )
        raise InputError("`minimise` device_energy and `device` belong together", fix=fix)
    return chosen


def _measured(done: Sequence[TrialFacts], rule: EnergyRule) -> Cost:
    energy = energy_of(done, rule)
    if done and done[0].trial.recognizer.device not in rule.channel_of_device:
        return Cost(total=None, ci95=None, per_utterance={}, kind=("unavailable", ""), reason=NO_SENSOR)
    spread = _spread(done, lambda trial: {u.id: u.cpu_s for u in trial.utterances if u.cpu_s})
    if energy.energy_j is None:
        return Cost(
            total=None, ci95=None, per_utterance=spread, kind=("unavailable", energy.covers), reason=energy.reason
        )
    return Cost(
        total=energy.energy_j,
        ci95=energy.ci95_j,
        per_utterance=spread,
        kind=energy.kind,
        reason=energy.reason,
        independent=True,
    )


def _modelled(energy: Energy | None) -> Cost:
    if energy is None or energy.energy_j is None:
        why = "no invocations were counted" if energy is None else energy.reason
        return Cost(total=None, ci95=None, per_utterance={}, kind=("unavailable", ""), reason=why)
    return Cost(total=energy.energy_j, ci95=energy.ci95_j, per_utterance=energy.per_utterance, kind=energy.kind)


def _cpu_s(done: Sequence[TrialFacts], _: EnergyRule) -> Cost:
    totals = [trial.cpu_s for trial in done if trial.cpu_s is not None]
    spread = _spread(done, lambda trial: {u.id: u.cpu_s for u in trial.utterances if u.cpu_s})
    on_gpu = any(trial.trial.recognizer.device != "cpu" for trial in done)
    return _plain(
        totals, spread, "processor seconds of the recognizer", "it does not compute on the CPU" if on_gpu else None
    )


def _rtf(done: Sequence[TrialFacts], _: EnergyRule) -> Cost:
    spread = _spread(done, lambda trial: {u.id: computed_s(u) for u in trial.utterances})
    return _plain([busy_s(trial) for trial in done], spread, "seconds in the recognizer", None)


def _plain(totals: Sequence[float], spread: Mapping[str, float], covers: str, refused: str | None) -> Cost:
    if refused or not totals:
        return Cost(
            total=None,
            ci95=None,
            per_utterance=spread,
            kind=("unavailable", covers),
            reason=refused or "it was not recorded",
        )
    interval = within_and_between(totals, [None] * len(totals))
    return Cost(total=mean(totals), ci95=interval, per_utterance=spread, kind=("measured", covers))


def _spread(done: Sequence[TrialFacts], of_trial: Callable[[TrialFacts], Mapping[str, float]]) -> Mapping[str, float]:
    """How a total is spread over utterances: by what the first pass recorded of each."""
    return of_trial(done[0]) if done else {}


OBJECTIVES: Mapping[str, Objective] = {
    each.name: each
    for each in (
        Objective(name="energy", title="energy", unit="J", cost=_measured),
        Objective(
            name="modelled_energy",
            title="modelled energy (processor time × watts per core)",
            unit="J",
            cost=lambda done, rule: _modelled(cpu_energy_of(done, rule)),
        ),
        Objective(
            name="device_energy",
            title="modelled energy on the device profile",
            unit="J",
            cost=lambda done, rule: _modelled(device_energy_of(done, rule)),
        ),
        Objective(name="cpu_s", title="processor time", unit="CPU s", cost=_cpu_s),
        Objective(name="rtf", title="real-time factor", unit="s", cost=_rtf),
    )
}
