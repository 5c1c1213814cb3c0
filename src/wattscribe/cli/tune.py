"""`wattscribe tune SPACE.toml`: find the configuration of least energy that holds the limits, and prove it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import cyclopts

app = cyclopts.App(
    name="wattscribe tune", help="Find the configuration of least energy that holds your limits, and prove it."
)

Switch = cyclopts.Parameter(negative=())


@app.default
def tune(
    space: Path,
    /,
    *,
    out: Annotated[Path, cyclopts.Parameter(["--out", "-o"])],
    max_wer: str | None = None,
    max_latency_ms: float | None = None,
    max_memory: str | None = None,
    minimise: Literal["energy", "modelled_energy", "device_energy", "cpu_s", "rtf"] = "energy",
    device: str | None = None,
    budget: str = "25%",
    resume: Annotated[bool, Switch] = False,
    overwrite: Annotated[bool, Switch] = False,
    simulated_board: str | None = None,
    json: Annotated[bool, Switch] = False,
) -> int:
    """Race the configurations of a space over growing parts of its speech, and prove the best on speech that is kept for it.

    Exit status 0: a configuration holds the limits on the held-back speech. 1: none does. 2: the input is at fault. 130:
    interrupted; continue with --resume.

    Parameters
    ----------
    space
        A TOML file: an experiment whose [[models]] may list several values of a setting (docs/tune.md).
    out
        The directory of the tuning: each stage is a run in it; tuned.html, tuned.json and chosen.toml are its result.
    max_wer
        The word error rate that must hold, in per cent: 12 or 12%.
    max_latency_ms
        Milliseconds within which nine of ten answers must come.
    max_memory
        The peak memory that must hold: 500MB, 2GB or bytes.
    minimise
        energy needs a meter. What may stand for it: modelled_energy (processor time × watts per core), device_energy (counted
        work × the profile of --device), cpu_s (processor time), rtf (real-time factor).
    device
        With --minimise device_energy: a profile's name or file (see wattscribe devices).
    budget
        Share of the audio that trying every configuration would transcribe. Where it has no place for all, Optuna chooses.
    resume
        Go on with the tuning in --out.
    overwrite
        Replace the tuning in --out.
    simulated_board
        Measure nothing: the recognizers run, power is simulated (docs/simulated-board.md). An unknown name lists the boards.
    json
        Print the result as JSON.
    """
    import sys

    import wattscribe
    from wattscribe.records import json_text
    from wattscribe.results.quantities import bytes_of, percent_of
    from wattscribe.results.tuned import sentences, to_plain

    result = wattscribe.tune(
        space,
        out,
        max_wer_percent=None if max_wer is None else percent_of(max_wer, flag="--max-wer"),
        max_latency_ms=max_latency_ms,
        max_memory_bytes=None if max_memory is None else bytes_of(max_memory, flag="--max-memory"),
        minimise=minimise,
        device=device,
        budget_percent=percent_of(budget, flag="--budget"),
        resume=resume,
        overwrite=overwrite,
        simulated_board=simulated_board,
        say=lambda line: print(line, flush=True, file=sys.stderr if json else sys.stdout),
    )
    print(json_text(to_plain(result), indent=1) if json else "\n".join(sentences(result)))
    if not json:
        print(f"report: {out / 'tuned.html'}")
    return 0 if result.chosen is not None else 1
