"""The component study as one command: what of a model costs power, what of it word errors, and what follows for compression.

    python -m benchmarks.components --part predicted          # the band, from the energy model alone; needs no trained model
    python -m benchmarks.components --model FOLDER            # laws and comparison on the trained testbed (recipes/components.toml)

Parts: predicted (written down before a model is trained), laws (five sizes each of encoder, predictor and joiner: WER on 400
held-out utterances, the exponential law with intervals, power from counted calls, the order they imply), compare (targeted
against uniform and global pruning at equal WER, fine-tuned alike, three seeds, {frame by frame, batched} × {greedy, beam 4}).
Pruning and fine-tuning is `compression.dense`, all in 8 bits. What was tuned and decoded is kept: a run that is stopped goes on.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _components_predicted as predicted
from wattscribe.energy.workload import of_directory
from wattscribe.models import REFERENCE

HERE = Path(__file__).parent
RESULTS = HERE / "results"
RECIPE = HERE.parent / "recipes" / "components.toml"
CACHE = Path.home() / ".cache" / "wattscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Where everything is."""

    model: Path
    cache: Path
    out: Path
    shared: Path


def on_predicted(run: Run) -> list[str]:
    """The band of the testbed and of the shipped model, the negative control."""
    models = {
        "Testbed (recipes/components.toml)": predicted.testbed(RECIPE, run.cache / "components-random"),
        "Control: the shipped model": of_directory(REFERENCE, precision="int8"),
    }
    said = []
    for title, workload in models.items():
        said += predicted.lines(title, workload, list(predicted.bands(workload)))
    return said


PARTS: dict[str, Callable[[Run], list[str]]] = {"predicted": on_predicted}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, print, write `components-PART.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.components", description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="only this part; may be repeated")
    parser.add_argument("--model", type=Path, default=CACHE / "components", help="what the recipe was trained into")
    parser.add_argument("--shared", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=CACHE / "bench-components")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    run = Run(model=chosen.model, cache=chosen.cache, out=chosen.out, shared=chosen.shared)
    for name in chosen.part or PARTS:
        lines = PARTS[name](run)
        print("\n".join(lines), flush=True)
        write(run.out, name, (PARTS[name].__doc__ or "").splitlines()[0], lines)
    return 0


def write(out: Path, part: str, title: str, lines: Sequence[str]) -> None:
    """A file a part, with the command and the day."""
    out.mkdir(parents=True, exist_ok=True)
    command = f"`python -m benchmarks.components --part {part}`"
    head = [f"# Components: {part}", "", f"{title} {command}, {datetime.date.today().isoformat()}, {platform.machine()}.", ""]
    (out / f"components-{part}.md").write_text("\n".join([*head, *lines]).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
