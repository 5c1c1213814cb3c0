"""`compress` from end to end: read, measure, choose, prove, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wattscribe.compress import outcome
from wattscribe.compress.acceptance import Acceptance, accept, non_inferiority
from wattscribe.compress.beside import read_beside
from wattscribe.compress.calibrate import Calibration
from wattscribe.compress.candidate import COMPONENTS, Candidate, read_candidate
from wattscribe.compress.divergence import Probe
from wattscribe.compress.lift import lifted
from wattscribe.compress.measure import Measurer
from wattscribe.compress.outcome import Compression
from wattscribe.compress.recipe import Done, Recipe, Step, Value, read_recipe
from wattscribe.compress.speech import SpeechSet, read_speech, read_unlabelled
from wattscribe.compress.strategies import GlobalMagnitude, Outcome, Strategy, Targeted, Uniform, kept
from wattscribe.compress.workbench import Workbench, with_baseline_placement
from wattscribe.energy import devices
from wattscribe.energy.placement import Unit
from wattscribe.errors import InputError
from wattscribe.scoring import count_errors
from wattscribe.streaming import open_transducer

STRATEGIES = ("targeted", "uniform", "global", "search")
CALIBRATION_S = 180.0
PROBE_S = 110.0
SMALL = 40
"""Utterances of the small set that speed and the search look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a user asks of a compression. `max_wer_increase` in points (0.2 is 0.2 % of the words)."""

    device: str = "wearable"
    data: tuple[str, ...] = ()
    test_data: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    max_wer_increase: float = 0.2
    strategy: str = "targeted"
    seed: int = 0
    max_latency_ms: float | None = None
    limit: int | None = None
    """Only so many utterances of each corpus."""
    recipe: Path | None = None
    cache: Path | None = None
    storage: Path | None = None
    trials: int = 60
    calibration_s: float = CALIBRATION_S
    probe_s: float = PROBE_S
    require_proof: bool = False
    beside: tuple[Path, ...] = ()
    """What other runs wrote on the same speech: their recipes and fronts are drawn on this one's page."""
    train_config: Path | None = None
    """With it MODEL is a folder that `wattscribe train` wrote: pruned and fine-tuned first."""


def check(options: Options) -> None:
    """Everything that can be said before the work begins. Raises InputError."""
    if not options.max_wer_increase >= 0:
        raise InputError(
            f"--max-wer-increase is {options.max_wer_increase:g}",
            fix="Give the points of WER that may be added: 0 or more",
        )
    if not options.data:
        raise InputError("there is no development text", fix="Give --data a corpus with references")
    if options.strategy not in STRATEGIES:
        raise InputError(f"there is no strategy {options.strategy!r}", fix="One of: " + ", ".join(STRATEGIES))
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit is {options.limit}", fix="Give 1 or more")


def compress_model(
    model: str | Path, out: str | Path, options: Options, *, overwrite: bool = False, say: Callable[[str], None] = print
) -> Compression:
    """Compress an exported transducer post-training and write OUT. Raises InputError and ModelError; OUT is then absent."""
    check(options)
    outcome.check_target(Path(out), overwrite=overwrite)
    trained = ""
    if options.train_config is not None:
        bench, trained = _from_checkpoint(Path(model), options.train_config, options, say)
    else:
        stored = read_candidate(model)
        open_transducer(model)  # a graph that it cannot run is named by the path that was given, not by a copy's
        bench = make_bench(lifted(stored), options, say)
        bench.against = stored if bench.original is not stored else None
    bench.segments = _segments(bench, options)
    others = read_beside(options.beside, bench.dev, bench.measurer.device.name, options.strategy)
    made = _carry_out(bench, options) if options.recipe is not None else _search(bench, options)
    if options.recipe is None and options.train_config is None and bench.against is not None:
        made = _as_given(bench, made)
    found = replace(finish(bench, made, options, model=str(model), trained=trained), beside=others)
    outcome.write(found, Path(out), overwrite=overwrite)
    return found


def _from_checkpoint(
    checkpoint: Path, config: Path, options: Options, say: Callable[[str], None]
) -> tuple[Workbench, str]:
    """A bench of the pruned and fine-tuned model, or of the dense one where pruning alone breaks the limit; and what was done."""
    from wattscribe.compress.dense.tune import prune_and_tune

    read_speech(options.data, limit=1)  # what is wrong with it is said before the training, not after
    dense, pruned = prune_and_tune(checkpoint, config, cache=options.cache, say=say)
    bench = make_bench(pruned, options, say)
    bench.against = dense
    added = bench.measure(pruned).wer - bench.measure(dense).wer
    held = added <= bench.limit
    trained = (
        f"pruned and fine-tuned by {config.name}: {dense.size_bytes / 1e6:.2f} → {pruned.size_bytes / 1e6:.2f} MB, "
        f"WER {100 * added:+.2f} points; "
        + ("kept" if held else f"reverted, the limit is {100 * bench.limit:g}: the dense model goes on")
    )
    say(trained)
    if held:
        return bench, trained
    return make_bench(dense, options, lambda _: None), trained


