"""`wattscribe compare BASE NEW`: accept or refuse a new run, for a CI pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts

app = cyclopts.App(name="wattscribe compare", help="Accept or refuse a new run against a base run, for a CI pipeline.")


@app.default
def compare(
    base: Path,
    new: Path,
    /,
    *,
    max_wer_increase: str = "0.2",
    max_energy_increase: str | None = None,
    device: str | None = None,
    json: Annotated[bool, cyclopts.Parameter(negative=())] = False,
) -> int:
    """Exit 0 when the new run is shown to be within the limits, 1 with the reason when it is not.

    Parameters
    ----------
    base
        The run that is known to be good.
    new
        The run that would replace it, over the same utterances.
    max_wer_increase
        In points of WER: 0.2 lets 3.65 % become 3.85 %. Judged by the upper end of a one-sided 95 % interval.
    max_energy_increase
        In per cent of the base energy: 3%. Unless given, 3% holds where both runs have an energy figure.
    device
        Compare what transducers would take on this device: a profile's name or file (see wattscribe devices).
    json
        Print the comparison as JSON.
    """
    import json as encoder

    from wattscribe.journal import read_run
    from wattscribe.records import to_json
    from wattscribe.report.compare import compare as compare_runs
    from wattscribe.report.compare import in_words
    from wattscribe.report.formats import finite
    from wattscribe.report.quantities import fraction_of_percent

    energy = max_energy_increase
    profile = None
    if device is not None:
        from wattscribe.energy import devices

        profile = devices.load(device)
    result = compare_runs(
        read_run(base),
        read_run(new),
        max_wer_increase=fraction_of_percent(max_wer_increase, flag="--max-wer-increase"),
        max_energy_increase=None if energy is None else fraction_of_percent(energy, flag="--max-energy-increase"),
        device=profile,
    )
    print(encoder.dumps({"schema": 1, **finite(to_json(result))}, indent=1) if json else in_words(result))
    return 0 if result.accepted else 1
