"""SHA-256 of every graph that is written here: what a change of `graph/` must not change by a bit.

`PYTHONHASHSEED=0 python -m benchmarks.graph_digests OUT.txt [--models DIR]` before and after, and `diff` of both: empty. Prepared
graphs are those that onnxruntime is given, and those that it saves as ONNX; networks those after each step of shipped recipes and
of each lever by itself. Digests hold for one machine and one version of onnxruntime alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime

from wattscribe.compression import levers
from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import COMPONENTS, Candidate, read_candidate
from wattscribe.compression.lift import lifted
from wattscribe.compression.recipe import read_recipe
from wattscribe.compression.speech import read_speech
from wattscribe.compression.step import Step
from wattscribe.errors import InputError, ModelError
from wattscribe.graph.unroll import CannotUnroll
from wattscribe.models import REFERENCE
from wattscribe.streaming import ahead, opening
from wattscribe.streaming.encoder import Encoder
from wattscribe.streaming.files import find_files

RESULTS = Path(__file__).parent / "results"
ALONE = (
    Step(lever="segments", component="encoder", options={"count": 2}),
    Step(lever="segments", component="encoder", options={"count": 3, "unroll": True}),
    Step(lever="short-softplus", component="encoder"),
    Step(lever="depthwise", component="encoder"),
    *(Step(lever=lever, component="encoder") for lever in ("share-equal", "narrow-indices", "fold", "fp16")),
    Step(lever="int8", component="encoder", options={"rounding": "nearest"}),
    Step(lever="blockwise", component="joiner", options={"bits": 8, "rounding": "nearest"}),
    Step(lever="int8-conv", component="encoder", options={"method": "minmax", "feeds": 4}),
    Step(lever="lookup-int8", component="predictor"),
    Step(lever="low-rank", component="joiner"),
    Step(lever="prune-width", component="encoder"),
    Step(lever="prune-width", component="joiner"),
    Step(lever="sparse", component="encoder"),
)
"""Each on the original by itself."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="one line a digest, written as they come")
    parser.add_argument("--models", type=Path, help="a folder of streaming transducers, the zipformer among them")
    parser.add_argument("--only", choices=("prepared", "levers", "recipes"), help="a part of them")
    asked = parser.parse_args()
    directories = sorted(path for path in asked.models.iterdir() if path.is_dir()) if asked.models else []
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as cache, asked.out.open("w", encoding="utf-8") as file:
        os.environ["XDG_CACHE_HOME"] = cache
        for name, digest in _all((REFERENCE, *directories), asked.only):
            print(digest, name, file=file, flush=True)


def _all(directories: Sequence[Path], only: str | None) -> Iterator[tuple[str, str]]:
    for directory in directories if only in (None, "prepared") else ():
        for precision in ("fp16", "int8"):
            yield from prepared(directory, precision)
    for directory in directories if only != "prepared" else ():
        yield from networks(directory, only)


def prepared(directory: Path, precision: str | None) -> Iterator[tuple[str, str]]:
    """Encoder for one stream and for any, for files; predictor and joiner for one row and for many."""
    encoder, *rows = (path for _, path in find_files(directory, precision).components)
    name = f"{directory.name}/{precision or 'stored'}"
    for alone in (True, False):
        with watched() as seen:
            net, apart = opening.open_encoder(encoder, threads=1, rewriting=True, alone=alone)
        yield from _numbered(f"{name}/encoder of {'one' if alone else 'any'}", seen)
        with watched() as seen:
            try:
                ahead.make(Encoder(net, encoder, streams_apart=apart), 1)
            except (CannotUnroll, ModelError) as error:
                seen.append(f"refused: {error}")
        yield from _numbered(f"{name}/encoder of {'one' if alone else 'any'}, several segments", seen)
    for path in rows:
        for many in (True, False):
            with watched() as seen:
                opening.open_rows(path, threads=1, many=many)
            yield from _numbered(f"{name}/{path.name} {'of rows' if many else 'of one row'}", seen)


def networks(directory: Path, only: str | None) -> Iterator[tuple[str, str]]:
    """Of each recipe, after each step; of each lever by itself."""
    original = read_candidate(directory)
    yield from _digests(f"{directory.name}/original", original)
    start = lifted(original)
    yield from _digests(f"{directory.name}/in float32", start)
    calibration = Calibration(start, read_speech(["bundled"], limit=3))
    for step in ALONE if only != "recipes" else ():
        yield from _steps(f"{directory.name}/alone", start, [step], calibration)
    for path in sorted(RESULTS.glob("*.recipe.toml")) if only != "levers" else ():
        recipe = read_recipe(path)
        if recipe.model == directory.name:
            yield from _steps(f"{directory.name}/{path.name}", start, recipe.steps, calibration)


def _steps(name: str, start: Candidate, steps: Sequence[Step], calibration: Calibration) -> Iterator[tuple[str, str]]:
    candidate = start
    for number, step in enumerate(steps):
        try:
            candidate = levers.apply(candidate, step, calibration)
        except InputError as error:
            yield f"{name}/{number} {step}", f"refused: {error}"
            continue
        yield from _digests(f"{name}/{number} {step}", candidate)


def _digests(name: str, candidate: Candidate) -> Iterator[tuple[str, str]]:
    for component in COMPONENTS:
        yield f"{name}/{component}", hashlib.sha256(candidate.networks[component]).hexdigest()


def _numbered(name: str, seen: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from ((f"{name}/{number}", digest) for number, digest in enumerate(seen))


@contextmanager
def watched() -> Iterator[list[str]]:
    """What sessions are made of, and what they save, in order."""
    seen: list[str] = []
    plain = onnxruntime.InferenceSession

    class Watched(plain):  # type: ignore[misc, valid-type]
        def __init__(self, source: Any, options: Any = None, **others: Any) -> None:
            if isinstance(source, bytes):
                seen.append(hashlib.sha256(source).hexdigest())
            super().__init__(source, options, **others)
            if options.optimized_model_filepath.endswith(".onnx"):  # two .ort files of one graph are never the same
                saved = Path(options.optimized_model_filepath).read_bytes()
                seen.append(hashlib.sha256(saved).hexdigest())

    onnxruntime.InferenceSession = Watched
    try:
        yield seen
    finally:
        onnxruntime.InferenceSession = plain


if __name__ == "__main__":
    main()
