"""What compression reaches on the shipped reference transducer: dense models and results in turn over one test set.

Texts, counts and seconds are kept in the cache by what the models hold, a hundred utterances at a time: a run that is stopped
goes on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wattscribe import records
from wattscribe.compression import levers
from wattscribe.compression.acceptance import non_inferiority
from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import COMPONENTS, Candidate, proto, read_candidate
from wattscribe.compression.levers import segments
from wattscribe.compression.lift import lifted
from wattscribe.compression.measure import Decoded, Measurer, transcribe_stream
from wattscribe.compression.recipe import read_recipe
from wattscribe.compression.run import Options, make_bench
from wattscribe.compression.speech import SpeechSet, read_speech
from wattscribe.compression.workbench import Workbench
from wattscribe.energy import devices
from wattscribe.energy.options import Unit
from wattscribe.models import REFERENCE
from wattscribe.scoring import ErrorCounts, PairedResult, count_errors
from wattscribe.streaming import open_transducer
from wattscribe.training.prepare import KNOWN, TEST_SETS, UNKNOWN_ESPEAK, SpokenSet, speak_set
from wattscribe.training.texts import read_sentences
from wattscribe.units import SAMPLE_RATE_HZ

RESULTS = Path(__file__).parent / "results"
RECIPES = {ms: RESULTS / f"compress-reference-{ms}.recipe.toml" for ms in (320, 640, 1280)}
"""By the milliseconds of audio that a call of the encoder waits for; the model as it was trained waits for 320."""
DEV = SpokenSet(name="dev-compress", split="dev", voices=(*KNOWN, *UNKNOWN_ESPEAK), count=300, varied=True)
CHUNK = 100
CALIBRATED = 40
"""Utterances of a draw: as much speech as the development set's first three minutes."""
LIMIT = 0.003


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One model over a whole set."""

    candidate: Candidate
    decoded: Decoded
    errors: ErrorCounts
    energy_mj: float
    energy_ci95_mj: tuple[float, float]

    @property
    def rtf(self) -> float:
        return self.decoded.cpu_s / self.decoded.audio_s

    @property
    def wer(self) -> float:
        return float(self.errors.wer or 0.0)


# --- speech -------------------------------------------------------------------------------------------------------------
def speech_sets(cache: Path, text: Path, say: Callable[[str], None] = print) -> tuple[str, list[str]]:
    """The development set's folder and the test sets' (3,400 utterances), made once. Their sentences and voices follow from
    their names; no sentence of dev or test is in the training text, no voice of `test-rms` and `test-espeak` either."""
    sentences = read_sentences([text])
    for spoken in (DEV, *TEST_SETS):
        speak_set(cache, spoken, sentences, say)
    return str(cache / DEV.name), [str(cache / test_set.name) for test_set in TEST_SETS]


# --- models -------------------------------------------------------------------------------------------------------------
def dense(folder: Path = REFERENCE) -> dict[str, Candidate]:
    """The model in float32 and its int8 export, frame by frame, weights in their best placement by component."""
    return {
        "dense fp32": replace(lifted(read_candidate(folder)), placement="component"),
        "dense int8": replace(read_candidate(folder, "int8"), placement="component"),
    }


def workbench(dev: str, *, device: str = "wearable", model: Path = REFERENCE, seed: int = 0, limit: int | None = None,
              cache: Path | None = None, shuffled: bool = False) -> Workbench:  # fmt: skip
    """For carrying recipes out: calibrated on the development speech, labels aside; `shuffled`, on a draw of it by the seed."""
    options = Options(
        data=(dev,), device=device, max_wer_increase_points=100 * LIMIT, seed=seed, limit=limit, cache=cache
    )
    bench = make_bench(lifted(read_candidate(model)), options, print)
    if shuffled:
        bench.calibration = Calibration(bench.original, bench.dev.part(CALIBRATED, seed=seed))
    return bench


def digest(folder: Path = REFERENCE) -> str:
    """Of the shipped model: what was measured on another one is measured again."""
    return lifted(read_candidate(folder)).digest


def result(bench: Workbench, recipe: Path) -> Candidate:
    """The model after the kept steps of a recipe."""
    return bench.build(read_recipe(recipe).steps)


def results(recipes: Mapping[str, Path], dev: str, cache: Path) -> dict[str, Candidate]:
    """Each recipe carried out on the shipped model; what was built for the same model, recipe and speech is read back."""
    candidates: dict[str, Candidate] = {}
    bench: Workbench | None = None
    for name, recipe in recipes.items():
        steps = read_recipe(recipe).steps
        text = "\n".join([digest(), dev, _code(), *(step.key for step in steps)])
        kept = cache / f"result-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if not kept.is_dir():
            bench = bench or workbench(dev, cache=cache)
            candidate = bench.build(steps)
            part = kept.with_suffix(".part")
            part.mkdir(parents=True, exist_ok=True)
            for component, network in candidate.networks.items():
                (part / component).write_bytes(network)
            part.rename(kept)
        unit: Unit = "tensor" if any(step.options.get("unit") == "tensor" for step in steps) else "component"
        batched = any(step.lever == "batched-joiner" for step in steps)
        encoder = proto((kept / "encoder").read_bytes())
        candidates[name] = replace(
            read_candidate(REFERENCE), networks={component: (kept / component).read_bytes() for component in COMPONENTS},
            decoding="batched" if batched else "frame-by-frame", placement=unit, segments=segments.joined(encoder),
        )  # fmt: skip
        if batched and candidates[name].segments == 1:
            candidates[f"{name}, frame by frame"] = replace(candidates[name], decoding="frame-by-frame")
    return candidates


def _code() -> str:
    """Of the levers: what another version of them made is made again."""
    code_digest = hashlib.sha256()
    for path in sorted(Path(levers.__file__).parent.glob("*.py")):
        code_digest.update(path.read_bytes())
    return code_digest.hexdigest()[:16]


# --- measuring ----------------------------------------------------------------------------------------------------------
def alternate(
    models: Mapping[str, Candidate], speech: SpeechSet, cache: Path, say: Callable[[str], None]
) -> dict[str, Decoded]:
    """Every utterance by one model and at once by the next; who begins changes with every utterance."""
    parts: dict[str, list[Decoded]] = {name: [] for name in models}
    for start in range(0, len(speech), CHUNK):
        chunk = speech.of(range(start, min(start + CHUNK, len(speech))), speech.name)
        path = cache / f"{_key(models, chunk)}.json"
        if not path.is_file():
            decoded = _in_turn(models, chunk)
            cache.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(
                json.dumps({name: records.to_json(output) for name, output in decoded.items()}), encoding="utf-8"
            )
            part.replace(path)
            say(f"{speech.name}: {start + len(chunk)} of {len(speech)}")
        for name, value in json.loads(path.read_text(encoding="utf-8")).items():
            parts[name].append(records.from_json(Decoded, value))
    return {name: joined(outputs) for name, outputs in parts.items()}


def _key(models: Mapping[str, Candidate], chunk: SpeechSet) -> str:
    lines = [*(f"{name} {model.digest} {model.decoding}" for name, model in models.items()), chunk.digest]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:24]


def _in_turn(models: Mapping[str, Candidate], chunk: SpeechSet) -> dict[str, Decoded]:
    opened = {}
    for name, model in models.items():
        with model.directory() as folder:
            opened[name] = open_transducer(folder, frame_by_frame=model.decoding == "frame-by-frame")
        transcribe_stream(opened[name], chunk.audio[0])
    names = list(opened)
    answers: dict[str, list[records.Transcript]] = {name: [] for name in names}
    wall, cpu = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for number, audio in enumerate(chunk.audio):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            started, spent = time.perf_counter(), time.process_time()
            answers[name].append(transcribe_stream(opened[name], audio))
            wall[name] += time.perf_counter() - started
            cpu[name] += time.process_time() - spent
    return {
        name: Decoded(
            texts=tuple(answer.text for answer in answers[name]),
            counts=tuple(answer.counts or records.Counts() for answer in answers[name]),
            audio_s=sum(map(len, chunk.audio)) / SAMPLE_RATE_HZ, wall_s=wall[name], cpu_s=cpu[name],
        )
        for name in names
    }  # fmt: skip


def joined(parts: Sequence[Decoded]) -> Decoded:
    """Several sets as one."""
    return Decoded(
        texts=tuple(text for part in parts for text in part.texts),
        counts=tuple(count for part in parts for count in part.counts),
        audio_s=sum(part.audio_s for part in parts), wall_s=sum(part.wall_s for part in parts),
        cpu_s=sum(part.cpu_s for part in parts),
    )  # fmt: skip


def figures_of(
    models: Mapping[str, Candidate],
    speech: SpeechSet,
    decoded: Mapping[str, Decoded],
    device: str,
    rule: str = "whisper",
) -> dict[str, Figures]:
    """Energy at each model's own counts, and its word errors after normalising by `rule`."""
    measurer = Measurer(devices.load(device))
    figures = {}
    for name, candidate in models.items():
        power = measurer.energy(candidate, decoded[name].counts, decoded[name].audio_s, draws=200).total_w
        figures[name] = Figures(
            candidate=candidate, decoded=decoded[name],
            errors=count_errors(speech.references, decoded[name].texts, rule=rule),
            energy_mj=1e3 * power.value, energy_ci95_mj=(1e3 * power.ci95[0], 1e3 * power.ci95[1]),
        )  # fmt: skip
    return figures


