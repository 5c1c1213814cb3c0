"""`wattscribe compare BASE NEW`: accept or refuse a new run, for a CI pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import cyclopts

app = cyclopts.App(name="wattscribe compare", help="Accept or refuse a new run against a base run, for a CI pipeline.")

Switch = cyclopts.Parameter(negative=())


@app.default
def compare(
    base: Path,
    new: Path,
    /,
    *,
    metric: Literal["wer", "cer"] = "wer",
    max_wer_increase: str | None = None,
    max_cer_increase: str | None = None,
    max_energy_increase: str | None = None,
    max_rtf_increase: str | None = None,
    max_latency_increase: str | None = None,
    max_memory_increase: str | None = None,
    across_machines: Annotated[bool, Switch] = False,
    device: str | None = None,
    json: Annotated[bool, Switch] = False,
) -> int:
    """Exit 0 when the new run is shown to be within the limits, 1 with the reason when it is not.

    Parameters
    ----------
    base
        The run that is known to be good.
    new
        The run that would replace it, over the same utterances.
    metric
        Judge word or character errors; the other is left out.
    max_wer_increase
        In points: 0.2 lets 3.65 % become 3.85 %. Judged by the upper end of a one-sided 95 % interval. Unless given, 0.2; where
        no word differs at all, what was not seen must be below 1 point.
    max_cer_increase
        The same for character errors, with --metric cer.
    max_energy_increase
        In per cent of the base: 3%. Unless given, energy is reported and not judged. Needs repeats in the runs.
    max_rtf_increase
        The same for the real-time factor.
    max_latency_increase
        The same for the time per utterance that nine of ten stay below.
    max_memory_increase
        The same for the peak memory.
    across_machines
        Compare energy, time and memory of other machines, power modes, library versions or thread counts all the same.
    device
        Compare what transducers would take on this device: a profile's name or file (see wattscribe devices).
    json
        Print the comparison as JSON.
    """
    import wattscribe
    from wattscribe.errors import InputError
    from wattscribe.pages.compare_words import in_words
    from wattscribe.records import json_text, to_json
    from wattscribe.results.quantities import percent_of

    other = "cer" if metric == "wer" else "wer"
    if (max_cer_increase if metric == "wer" else max_wer_increase) is not None:
        raise InputError(f"--max-{other}-increase does nothing with --metric {metric}", fix=f"Add --metric {other}")

    def limit(text: str | None, flag: str) -> float | None:
        return None if text is None else percent_of(text, flag=flag)

    result = wattscribe.compare(
        base,
        new,
        metric=metric,
        max_wer_increase_points=limit(max_wer_increase, "--max-wer-increase"),
        max_cer_increase_points=limit(max_cer_increase, "--max-cer-increase"),
        max_energy_increase_percent=limit(max_energy_increase, "--max-energy-increase"),
        max_rtf_increase_percent=limit(max_rtf_increase, "--max-rtf-increase"),
        max_latency_increase_percent=limit(max_latency_increase, "--max-latency-increase"),
        max_memory_increase_percent=limit(max_memory_increase, "--max-memory-increase"),
        across_machines=across_machines,
        device=device,
    )
    print(json_text({"schema": 2, **to_json(result)}, indent=1) if json else in_words(result))
    return 0 if result.accepted else 1