def make_bench(original: Candidate, options: Options, say: Callable[[str], None]) -> Workbench:
    """Read the speech and set the workbench up."""
    device = devices.load(options.device)
    dev = read_speech(options.data, limit=options.limit)
    folders = options.unlabelled
    if folders:
        calibration = read_unlabelled(folders, seconds=options.calibration_s, seed=options.seed + 1)
        heard = set(calibration.ids)
        drawn = read_unlabelled(folders, seconds=options.calibration_s + 2 * options.probe_s, seed=options.seed + 2)
        probe = drawn.of([i for i, each in enumerate(drawn.ids) if each not in heard], drawn.name)
        probe = _first_seconds(probe, options.probe_s)
    else:
        calibration = probe = _first_seconds(dev.part(len(dev)), options.calibration_s)
    say(
        f"{len(dev)} utterances, {dev.audio_s:.0f} s of development speech; {calibration.audio_s:.0f} s to calibrate, "
        f"{probe.audio_s:.0f} s to compare"
    )
    return Workbench(
        original=original, measurer=Measurer(device, cache=options.cache), dev=dev, small=dev.part(SMALL, seed=options.seed),
        calibration=Calibration(original, calibration), probe=Probe(original, probe),
        limit=options.max_wer_increase / 100, seed=options.seed, say=say,
    )  # fmt: skip


def _first_seconds(speech: SpeechSet, seconds: float) -> SpeechSet:
    chosen: list[int] = []
    heard = 0.0
    for number, audio in enumerate(speech.audio):
        if heard >= seconds and chosen:
            break
        chosen.append(number)
        heard += len(audio) / 16_000
    return speech.of(chosen, speech.name)


def _segments(bench: Workbench, options: Options) -> int:
    """How many segments fit the latency. An exported graph fixes the shortest: InputError for a limit below it."""
    segment_s = bench.measurer.workload(bench.original).segment_s
    if options.max_latency_ms is None or segment_s is None:
        return 1
    if 1000 * segment_s > options.max_latency_ms * (1 + 1e-9):
        raise InputError(
            f"the graph fixes segments of {1000 * segment_s:g} ms, more than --max-latency-ms {options.max_latency_ms:g}",
            fix="Export it with a shorter segment, or allow more",
        )
    return int(options.max_latency_ms / (1000 * segment_s) * (1 + 1e-9))


def strategy_of(options: Options) -> Strategy:
    """The class behind a name."""
    if options.strategy == "uniform":
        return Uniform()
    if options.strategy == "global":
        return GlobalMagnitude()
    if options.strategy == "search":
        from wattscribe.compress.search import Search

        return Search(storage=options.storage, trials=options.trials)
    return Targeted()


def _search(bench: Workbench, options: Options) -> Outcome:
    bench.say("lossless levers:")
    lossless = bench.lossless()
    return strategy_of(options).run(bench, lossless)


def _as_given(bench: Workbench, made: Outcome) -> Outcome:
    """A model given in 16 bits is worked on in 32: what no step has changed goes back, or the result would read more than it."""
    done = list(made.done)
    for component in COMPONENTS:
        step = Step(lever="fp16", component=component)
        before = bench.build(kept(done))
        try:
            after = bench.build([*kept(done), step])
        except InputError:  # nothing in 32 bits is left
            continue
        energy, added = bench.energy_mj(after), bench.measure(after).wer - bench.measure(bench.reference).wer
        good = added <= bench.limit and energy < bench.energy_mj(before)
        reason = "stored in 16 bits again, as it was given" if good else "16 bits save nothing here"
        if added > bench.limit:
            reason = f"with it WER rises by {100 * added:.2f} points"
        numbers: dict[str, Value] = {"energy_mj_per_audio_s": energy, "wer_increase": added}
        bench.say(f"{step}: {reason}, {energy:.4f} mJ/s")
        done.append(Done(step=step, kept=good, reason=reason, numbers=numbers))
    return replace(made, done=tuple(done))


def _carry_out(bench: Workbench, options: Options) -> Outcome:
    """The kept steps of a recipe, each measured again; nothing is chosen."""
    if options.recipe is None:
        raise InputError("there is no recipe to carry out")
    recipe = read_recipe(options.recipe)
    done: list[Done] = []
    steps: list[Step] = []
    for each in recipe.done:
        if each.kept:
            steps.append(each.step)
            energy = bench.energy_mj(bench.build(steps))
            bench.say(f"{each.step}: {energy:.4f} mJ/s")
            numbers = {**each.numbers, "energy_mj_per_audio_s": energy}
            done.append(Done(step=each.step, kept=True, reason=each.reason, numbers=numbers))
    return Outcome(strategy=f"recipe {options.recipe.name}", done=tuple(done))


