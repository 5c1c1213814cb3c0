"""`make bench-compress`: what compression reaches on the shipped reference transducer and on the real zipformer.

python -m benchmarks.compress [--reduced] [--part NAME]… [--shared FOLDER] [--cache FOLDER] [--out FOLDER]

Parts: zipformer, reference (dense float32, dense int8 and the kept recipes in turn over 3,600 test utterances), equal-latency
(the same with the recipe alone that keeps the model's own calls), phone, digits, seeds, fronts (targeted against uniform at
equal WER), strategies (targeted, uniform, global, search), bits (mixed by sensitivity against even), tuned (both pruned and
fine-tuned, where the checkpoint is: --checkpoint). All of them take under two hours on two cores. Reduced: the recipes on a
tenth of the speech, without the last four; under ten minutes.
What was decoded is kept in the cache by the contents of models and speech: a run that is stopped goes on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks import compress_fronts as fronts_of
from benchmarks import compress_reference as reference
from benchmarks import compress_tuned
from wattscribe.compression import outcome
from wattscribe.compression.bits import BLOCKS, ladder
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.linears import linears
from wattscribe.compression.moves import LEAST_WEIGHTS
from wattscribe.compression.run import Options, compress_model
from wattscribe.compression.step import Step
from wattscribe.errors import WattscribeError
from wattscribe.models import REFERENCE

RESULTS = Path(__file__).parent / "results"
RECIPE = RESULTS / "compress-zipformer.recipe.toml"
ZIPFORMER = "models/zipformer-gigaspeech-3.3m"
REDUCED = 0.1
Strategy = Literal["targeted", "uniform", "global", "search"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
FAST = ("zipformer", "reference", "digits", "phone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Where everything is, and how much of it is used."""

    shared: Path
    cache: Path
    out: Path
    reduced: bool
    dev: str
    tests: tuple[str, ...]
    checkpoint: Path = compress_tuned.CHECKPOINT

    @property
    def limit(self) -> int | None:
        """Utterances of each test set."""
        return round(1200 * REDUCED) if self.reduced else None

    @property
    def recipes(self) -> dict[str, Path]:
        return {f"result, {ms} ms": path for ms, path in reference.RECIPES.items() if path.is_file()}


# --- parts --------------------------------------------------------------------------------------------------------------
def on_reference(run: Run, device: str = "wearable", recipes: Mapping[str, Path] | None = None) -> list[str]:
    """Dense models and results in turn over the test sets: energy, WER, time."""
    models = {**reference.dense(), **reference.results(recipes or run.recipes, run.dev, run.cache)}
    decoded: dict[str, list[Any]] = {name: [] for name in models}
    for test in run.tests:
        part = reference.whole([test], run.limit)
        for name, output in reference.alternate(models, part, run.cache, print).items():
            decoded[name].append(output)
    speech = reference.whole(run.tests, run.limit)
    joined = {name: reference.joined(outputs) for name, outputs in decoded.items()}
    lines = reference.table(reference.figures_of(models, speech, joined, device), speech)
    for test, number in zip(run.tests, range(len(run.tests)), strict=True):
        part = reference.whole([test], run.limit)
        figures = reference.figures_of(
            models, part, {name: outputs[number] for name, outputs in decoded.items()}, device
        )
        lines.append(
            f"- {Path(test).name}: " + "; ".join(f"{name} {100 * row.wer:.2f} %" for name, row in figures.items())
        )
    return [*lines, ""]


def on_equal_latency(run: Run) -> list[str]:
    """The recipe at the model's own 320 ms alone, batched and frame by frame."""
    own = reference.RECIPES[320]
    return on_reference(run, recipes={name: path for name, path in run.recipes.items() if path == own})


def on_phone(run: Run) -> list[str]:
    """The same decodes priced for a phone: 8 MB of local memory hold the int8 model, not the float32 one."""
    return on_reference(run, "phone")


def on_digits(run: Run) -> list[str]:
    """Strings of spoken digits, every recording of four people once (docs/model-card.md).

    The model was never trained on strings of digits. Words are counted as spoken: the Whisper normaliser makes one number of
    a string.
    """
    from benchmarks.digit_strings import leave_one_out

    cache = run.cache / "digits"
    speakers = leave_one_out(str(run.shared / "spoken-digits"), cache, print, strings=1)
    models = {**reference.dense(), **reference.results(run.recipes, run.dev, run.cache)}
    speech = reference.whole([str(cache / speaker / "test") for speaker in speakers], 20 if run.reduced else None)
    decoded = reference.alternate(models, speech, run.cache, print)
    return reference.table(reference.figures_of(models, speech, decoded, "wearable", rule="basic"), speech)


