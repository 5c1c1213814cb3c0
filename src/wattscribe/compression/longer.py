"""The same model with longer calls: what more is saved where the listener may wait. Only on request, and beside the result that
keeps the latency of the model as given, never in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wattscribe.compression.options import Options
from wattscribe.compression.recipe import Done, Recipe
from wattscribe.compression.replay import carry_out
from wattscribe.compression.strategies import Outcome
from wattscribe.compression.workbench import Workbench, joined
from wattscribe.errors import InputError

LEVER = "segments"
_FIRST = ("place", "batched-joiner")
"""Steps of decoding, which come before those of the graphs."""


def allowed(bench: Workbench, options: Options) -> int:
    """Segments of the encoder that a call may take; 1: as the model was given. InputError for a limit that it breaks itself."""
    segment_s = bench.measurer.workload(bench.original).segment_s
    if options.max_latency_ms is None or segment_s is None:
        return 1
    if 1000 * segment_s > options.max_latency_ms * (1 + 1e-9):
        raise InputError(
            f"the graph fixes segments of {1000 * segment_s:g} ms, more than `max_latency_ms` {options.max_latency_ms:g}",
            fix="Export it with a shorter segment, or allow more",
        )
    return int(options.max_latency_ms / (1000 * segment_s) * (1 + 1e-9))


def shorter(recipe: Recipe, count: int, path: Path) -> Recipe:
    """The recipe without its longer calls. Raises InputError where it asks for more than `count` segments a call: nobody's
    latency is raised by a file."""
    asked = max((int(entry.step.options.get("count", 2)) for entry in recipe.done if _lengthens(entry)), default=1)
    if asked > count:
        raise InputError(
            f"its step `segments` makes calls of {asked} segments, later than the model as it is", where=path,
            fix="Allow it with `max_latency_ms`, or take the step out",
        )  # fmt: skip
    return replace(recipe, done=tuple(entry for entry in recipe.done if not _lengthens(entry)))


def _lengthens(entry: Done) -> bool:
    return entry.step.lever == LEVER and entry.kept


def lengthened(bench: Workbench, outcome: Outcome, count: int, recipe: Recipe | None, path: Path | None) -> Outcome:
    """The kept steps once more with `count` segments a call (or with a recipe's own), each measured and proven anew."""
    if recipe is not None and path is not None and any(map(_lengthens, recipe.done)):
        return carry_out(bench, recipe, path)
    steps = list(outcome.steps)
    place = sum(1 for step in steps if step.lever in _FIRST)
    steps.insert(place, joined(count))
    done = tuple(Done(step=step, kept=True, reason="of the result at its own latency") for step in steps)
    whole = Recipe(
        model="",
        device=bench.measurer.device.name,
        strategy=outcome.strategy,
        seed=bench.seed,
        calibration={},
        done=done,
    )
    longer = carry_out(bench, whole, Path("recipe.toml"))
    return replace(longer, strategy=f"{outcome.strategy}, longer calls")


def beside(out: Path, call_s: float) -> Path:
    """Where the result with longer calls is written."""
    return out.with_name(f"{out.name}-{1000 * call_s:.0f}ms")


__all__ = ["allowed", "beside", "lengthened", "shorter"]
