"""`compress` from end to end: read, measure, choose, prove, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wattscribe.as_found import as_found
from wattscribe.compression import longer, outcome, sets
from wattscribe.compression.acceptance import Acceptance, accept, non_inferiority
from wattscribe.compression.beside import read_beside
from wattscribe.compression.budget import Budget
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.checked import Placed, checked, command, limits_of, placed, with_journal
from wattscribe.compression.confirm import confirmed, selection
from wattscribe.compression.elsewhere import Elsewhere
from wattscribe.compression.family import Family
from wattscribe.compression.held import divided
from wattscribe.compression.kinds import family_of, read_model
from wattscribe.compression.leave import cut_note, leaving
from wattscribe.compression.levels import GlobalMagnitude, Uniform
from wattscribe.compression.lift import lifted
from wattscribe.compression.measure import Measurer
from wattscribe.compression.memo import Memo
from wattscribe.compression.options import Options
from wattscribe.compression.outcome import Compression, Page
from wattscribe.compression.proof import with_proofs
from wattscribe.compression.recipe import Done, Recipe
from wattscribe.compression.replay import carry_out
from wattscribe.compression.speech import SpeechSet, read_speech, read_unlabelled, read_unseen
from wattscribe.compression.step import Step, Value
from wattscribe.compression.strategies import Outcome, Strategy, kept
from wattscribe.compression.targeted import Targeted
from wattscribe.compression.workbench import NOTHING, Workbench, with_baseline_placement
from wattscribe.energy import devices
from wattscribe.energy.options import Unit
from wattscribe.errors import InputError
from wattscribe.scoring import count_errors

LARGER = 1.01
"""Size ratio from which a result is called larger: rewritten graphs differ by some bytes."""
SMALL = 40
"""Utterances of the small set that speed and the search look at."""


@as_found()
def compress_model(
    model: str | Path,
    out: str | Path,
    asked: Options,
    *,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    page: Page | None = None,
    elsewhere: Elsewhere | None = None,
) -> Compression:
    """Compress an exported transducer post-training and write OUT, with a `page` of it where one is asked for; `elsewhere`:
    who weighs the recipes of a search.

    Raises InputError and ModelError; OUT is then absent.
    """
    right, recipe = checked(asked)
    outcome.check_target(Path(out), overwrite=overwrite)
    options = with_journal(right, Path(out))
    stored = None
    if options.train_config is None:
        stored = read_model(model)
        family_of(stored).check(options)
    dev, test = _speech(options)
    others = read_beside(options.beside, dev, devices.load(options.device_name).name, options.strategy)
    _refuse_small(dev, test, options, each_corpus=stored is not None and family_of(stored).each_corpus)
    trained = ""
    if options.train_config is not None:
        bench, trained = _from_checkpoint(Path(model), options.train_config, options, dev, say)
    elif stored is not None:
        bench = make_bench(lifted(stored), options, say, dev, hold_back=recipe is None)
        bench.against = stored if bench.original is not stored else None
    count = longer.allowed(bench, options)
    aside = longer.beside(Path(out), count * (bench.measurer.workload(bench.original).segment_s or 0.0))
    if count > 1:
        outcome.check_target(aside, overwrite=overwrite)
    wer = sets.errors(bench, bench.reference).wer
    sets.refuse(dev, "`data`", sets.limit_of(bench, bench.whole), wer=wer, anyway=options.limit is not None)
    if recipe is not None and options.recipe is not None:
        selected = carry_out(bench, longer.shorter(recipe, count, options.recipe), options.recipe)
    else:
        selected = _search(bench, options, strategy_of(options, str(model), elsewhere))
    given16 = options.train_config is None and bench.against is not None
    if given16:
        selected = _as_given(bench, selected)
    compression = finish(bench, selected, options, test, model=str(model), trained=trained)
    if count > 1:
        say("the same with longer calls:")
        more = longer.lengthened(bench, selected, count, recipe, options.recipe)
        more = _as_given(bench, more) if given16 else more
        compression = replace(compression, longer=finish(bench, more, options, test, model=str(model), trained=trained))
    for result, place in ((compression.longer, aside), (compression, Path(out))):
        if result is not None:
            again = command(options, str(model), place)
            compression = replace(result, beside=others, recipe=replace(result.recipe, again=again))
            outcome.write(compression, place, overwrite=overwrite, page=page)
    if bench.budget.cut is None and options.storage is None:
        bench.memo.remove()
    return compression


def _speech(options: Options) -> tuple[SpeechSet, SpeechSet | None]:
    """Development and test speech."""
    dev = read_speech(options.data, limit=options.limit)
    return dev, read_unseen(options.test_data, dev, limit=options.limit) if options.test_data else None


def _refuse_small(dev: SpeechSet, test: SpeechSet | None, options: Options, *, each_corpus: bool) -> None:
    """Raises InputError where they cannot show the limit."""
    limits = limits_of(options)
    for speech, option in ((dev, "`data`"), (test, "`test_data`")):
        if speech is not None:
            sets.refuse_single(speech, option, by_corpus=each_corpus or bool(limits))
            limit = sets.mean_limit(speech, limits, options.max_wer_increase_points / 100)
            sets.refuse(speech, option, limit, anyway=options.limit is not None)


def _from_checkpoint(
    checkpoint: Path, config: Path, options: Placed, dev: SpeechSet, say: Callable[[str], None]
) -> tuple[Workbench, str]:
    """A bench of the pruned and fine-tuned model, or of the dense one where pruning alone breaks the limit; and what was done."""
    from wattscribe.compression.dense.tune import prune_and_tune

    dense, pruned = prune_and_tune(checkpoint, config, cache=options.cache, say=say)
    bench = make_bench(pruned, options, say, dev, hold_back=options.recipe is None)
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
    return make_bench(dense, options, lambda _: None, dev, hold_back=options.recipe is None), trained


def make_bench(
    original: Candidate,
    asked: Options,
    say: Callable[[str], None],
    dev: SpeechSet | None = None,
    *,
    hold_back: bool = False,
) -> Workbench:
    """Read the speech that was not read yet and set the workbench up. `hold_back`: a part of the development set confirms."""
    options = placed(asked)
    device = devices.load(options.device_name)
    if dev is None:
        dev = read_speech(options.data, limit=options.limit)
    limit = options.max_wer_increase_points / 100
    family = family_of(original)
    limits = limits_of(options)
    parted = divided(dev, sets.mean_limit(dev, limits, limit), seed=options.drawn)
    # What calibrates a recipe's repetition, too: its codes are then the same.
    choosing = dev if parted is None else parted.choose
    held, dev = (parted, choosing) if hold_back else (None, dev)
    folders = options.unlabelled
    if folders:
        calibration = read_unlabelled(folders, seconds=options.calibration_s, seed=options.drawn + 1)
        calibrated = set(calibration.ids)
        drawn = read_unlabelled(folders, seconds=options.calibration_s + 2 * options.probe_s, seed=options.drawn + 2)
        probe = drawn.of([i for i, name in enumerate(drawn.ids) if name not in calibrated], drawn.name)
        probe = probe.beginning(options.probe_s) if len(probe) else calibration  # all of it is heard already
    else:
        calibration, probe = _excerpts(family, choosing, options)
    budget, memo = Budget(options.minutes), Memo(options.journal)
    whole = dev if held is None else held.whole
    aside = "" if held is None else f" ({len(held.confirm)} of them held back by {held.by})"
    say(
        f"{len(whole)} utterances{aside}, {whole.audio_s:.0f} s of development speech; {calibration.audio_s:.0f} s to calibrate, "
        f"{probe.audio_s:.0f} s to compare" + (", the same" if probe is calibration else "")
    )
    return Workbench(
        original=original, family=family, measurer=Measurer(device, cache=options.cache, memo=memo, check=budget.check), dev=dev,
        small=dev.part(SMALL, seed=options.drawn),
        calibration=family.calibration(original, calibration), probe=family.probe(original, probe),
        limit=limit, limits=limits, seed=options.drawn, say=say, held=held, budget=budget, memo=memo,
    )  # fmt: skip


def _excerpts(family: Family[Workbench], dev: SpeechSet, options: Placed) -> tuple[SpeechSet, SpeechSet]:
    """To calibrate, and other speech to compare on, since what weights were rounded by flatters them; the same where there is
    too little."""
    probe_s = min(options.probe_s, family.most_probe_s)
    if dev.audio_s < options.calibration_s + probe_s:
        same = family.excerpt(dev, min(options.calibration_s, family.most_probe_s))
        return same, same
    probe = family.excerpt(dev, probe_s)
    rest = dev.of([at for at, name in enumerate(dev.ids) if name not in set(probe.ids)], dev.name)
    return family.excerpt(rest, options.calibration_s), probe


def strategy_of(options: Placed, model: str = "", elsewhere: Elsewhere | None = None) -> Strategy:
    """The class behind a name."""
    if options.strategy == "uniform":
        return Uniform()
    if options.strategy == "global":
        return GlobalMagnitude()
    if options.strategy == "search":
        from wattscribe.compression.search import Search

        return Search(
            storage=options.storage,
            trials=options.trials,
            elsewhere=elsewhere,
            material=None if elsewhere is None else lambda bench: elsewhere.material(bench, model, options),
        )
    return Targeted()


def _search(bench: Workbench, options: Placed, strategy: Strategy) -> Outcome:
    bench.say("lossless levers:")
    with leaving(options):
        lossless = bench.lossless()
        return confirmed(bench, strategy.run(bench, lossless))


def _as_given(bench: Workbench, selected: Outcome) -> Outcome:
    """A model given in 16 bits is worked on in 32: what no step has changed goes back, or the result would read more than it."""
    done = list(selected.done)
    for component in bench.original.COMPONENTS:
        step = Step(lever="fp16", component=component)
        before = bench.build(kept(done))
        try:
            after = bench.build([*kept(done), step])
        except InputError:  # nothing in 32 bits is left
            continue
        energy, added = bench.energy_mj(after), sets.added(bench, after)
        good = added <= bench.limit and energy < bench.energy_mj(before)
        reason = "stored in 16 bits again, as it was given" if good else "16 bits save nothing here"
        if added > bench.limit:
            reason = f"with it WER rises by {100 * added:.2f} points"
        numbers: dict[str, Value] = {"energy_mj_per_audio_s": energy, "wer_increase": added}
        bench.say(f"{step}: {reason}, {energy:.4f} mJ/s")
        done.append(Done(step=step, kept=good, reason=reason, numbers=numbers))
    return replace(selected, done=tuple(done))


def finish(
    bench: Workbench, selected: Outcome, options: Placed, speech: SpeechSet | None, *, model: str, trained: str = ""
) -> Compression:
    """Acceptance on the whole development set, then once on the test speech; `trained` says what happened before."""
    selected, notes = _proven(bench, selected, options)
    selected = with_proofs(bench, selected)
    result = bench.build(selected.steps)
    baseline = with_baseline_placement(bench.reference)
    calibration: dict[str, Value | list[str]] = {
        "unlabelled": list(options.unlabelled),
        "seconds": options.calibration_s,
        "data": list(options.data),
    }
    if options.train_config is not None:
        calibration |= {"train_config": str(options.train_config), "trained": trained}
        notes.append(trained[:1].upper() + trained[1:] + ".")
    recipe = Recipe(
        model=Path(model).name, device=bench.measurer.device.name, strategy=selected.strategy, seed=options.drawn,
        calibration=calibration, done=selected.done,
    )  # fmt: skip
    say = bench.say
    with leaving(options, recipe):
        say("acceptance: original and result in turn over the whole development set")
        dev = accept(bench, baseline, result, bench.whole, seed=options.drawn)
        test = None
        if speech is not None:
            say("acceptance: once on the test set")
            test = accept(bench, baseline, result, speech, seed=options.drawn)
    chosen = None if options.recipe is not None else selection(bench, result)
    cut = bench.budget.cut
    if chosen is not None:
        notes.append(chosen.note)
    if cut is not None:
        notes.append(cut_note(cut, options))
    return Compression(
        original=baseline, result=result, recipe=recipe, evidence=bench.measurer.device.evidence, dev=dev, test=test,
        limit=bench.limit, baselines_mj=baselines(bench), tried=tuple(bench.tried), sensitivities=selected.sensitivities,
        fidelity=fidelity(bench, result), machine=_machine(), course=course(bench, selected.steps), selection=chosen,
        cut_short=cut,
        notes=(*selected.notes, *notes, *_notes(dev, test, placed=result.placement is not None)),
    )  # fmt: skip


def _proven(bench: Workbench, selected: Outcome, options: Options) -> tuple[Outcome, list[str]]:
    """With `require_proof`, take the last kept steps back until non-inferiority is proven."""
    if not options.require_proof:
        return selected, []
    base = sets.errors(bench, bench.reference)
    done = list(selected.done)
    notes: list[str] = []
    while True:
        steps = tuple(entry.step for entry in done if entry.kept)
        errors = sets.errors(bench, bench.build(steps))
        paired = non_inferiority(base, errors, bench.whole, seed=options.drawn)
        if paired.upper95 <= sets.limit_of(bench, bench.whole) or not steps:
            return replace(selected, done=tuple(done)), notes
        last = max(i for i, entry in enumerate(done) if entry.kept)
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
    bars = [("original, nothing placed", bench.energy_mj(replace(reference, placement=None)))]
    if bench.original.digest != reference.digest:
        larger = bench.original.size_bytes > reference.size_bytes
        bars.append(
            ("in float32, to be changed" if larger else "pruned and fine-tuned", bench.energy_mj(bench.original))
        )
    for number, step in enumerate(steps, start=1):
        energy = bench.energy_mj(bench.build(steps[:number]))
        bars.append((f"{number} {step.lever} {step.component}", energy))
    return tuple(bars)


def fidelity(bench: Workbench, result: Candidate) -> Mapping[str, float]:
    """Against the original's own text on unlabelled audio: how much of what it says changes for other speakers."""
    speech = bench.probe.speech
    before = bench.measurer.decode(bench.original, speech, result.decoding)
    after = bench.measurer.decode(result, speech, result.decoding)
    errors = count_errors(before.texts, after.texts)
    divergence = bench.kl(result)
    return {
        "kl": divergence.kl, "frames_changed": divergence.changed, "words_changed": float(errors.wer or 0.0),
        "utterances": float(len(speech)), "words": float(errors.words.sum()), "speakers": float(len(set(speech.speakers))),
    }  # fmt: skip


