"""The component study as one command: what of a model costs power, what of it word errors, and what follows for compression.

    python -m benchmarks.components --part predicted      # from the energy model alone; needs no trained model
    python -m benchmarks.components --model FOLDER        # all parts, on the testbed of recipes/components.toml

Parts: predicted (written down before a model is trained), laws (five sizes each of encoder, predictor and joiner: WER on 360
held-out utterances, the exponential law with intervals, power from counted calls, the order they imply), compare (targeted
against uniform and global pruning at equal WER, fine-tuned alike, three seeds, {frame by frame, batched} × {greedy, beam 4}),
speed (RTF of the first seed's models, all in turn; leave the machine alone).
Pruning and fine-tuning is `compression.dense`, all in 8 bits. What was tuned and decoded is kept: a run that is stopped goes on.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _components_compare as compare
from benchmarks import _components_predicted as predicted
from benchmarks import _components_speed as timing
from benchmarks import compress_reference as reference
from benchmarks._components_models import RATE, Making
from benchmarks._components_predicted import WAYS
from wattscribe.compression.speech import SpeechSet
from wattscribe.energy.files import of_directory
from wattscribe.energy.options import Decoding
from wattscribe.errors import InputError, WattscribeError
from wattscribe.models import REFERENCE

HERE = Path(__file__).parent
RESULTS = HERE / "results"
RECIPE = HERE.parent / "recipes" / "components.toml"
CACHE = Path.home() / ".cache" / "wattscribe"
UTTERANCES = 360
"""A third of each held-out set: training voices, flite's rms, six espeak-ng variants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Where everything is."""

    model: Path
    cache: Path
    out: Path
    shared: Path
    segments: int = 1
    jobs: int = 1
    seeds: int = 3
    ways: tuple[tuple[Decoding, int], ...] = WAYS


def on_predicted(run: Run) -> list[str]:
    """The band of the testbed and of the shipped model, the negative control."""
    testbed = predicted.testbed(RECIPE, run.cache / "components-random")
    models = {
        "Testbed (recipes/components.toml)": testbed,
        "Testbed, two segments a call": predicted.longer_calls(testbed, 2),
        "Testbed, four segments a call": predicted.longer_calls(testbed, 4),
        "Control: the shipped model": of_directory(REFERENCE, precision="int8"),
    }
    return [
        line
        for title, workload in models.items()
        for line in predicted.lines(title, workload, list(predicted.bands(workload)))
    ]


def on_laws(run: Run) -> list[str]:
    """WER against the size of each component, power from counted calls, and the order that follows."""
    return _on_trained(run, compare.laws)


def on_compare(run: Run) -> list[str]:
    """Targeted, uniform and global pruning, fine-tuned alike, at equal WER; all in 8 bits, segments and levers the same."""
    return _on_trained(run, compare.compare)


def on_speed(run: Run) -> list[str]:
    """Processor time of targeted, uniform and global pruning at equal WER, all models in turn."""
    return _on_trained(run, timing.speed)


def _on_trained(run: Run, part: Callable[[Making, SpeechSet], list[str]]) -> list[str]:
    """Raises InputError where the testbed has not been trained."""
    if not (run.model / "model" / "model.safetensors").is_file():
        raise InputError("the testbed has not been trained", where=run.model,
                         fix=f"wattscribe train recipes/components.toml --out {run.model}, or --part predicted")  # fmt: skip
    dev, tests = reference.speech_sets(CACHE / "bench-compress" / "speech", run.shared / "text")
    speech = reference.whole(tests, UTTERANCES // len(tests))
    making = Making(
        checkpoint=run.model,
        recipe=RECIPE,
        dev=dev,
        cache=run.cache,
        segments=run.segments,
        jobs=run.jobs,
        seeds=run.seeds,
        ways=run.ways,
    )
    words = sum(len(each.split()) for each in speech.references)
    tuned = f"Fine-tuned for {making.steps} steps at a rate of {RATE:g}."
    return [
        f"{len(speech)} utterances of {len(tests)} held-out sets, {words} words. {tuned}",
        "",
        *part(making, speech),
    ]


PARTS: dict[str, Callable[[Run], list[str]]] = {
    "predicted": on_predicted,
    "laws": on_laws,
    "compare": on_compare,
    "speed": on_speed,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, print, write `components-PART.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.components", description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="only this part; may be repeated")
    parser.add_argument("--model", type=Path, default=CACHE / "components", help="what the recipe was trained into")
    parser.add_argument("--shared", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=CACHE / "bench-components")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--segments", type=int, default=1, choices=(1, 2, 4), help="that a call of the encoder takes")
    parser.add_argument("--jobs", type=int, default=1, help="models made and decoded at a time, each on one thread")
    parser.add_argument("--seeds", type=int, default=3, help="of compare")
    names = {f"{decoding}-{beam}": (decoding, beam) for decoding, beam in WAYS}
    parser.add_argument(
        "--way", action="append", choices=sorted(names), help="of compare: this decoding and beam alone"
    )
    chosen = parser.parse_args(arguments)
    run = Run(model=chosen.model, cache=chosen.cache, out=chosen.out, shared=chosen.shared, segments=chosen.segments,
              jobs=chosen.jobs, seeds=chosen.seeds, ways=tuple(names[each] for each in chosen.way or names))  # fmt: skip
    for name in chosen.part or PARTS:
        try:
            lines = PARTS[name](run)
        except WattscribeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        print("\n".join(lines), flush=True)
        write(run, name, (PARTS[name].__doc__ or "").splitlines()[0], lines)
    return 0


def write(run: Run, part: str, title: str, lines: Sequence[str]) -> None:
    """A file a part (and length of call), with the command and the day."""
    run.out.mkdir(parents=True, exist_ok=True)
    joined = run.segments > 1 and part != "predicted"
    options = [f"--segments {run.segments}"] if joined else []
    if part == "compare":
        options.append(f"--seeds {run.seeds}")
    if part in ("compare", "speed"):
        options += [f"--way {each}-{beam}" for each, beam in run.ways if run.ways != WAYS]
    command = f"`python -m benchmarks.components {' '.join([f'--part {part}', *options])}`"
    name = f"components-{part}{f'-{run.segments}' if joined else ''}.md"
    head = [
        f"# Components: {part}",
        "",
        f"{title} {command}, {datetime.date.today().isoformat()}, {platform.machine()}.",
        "",
    ]
    (run.out / name).write_text("\n".join([*head, *lines]).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
