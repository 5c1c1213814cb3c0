"""Targeted against uniform pruning with fine-tuning: the same size, the same steps of distillation, then the kept recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks import compress_reference as reference
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.dense.tune import prune_and_tune
from wattscribe.compression.recipe import read_recipe
from wattscribe.compression.run import Options, make_bench

CONFIGS = {name: Path(__file__).parent / "tune" / f"{name}.toml" for name in ("targeted", "uniform")}
CHECKPOINT = Path.home() / ".cache" / "wattscribe" / "reference-voices"
"""What the shipped model was exported from: `wattscribe train recipes/voices.toml`. It is not shipped."""


def tuned(checkpoint: Path, dev: str, cache: Path, say: Callable[[str], None] = print) -> dict[str, Candidate]:
    """Both pruned, fine-tuned, in 8 bits with the lossless levers (1280 ms); and uniform without those, frame by frame."""
    steps = read_recipe(reference.RECIPES[1280]).steps
    stored = tuple(step for step in steps if step.lever in ("int8", "lookup-int8"))
    candidates: dict[str, Candidate] = {}
    for name, config in CONFIGS.items():
        _, pruned = prune_and_tune(checkpoint, config, cache=cache, say=say)
        bench = make_bench(
            pruned, Options(data=(dev,), cache=cache, max_wer_increase_points=100 * reference.LIMIT), say
        )
        candidates[f"{name}, fine-tuned, 1280 ms"] = bench.build(steps)
        if name == "uniform":
            plain = bench.build(stored)
            candidates["uniform, fine-tuned, no lever"] = replace(
                plain, placement="component", decoding="frame-by-frame"
            )
    return candidates


__all__ = ["CHECKPOINT", "CONFIGS", "tuned"]