def on_seeds(run: Run) -> list[str]:
    """The 1280 ms recipe calibrated on three draws of speech: spread of energy and WER on the first test set."""
    lines = ["| seed | energy, mJ/s | WER, % | change to fp32 |", "|---|---|---|---|"]
    speech = reference.whole(run.tests[:1], 100 if run.reduced else 300)
    models = {"dense fp32": reference.dense()["dense fp32"]}
    for seed in (0, 1, 2):
        bench = reference.workbench(run.dev, seed=seed, cache=run.cache, shuffled=True)
        models[f"seed {seed}"] = reference.result(bench, reference.RECIPES[1280])
    figures = reference.figures_of(models, speech, reference.alternate(models, speech, run.cache, print), "wearable")
    for seed in (0, 1, 2):
        row = figures[f"seed {seed}"]
        change = 100 * (row.wer - figures["dense fp32"].wer)
        lines.append(f"| {seed} | {row.energy_mj:.4f} | {100 * row.wer:.2f} | {change:+.2f} |")
    return [*lines, ""]


def on_strategies(run: Run) -> list[str]:
    """Each strategy by itself, post-training, at the model's own 320 ms, on the development speech."""
    lines = [
        "| strategy | energy, mJ/s | saved | WER on dev, % | change | recipes tried |",
        "|---|---|---|---|---|---|",
    ]
    fronts = {}
    for name in STRATEGIES:
        result = strategy(run, name)
        if result is None:
            lines.append(f"| {name} | failed | | | | |")
            continue
        dev, tried = result["dev"], result["tried"]
        fronts[name] = [(recipe["energy_mj_per_audio_s"], recipe["wer"]) for recipe in tried if recipe["on"] == "full"]
        lines.append(
            f"| {name} | {dev['energy_after_mj_per_audio_s']:.3f} | −{100 * dev['energy_reduction']:.1f} % | "
            f"{100 * dev['wer_after']:.2f} | {100 * dev['wer_increase']:+.2f} | {len(tried)} |"
        )
    return [*lines, "", *(f"- front of {name}: {_points(points)}" for name, points in fronts.items()), ""]


def _points(points: Sequence[tuple[float, float]]) -> str:
    return "; ".join(f"{energy:.3f} mJ {100 * wer:.2f} %" for energy, wer in sorted(points))


def strategy(run: Run, name: Strategy) -> dict[str, Any] | None:
    """result.json of one strategy's run, kept in the cache."""
    kept = run.cache / f"strategy-{name}-{reference.digest()}.json"
    if not kept.is_file():
        options = Options(
            data=(run.dev,), max_wer_increase_points=100 * reference.LIMIT, strategy=name, limit=60 if run.reduced else 120,
            cache=run.cache, trials=20, calibration_s=100.0, probe_s=60.0,
            storage=run.cache / "search.journal" if name == "search" else None,
        )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
            try:
                compression = compress_model(REFERENCE, Path(folder) / "out", options)
            except WattscribeError as error:
                print(f"{name}: {error}")
                return None
        kept.write_text(json.dumps(outcome.to_json(compression)), encoding="utf-8")
    loaded: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return loaded


def on_fronts(run: Run) -> list[str]:
    """Targeted against uniform compression at equal WER, all in 8 bits, post-training.

    Uniform thins every map of every component to the same part of its weights; targeted thins where it harms least. Energy once
    with the lossless levers for both (1280 ms), once with none for uniform: frame by frame, 320 ms, best placement by component.
    """
    bench = reference.workbench(run.dev, limit=40 if run.reduced else 150, cache=run.cache)
    fronts = {name: fronts_of.front(bench, chain) for name, chain in fronts_of.chains(bench).items()}
    lines = ["| front | change of WER, points: energy with lossless levers / without, mJ/s |", "|---|---|"]
    for name, points in fronts.items():
        text = "; ".join(
            f"{100 * point.change:+.2f}: {point.lossless_mj:.3f} / {point.plain_mj:.3f}" for point in points
        )
        lines.append(f"| {name} | {text} |")
    lines += [
        "",
        "| change of WER | targeted | uniform, same lossless levers | | uniform, none | |",
        "|---|---|---|---|---|---|",
    ]
    for change in (0.003, 0.01, 0.02):
        mine = fronts_of.at(fronts["targeted"], change, lossless=True)
        same, plain = (fronts_of.at(fronts["uniform"], change, lossless=lossless) for lossless in (True, False))
        lines.append(
            f"| {100 * change:+.1f} | {mine:.3f} | {same:.3f} | {reference.less(mine, same)} | {plain:.3f} | "
            f"{reference.less(mine, plain)} |"
        )
    return [*lines, "", f"{len(bench.dev)} development utterances, {bench.dev.audio_s:.0f} s.", ""]


