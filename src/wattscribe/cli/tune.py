"""`wattscribe tune SPACE.toml`: find the configuration of least energy that holds the limits, and prove it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts

from wattscribe.cli.output import Json, Quiet, progress

app = cyclopts.App(
    name="wattscribe tune", help="Find the configuration of least energy that holds your limits, and prove it."
)

Switch = cyclopts.Parameter(negative=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What must hold; without one, the cheapest of all is chosen."""

    max_wer: str | None = None
    """The word error rate, in per cent: 12 or 12%."""
    max_latency_ms: float | None = None
    """Milliseconds within which nine of ten answers must come."""
    max_memory: str | None = None
    """The peak memory: 500MB, 2GB or bytes."""

    def numbers(self) -> dict[str, Any]:
        """Under the names of `wattscribe.tune`. Raises InputError for what is no limit."""
        from wattscribe.results.quantities import bytes_of, percent_of

        return {
            "max_wer_percent": None if self.max_wer is None else percent_of(self.max_wer, flag="--max-wer"),
            "max_latency_ms": self.max_latency_ms,
            "max_memory_bytes": None if self.max_memory is None else bytes_of(self.max_memory, flag="--max-memory"),
        }


@app.default
def tune(
    space: Path,
    /,
    *,
    out: Annotated[Path, cyclopts.Parameter(["--out", "-o"])],
    limits: Annotated[Limits, cyclopts.Parameter("*")] = Limits(),
    minimise: Literal["energy", "modelled_energy", "device_energy", "cpu_s", "rtf"] = "energy",
    device: str | None = None,
    budget: str = "25%",
    resume: Annotated[bool, Switch] = False,
    overwrite: Annotated[bool, Switch] = False,
    simulated_board: str | None = None,
    hosts: Path | None = None,
    scheduler: str | None = None,
    json_output: Json = False,
    quiet: Quiet = False,
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
    hosts
        On boards of one class, each of which hears a part of a stage's speech: a TOML file of [[boards]] (docs/fleet.md).
    scheduler
        The same on the workers of a Dask scheduler that runs already, tcp://HOST:PORT.
    """
    import wattscribe
    from wattscribe.results.quantities import percent_of

    result = wattscribe.tune(
        space, out, **limits.numbers(), minimise=minimise, device=device, budget_percent=percent_of(budget, flag="--budget"),
        resume=resume, overwrite=overwrite, simulated_board=simulated_board, hosts=hosts,
        scheduler=scheduler, say=progress(quiet=quiet, as_json=json_output),
    )  # fmt: skip
    _print(result, out, as_json=json_output, quiet=quiet)
    return 0 if result.chosen is not None else 1


def _print(result: Any, out: Path, *, as_json: bool, quiet: bool) -> None:
    from wattscribe.records import json_text
    from wattscribe.results.tuned import sentences, to_plain

    if as_json:
        print(json_text(to_plain(result), indent=1))
    else:
        print("\n".join([*sentences(result), *([] if quiet else [f"report: {out / 'tuned.html'}"])]))