def compared(figures: Mapping[str, Figures], speech: SpeechSet, against: str, name: str) -> PairedResult:
    """WER of `name` less that of `against`: paired, speakers drawn whole where there are enough."""
    return non_inferiority(figures[against].errors, figures[name].errors, speech, seed=0)


def whole(specs: Sequence[str], limit: int | None = None) -> SpeechSet:
    """Several sets as one."""
    return read_speech(specs, limit=limit)


# --- tables -------------------------------------------------------------------------------------------------------------
def table(figures: Mapping[str, Figures], speech: SpeechSet) -> list[str]:
    """Markdown: one line a model, each against dense float32 and dense int8."""
    lines = [
        f"{len(speech)} utterances, {len(set(speech.speakers))} speakers, {speech.audio_s / 3600:.2f} h, "
        f"{int(figures['dense fp32'].errors.words.sum())} words.",
        "",
        "| model | audio per call | energy, mJ/s (95 %) | of fp32 | of int8 | WER, % | change to fp32 (95 %) | bound | to int8 | "
        "RTF | of fp32 | of int8 | size, MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    first, second = figures["dense fp32"], figures["dense int8"]
    for name, row in figures.items():
        paired = compared(figures, speech, "dense fp32", name)
        low, high = (100 * value for value in paired.ci95)
        spread = f"{row.energy_ci95_mj[0]:.3f} to {row.energy_ci95_mj[1]:.3f}"
        cells = (
            name, f"{320 * row.candidate.segments} ms", f"{row.energy_mj:.3f} ({spread})",
            less(row.energy_mj, first.energy_mj), less(row.energy_mj, second.energy_mj), f"{100 * row.wer:.2f}",
            f"{100 * paired.difference:+.2f} ({low:+.2f} to {high:+.2f})", f"{100 * paired.upper95:+.2f}",
            f"{100 * (row.wer - second.wer):+.2f}", f"{row.rtf:.5f}",
            less(row.rtf, first.rtf), less(row.rtf, second.rtf), f"{row.candidate.size_bytes / 1e6:.2f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def less(value: float, base: float) -> str:
    """The change in per cent."""
    return f"{100 * (value / base - 1):+.1f} %".replace("-", "−")