def _notes(dev: Acceptance, test: Acceptance | None, *, placed: bool) -> list[str]:
    notes = []
    hint = (
        ""
        if placed
        else "; the original's weights are in their best placement, the result's are not placed: add `place`"
    )
    for acceptance in (dev, test):
        if acceptance is None:
            continue
        if acceptance.cannot_show:
            notes.append(f"The limit cannot be judged on {acceptance.on}: {acceptance.cannot_show}.")
        elif acceptance.wer_increase > acceptance.limit:
            notes.append(
                f"The limit is not met on {acceptance.on}: WER rises by {100 * acceptance.wer_increase:.2f} points; "
                "this is the best found."
            )
        elif not acceptance.non_inferior:
            notes.append(
                f"{acceptance.utterances} utterances of {acceptance.on} cannot prove the limit: the one-sided 95 % bound is "
                f"{100 * acceptance.wer_increase_upper95:+.2f} points. More speech narrows it; `require_proof` takes steps back."
            )
        notes += [
            f"The limit is not met on {part.on}: WER rises by {100 * part.wer_increase:.2f} points, its limit is "
            f"{100 * part.limit:g}."
            for part in acceptance.parts
            if part.wer_increase > part.limit
        ]
        if acceptance.after.rtf_cpu > acceptance.before.rtf_cpu * 1.02:
            notes.append(
                f"Slower on {acceptance.on}: RTF {acceptance.before.rtf_cpu:.4f} → {acceptance.after.rtf_cpu:.4f}."
            )
        before, after = acceptance.before.energy_mj_per_audio_s, acceptance.after.energy_mj_per_audio_s
        if after > before * (1 + NOTHING):
            notes.append(
                f"It costs more energy on {acceptance.on}: {before:.4f} → {after:.4f} mJ per second of audio{hint}."
            )
    before, after = dev.before.size_bytes, dev.after.size_bytes
    if after > before * LARGER:
        notes.append(f"It is larger: {before / 1e6:.2f} → {after / 1e6:.2f} MB.")
    return notes


def _machine() -> dict[str, Any]:
    from wattscribe.metering.machine import describe

    return dict(describe())


__all__ = ["Options", "compress_model", "finish", "make_bench"]