def finish(bench: Workbench, made: Outcome, options: Options, *, model: str, trained: str = "") -> Compression:
    """Acceptance on the whole development set, then once on the test set; `trained` says what happened before."""
    made, notes = _proven(bench, made, options)
    result = bench.build(made.steps)
    baseline = with_baseline_placement(bench.reference)
    say = bench.say
    say("acceptance: original and result in turn over the whole development set")
    dev = accept(bench.measurer, baseline, result, bench.dev, bench.limit, seed=options.seed)
    test = None
    if options.test_data:
        say("acceptance: once on the test set")
        speech = read_speech(options.test_data, limit=options.limit)
        test = accept(bench.measurer, baseline, result, speech, bench.limit, seed=options.seed)
    calibration: dict[str, Value | list[str]] = {
        "unlabelled": list(options.unlabelled),
        "seconds": options.calibration_s,
        "data": list(options.data),
    }
    if options.train_config is not None:
        calibration |= {"train_config": str(options.train_config), "trained": trained}
        notes.append(trained[:1].upper() + trained[1:] + ".")
    recipe = Recipe(
        model=Path(model).name, device=bench.measurer.device.name, strategy=made.strategy, seed=options.seed,
        calibration=calibration, done=made.done,
    )  # fmt: skip
    return Compression(
        original=baseline, result=result, recipe=recipe, evidence=bench.measurer.device.evidence, dev=dev, test=test,
        limit=bench.limit, baselines_mj=baselines(bench), tried=tuple(bench.tried), sensitivities=made.sensitivities,
        fidelity=fidelity(bench, result), machine=_machine(), course=course(bench, made.steps),
        notes=(*notes, *_notes(dev, test, bench.limit)),
    )  # fmt: skip


def _proven(bench: Workbench, made: Outcome, options: Options) -> tuple[Outcome, list[str]]:
    """With `require_proof`, take the last kept steps back until non-inferiority is proven."""
    if not options.require_proof:
        return made, []
    base = bench.measure(bench.reference).errors
    done = list(made.done)
    notes: list[str] = []
    while True:
        steps = tuple(each.step for each in done if each.kept)
        errors = bench.measure(bench.build(steps)).errors
        paired = non_inferiority(base, errors, bench.dev, seed=options.seed)
        if paired.upper95 <= bench.limit or not steps:
            return Outcome(strategy=made.strategy, done=tuple(done), sensitivities=made.sensitivities), notes
        last = max(i for i, each in enumerate(done) if each.kept)
        reason = f"reverted: non-inferiority not proven with it (bound {100 * paired.upper95:+.2f} points)"
        done[last] = replace(done[last], kept=False, reason=reason)
        notes.append(f"{done[last].step}: {reason}")


def baselines(bench: Workbench) -> Mapping[str, float]:
    """The original frame by frame under each placement."""
    units: dict[str, Unit | None] = {"none": None, "component": "component", "tensor": "tensor"}
    return {name: bench.energy_mj(replace(bench.reference, placement=unit)) for name, unit in units.items()}  # fmt: skip


def course(bench: Workbench, steps: Sequence[Step]) -> tuple[tuple[str, float], ...]:
    """What each kept step does to the energy, at the original's counts: the bars of the waterfall."""
    reference = bench.reference
    found = [("original, nothing placed", bench.energy_mj(replace(reference, placement=None)))]
    if bench.original.digest != reference.digest:
        larger = bench.original.size_bytes > reference.size_bytes
        found.append(
            ("in float32, to be changed" if larger else "pruned and fine-tuned", bench.energy_mj(bench.original))
        )
    for number, step in enumerate(steps, start=1):
        energy = bench.energy_mj(bench.build(steps[:number]))
        found.append((f"{number} {step.lever} {step.component}", energy))
    return tuple(found)


def fidelity(bench: Workbench, result: Candidate) -> Mapping[str, float]:
    """Against the original's own text on unlabelled audio: how much of what it says changes for other speakers."""
    speech = bench.probe.speech
    before = bench.measurer.decode(bench.original, speech, result.decoding)
    after = bench.measurer.decode(result, speech, result.decoding)
    errors = count_errors(before.texts, after.texts)
    found = bench.kl(result)
    return {
        "kl": found.kl, "frames_changed": found.changed, "words_changed": float(errors.wer or 0.0),
        "utterances": float(len(speech)), "words": float(errors.words.sum()), "speakers": float(len(set(speech.speakers))),
    }  # fmt: skip


def _notes(dev: Acceptance, test: Acceptance | None, limit: float) -> list[str]:
    found = []
    for each in (dev, test):
        if each is None:
            continue
        if each.wer_increase > limit:
            found.append(
                f"The limit is not met on {each.on}: WER rises by {100 * each.wer_increase:.2f} points; this is the best found."
            )
        elif not each.non_inferior:
            found.append(
                f"{each.utterances} utterances of {each.on} cannot prove the limit: the one-sided 95 % bound is "
                f"{100 * each.wer_increase_upper95:+.2f} points. More speech narrows it; --require-proof takes steps back."
            )
        if each.after.rtf_cpu > each.before.rtf_cpu * 1.02:
            found.append(f"Slower on {each.on}: RTF {each.before.rtf_cpu:.4f} → {each.after.rtf_cpu:.4f}.")
    return found


def _machine() -> dict[str, Any]:
    from wattscribe.meters.machine import describe

    return dict(describe())