def on_bits(run: Run) -> list[str]:
    """Mixed bits by sensitivity against the same bits for every map of the encoder, all else equal."""
    bench = reference.workbench(run.dev, cache=run.cache)
    maps = tuple(
        name for name, linear in linears(bench.original.model("encoder")).items() if linear.weight.size >= LEAST_WEIGHTS
    )
    tail = (Step(lever="int8", component="joiner"), Step(lever="int8", component="predictor"))
    recipes: dict[str, tuple[Step, ...]] = {
        "even, 8 bits": (Step(lever="int8", component="encoder", tensors=maps), *tail)
    }
    for block in BLOCKS:
        step = Step(
            lever="blockwise", component="encoder", tensors=maps, options={"bits": 4, "block": block, "accuracy": 4}
        )
        recipes[f"even, 4 bits in blocks of {block}"] = (step, *tail)
    for number, move in enumerate(ladder(bench, (), "encoder")[1:], start=1):
        recipes[f"mixed {number}"] = (*move.steps, *tail)
    models = {
        **reference.dense(),
        **{name: replace(bench.build(steps), placement="component") for name, steps in recipes.items()},
    }
    speech = reference.whole(run.tests[:1], 40 if run.reduced else 400)
    decoded = reference.alternate(models, speech, run.cache, print)
    first = reference.figures_of(models, speech, decoded, "wearable")
    return [*reference.table(first, speech), *_mixed_tested(run, models, _mixed_pairs(first))]


def _mixed_pairs(first: Mapping[str, reference.Figures]) -> list[tuple[str, str]]:
    """To each even recipe the mixed one to test it against: of the size nearest to 4 bits; of 80 % of the energy to 8 bits."""
    mixed = [name for name in first if name.startswith("mixed")]
    pairs = []
    for even in (name for name in first if name.startswith("even")):
        size, energy = first[even].candidate.size_bytes, first[even].energy_mj
        if "8 bits" in even:
            cheap = [name for name in mixed if first[name].energy_mj <= 0.8 * energy]
            pairs += [(even, cheap[0])] if cheap else []
        else:
            pairs.append((even, min(mixed, key=lambda name: abs(first[name].candidate.size_bytes - size))))
    return pairs


