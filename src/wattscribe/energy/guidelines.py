"""The design guidelines of the study, as sentences with this model's own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wattscribe.energy.accuracy import AccuracyLaw
from wattscribe.energy.breakdown import Breakdown, ComponentPower
from wattscribe.energy.sensitivity import MB, PowerSensitivity, Step

WORTH_SAYING = 0.2
"""For a component that would have to lose more than four fifths to fit, that advice is left out."""
LEAST_JUMP = 0.005
"""Nor one whose move would save less than this part of the power."""

ALIKE = 0.1
"""Steps on one component are reported as one where their worth differs by no more than this part."""


def sentences(
    breakdown: Breakdown,
    sensitivities: Mapping[str, PowerSensitivity],
    steps: Sequence[Step],
    laws: Mapping[str, AccuracyLaw] | None = None,
) -> list[str]:
    """What the figures say, the most significant first. Nothing is claimed that the figures do not hold."""
    advice = [
        *_disproportion(breakdown),
        *_fitting(breakdown, sensitivities),
        *_steps(steps, laws),
        *_rates(breakdown),
        *_law(laws),
    ]
    if breakdown.busy > 1:
        advice.append(
            f"The device is busy {breakdown.busy:.2f} s for each second of audio: it cannot keep up in real time."
        )
    return advice


def _share(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def _disproportion(breakdown: Breakdown) -> list[str]:
    total_w, size = breakdown.total_w.value, breakdown.workload.size_bytes

    def lift(component: ComponentPower) -> float:
        return _share(component.total_w.value, total_w) / max(_share(component.size_bytes, size), 1e-9)

    top = max(breakdown.components, key=lift)
    if len(breakdown.components) < 2 or lift(top) < 1.2:
        return []
    return [
        f"The {top.name} is {_share(top.size_bytes, size):.0f} % of the size and "
        f"{_share(top.total_w.value, total_w):.0f} % of the power ({lift(top):.1f} ×), because its weights are read "
        f"{top.calls_per_s:.1f} times per second of audio."
    ]


def _fitting(breakdown: Breakdown, sensitivities: Mapping[str, PowerSensitivity]) -> list[str]:
    advice = []
    least_mw = 1e3 * LEAST_JUMP * breakdown.total_w.value
    for sensitivity in sensitivities.values():
        fits_at = sensitivity.fits_at_bytes or 0
        if (
            sensitivity.jump_mw is not None
            and sensitivity.jump_mw > least_mw
            and fits_at >= WORTH_SAYING * sensitivity.size_bytes
        ):
            advice.append(
                f"The {sensitivity.component} comes to fit local memory at {fits_at / MB:.2f} MB "
                f"(now {sensitivity.size_bytes / MB:.2f} MB); that move alone saves {sensitivity.jump_mw:.3g} mW."
            )
        elif sensitivity.is_local:
            advice.append(
                f"The {sensitivity.component} is in local memory already; "
                f"each megabyte less of it saves {sensitivity.mw_per_mb:.3g} mW."
            )
    return advice


def _steps(steps: Sequence[Step], laws: Mapping[str, AccuracyLaw] | None) -> list[str]:
    if not steps:
        return []
    unit = "mW per MB" if laws is None else "mW per point of WER"
    runs: list[list[Step]] = []
    for step in steps:
        if runs and _alike(runs[-1][-1], step):
            runs[-1].append(step)
        else:
            runs.append([step])
    path = ", then ".join(
        f"the {run[0].component} from {run[0].from_bytes / MB:.2f} to {run[-1].to_bytes / MB:.2f} MB, which saves "
        f"{sum(step.saved_mw for step in run):.3g} mW"
        for run in runs[:5]
    )
    basis = (
        "" if laws is not None else " Accuracy is not known here: measure WER at four sizes of a component to weigh it."
    )
    return [f"Compress first {path}; at the start that is {steps[0].ratio:.3g} {unit}.{basis}"]


def _alike(one: Step, other: Step) -> bool:
    """Whether two steps are one piece of advice: the same component at about the same worth."""
    return one.component == other.component and abs(one.ratio - other.ratio) <= ALIKE * abs(one.ratio)


def _rates(breakdown: Breakdown) -> list[str]:
    joiner = next((component for component in breakdown.components if component.name == "joiner"), None)
    rates = breakdown.rates
    if joiner is None or rates.decoding != "frame-by-frame" or not rates.frames_per_s:
        return []
    encoder = breakdown.component("encoder")
    batched = encoder.calls_per_s + (rates.tokens_per_s or 0.0)
    if batched >= joiner.calls_per_s:
        return []
    saved = 1e3 * sum(read_w.value for read_w in joiner.weight_reads_w.values()) * (1 - batched / joiner.calls_per_s)
    return [
        f"Decoding all frames of a segment in one joiner call would read its weights about {batched:.1f} times per second "
        f"instead of {joiner.calls_per_s:.1f} and save about {saved:.3g} mW of weight reads."
    ]


def _law(laws: Mapping[str, AccuracyLaw] | None) -> list[str]:
    return [
        f"WER follows the {name}'s size as exp({law.a_per_mb:.3g}·MB + {law.b:.3g}) + {law.c:.3g} "
        f"(R² {law.r2:.2f}, {law.points} points)."
        for name, law in (laws or {}).items()
    ]
