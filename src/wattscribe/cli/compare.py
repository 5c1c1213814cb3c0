"""`wattscribe compare BASE NEW`: accept or refuse a new run, for a CI pipeline."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import cyclopts

from wattscribe.cli.output import Json, Quiet, document

app = cyclopts.App(name="wattscribe compare", help="Accept or refuse a new run against a base run, for a CI pipeline.")

Switch = cyclopts.Parameter(negative=())
SCHEMA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may rise: each as `0.2` or `0.2%`, under the name that `wattscribe.compare` has for the number."""

    max_wer_increase_points: str | None = None
    """In points: 0.2 lets 3.65 % become 3.85 %. Judged by the upper end of a one-sided 95 % interval. Unless given, 0.2; where
    no word differs at all, what was not seen must be below 1 point."""
    max_cer_increase_points: str | None = None
    """The same for character errors, with --metric cer."""
    max_energy_increase_percent: str | None = None
    """In per cent of the base: 3%. Unless given, energy is reported and not judged. Needs repeats in the runs."""
    max_rtf_increase_percent: str | None = None
    """The same for the real-time factor."""
    max_latency_increase_percent: str | None = None
    """The same for the time per utterance that nine of ten stay below."""
    max_memory_increase_percent: str | None = None
    """The same for the peak memory."""

    def numbers(self) -> dict[str, float | None]:
        """Raises InputError for what is no percentage."""
        from wattscribe.cli.flags import flag_name
        from wattscribe.results.quantities import percent_of

        given = {limit.name: getattr(self, limit.name) for limit in fields(self)}
        return {
            name: None if text is None else percent_of(text, flag=f"--{flag_name(name)}")
            for name, text in given.items()
        }


@app.default
def compare(
    base: Path,
    new: Path,
    /,
    *,
    metric: Literal["wer", "cer"] = "wer",
    limits: Annotated[Limits, cyclopts.Parameter("*")] = Limits(),
    across_machines: Annotated[bool, Switch] = False,
    device: str | None = None,
    format: Literal["text", "md"] = "text",
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Exit 0 when the new run is shown to be within the limits, 1 with the reason when it is not.

    Parameters
    ----------
    base
        The run that is known to be good, or the folder of a fleet's run: each board is compared with itself.
    new
        The run that would replace it, over the same utterances.
    metric
        Judge word or character errors; the other is left out.
    across_machines
        Compare energy, time and memory of other machines, power modes, library versions or thread counts nevertheless.
    device
        Compare what transducers would take on this device: a profile's name or file (see wattscribe devices).
    format
        md: Markdown, as a comment of a pull request or a job's summary shows it.
    """
    import wattscribe
    from wattscribe.cli.flags import spelled
    from wattscribe.pages.compare_words import in_markdown, in_words

    result = wattscribe.compare(
        base, new, metric=metric, **limits.numbers(), across_machines=across_machines, device=device
    )
    words = in_markdown if format == "md" else in_words
    shown = document(SCHEMA, result) if json_output else words(result, notes=not quiet)
    print(spelled(shown, "compare"))
    return 0 if result.accepted else 1