def _mixed_tested(run: Run, models: Mapping[str, Candidate], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Each pair on half of the test sets that the table did not use: the pairs were chosen on the first."""
    names = dict.fromkeys(name for pair in pairs for name in pair)
    speech = reference.whole(run.tests[1:], run.limit or 600)
    decoded = reference.alternate({name: models[name] for name in names}, speech, run.cache, print)
    tested = reference.figures_of({name: models[name] for name in names}, speech, decoded, "wearable")
    lines = [
        f"Pairs chosen by size and energy above, tested on the other sets: {len(speech)} utterances, "
        f"{int(next(iter(tested.values())).errors.words.sum())} words.",
        "",
        "| even | mixed | size, MB | energy, mJ/s | WER, % | mixed less even, points (95 %) | RTF |",
        "|---|---|---|---|---|---|---|",
    ]
    for even, mixed in pairs:
        one, other = tested[even], tested[mixed]
        paired = reference.compared(tested, speech, even, mixed)
        low, high = (100 * value for value in paired.ci95)
        lines.append(
            f"| {even} | {mixed} | {one.candidate.size_bytes / 1e6:.2f}; {other.candidate.size_bytes / 1e6:.2f} | "
            f"{one.energy_mj:.3f}; {other.energy_mj:.3f} ({reference.less(other.energy_mj, one.energy_mj)}) | "
            f"{100 * one.wer:.2f}; {100 * other.wer:.2f} | {100 * paired.difference:+.2f} ({low:+.2f} to {high:+.2f}) | "
            f"{reference.less(other.rtf, one.rtf)} |"
        )
    return [*lines, ""]


def on_tuned(run: Run) -> list[str]:
    """Targeted and uniform pruning of the same depth, fine-tuned alike, on a third of the test speech."""
    if not run.checkpoint.is_dir():
        return [f"Left out: the checkpoint that the shipped model was exported from is not at {run.checkpoint}.", ""]
    models = {**reference.dense(), **compress_tuned.tuned(run.checkpoint, run.dev, run.cache)}
    speech = reference.whole(run.tests, 20 if run.reduced else 400)
    decoded = reference.alternate(models, speech, run.cache, print)
    return reference.table(reference.figures_of(models, speech, decoded, "wearable"), speech)


def on_zipformer(run: Run) -> list[str]:
    """The kept recipe carried out anew on the real zipformer, against its directory as it is: at its own latency, then with calls
    of 640 ms beside it."""
    data = run.shared
    options = Options(
        data=(str(data / "librispeech"), str(data / "ljspeech")), unlabelled=(str(data / "unlabelled"),), recipe=RECIPE,
        test_data=() if run.reduced else ("bundled", str(data / "librispeech-noisy")),
        max_wer_increase_points=100 * reference.LIMIT,
        max_latency_ms=640, limit=20 if run.reduced else None, cache=run.cache, calibration_s=60.0 if run.reduced else 180.0,
        probe_s=30.0 if run.reduced else 110.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
        compression = compress_model(data / ZIPFORMER, Path(folder) / "out", options)
    return ["```", *outcome.lines(compression), "```", ""]


PARTS: dict[str, Callable[[Run], list[str]]] = {
    "zipformer": on_zipformer,
    "reference": on_reference,
    "equal-latency": on_equal_latency,
    "phone": on_phone,
    "digits": on_digits,
    "seeds": on_seeds,
    "fronts": on_fronts,
    "strategies": on_strategies,
    "bits": on_bits,
    "tuned": on_tuned,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, print, write `compress-figures.md` (or `compress-reduced.md`)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compress", description=__doc__.splitlines()[0])
    parser.add_argument("--reduced", action="store_true", help="a tenth of the speech, under ten minutes")
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="only this part; may be repeated")
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "wattscribe" / "bench-compress")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--checkpoint", type=Path, default=compress_tuned.CHECKPOINT, help="for the part `tuned`")
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / ZIPFORMER).is_dir():
        print(f"the model is not here: {chosen.shared / ZIPFORMER}; give --shared")
        return 2
    dev, tests = reference.speech_sets(chosen.cache / "speech", chosen.shared / "text")
    run = Run(
        shared=chosen.shared,
        cache=chosen.cache,
        out=chosen.out,
        reduced=chosen.reduced,
        dev=dev,
        tests=tuple(tests),
        checkpoint=chosen.checkpoint,
    )
    for name in chosen.part or (FAST if chosen.reduced else tuple(PARTS)):
        print(f"== {name}", flush=True)
        lines = PARTS[name](run)
        print("\n".join(lines), flush=True)
        write(run, name, lines)
    return 0


def write(run: Run, part: str, lines: Sequence[str]) -> None:
    """Each part's figures in a file of its own section, so that one part can be run again by itself."""
    run.out.mkdir(parents=True, exist_ok=True)
    path = run.out / ("compress-reduced.md" if run.reduced else "compress-figures.md")
    sections = _sections(path)
    command = f"python -m benchmarks.compress{' --reduced' if run.reduced else ''} --part {part}"
    head = f"`{command}`, {datetime.date.today().isoformat()}, {platform.machine()}, one thread."
    body = "\n".join(lines).replace(f"{run.shared}/", "").strip("\n").split("\n")
    sections[part] = [head, "", *body, ""]
    text = ["# Compression: figures", "", "Written by the commands that each section names.", ""]
    for name in PARTS:
        if name in sections:
            text += [f"## {name}", "", *sections[name]]
    path.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


def _sections(path: Path) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    current: list[str] = []
    for line in lines:
        if line.startswith("## "):
            current = sections.setdefault(line[3:], [])
        elif current or line:
            current.append(line)
    return {name: [*"\n".join(lines).strip("\n").split("\n"), ""] for name, lines in sections.items()}


if __name__ == "__main__":
    raise SystemExit(main())
