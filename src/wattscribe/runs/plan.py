"""From an experiment to its trials: every combination once per repeat, interleaved, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from wattscribe.errors import InputError
from wattscribe.recognizers import parse_model
from wattscribe.recognizers.naming import options_of
from wattscribe.records import Part, PowerMode, RecognizerSpec, Trial, to_json
from wattscribe.runs.experiment import Experiment, ModelEntry

ID_LENGTH = 16


def plan(experiment: Experiment) -> list[Trial]:
    """The trials in the order in which they run: repeat by repeat, shuffled within each, one power mode after the other.

    So the repeats of one combination lie far apart, and slow drift (heat, other load) falls on all combinations alike.
    The order depends on the seed and the trials' content alone. Raises InputError for a recognizer that cannot be.
    """
    combinations = in_modes(experiment)
    trials = [
        trial_of(
            Trial(
                id="",
                recognizer=spec,
                corpus=corpus,
                condition=condition,
                repeat=repeat,
                utterance_timeout_s=experiment.timeout_s,
                streaming_latency=experiment.latency,
                limit=experiment.limit,
                mode=mode,
                duty=experiment.duty if experiment.pace == "realtime" else None,
                part=part,
            )
        )
        for repeat in range(experiment.repeats)
        for spec, mode in combinations
        for corpus in dict.fromkeys(experiment.data)
        for condition in experiment.all_conditions()
        for part in _parts(experiment)
    ]

    def place(trial: Trial) -> tuple[int, str, str]:
        """Within a repeat the trials of one power mode together: to change it takes time and heat."""
        mode = "" if trial.mode is None else _lot(experiment.seed, trial.mode.name)
        return trial.repeat, mode, _lot(experiment.seed, trial.id)

    return sorted(trials, key=place)


def _parts(experiment: Experiment) -> list[Part | None]:
    """Of each corpus: all of it, the part that is asked for, or every shard of either."""
    part, count = None if experiment.part is None else experiment.part.part(), experiment.shards
    if count == 1:
        return [part]
    whole = Part(of=count, taken=tuple(range(count))) if part is None else part
    return [Part(of=whole.of, taken=whole.taken[index::count]) for index in range(count)]


def in_modes(experiment: Experiment) -> list[tuple[RecognizerSpec, PowerMode | None]]:
    """Every recognizer in every power mode; a mode that sets threads sets the recognizer's."""
    modes: list[PowerMode | None] = [entry.mode() for entry in experiment.modes]
    return [
        (spec if mode is None or mode.threads is None else replace(spec, threads=mode.threads), mode)
        for spec in recognizers(experiment)
        for mode in modes or [None]
    ]


def recognizers(experiment: Experiment) -> list[RecognizerSpec]:
    """Every model at every precision asked of it; said twice, it is an error."""
    specs: list[RecognizerSpec] = []
    for model in experiment.models:
        entry = model if isinstance(model, ModelEntry) else ModelEntry(model=model)
        asked = experiment.precision if entry.precision is None else entry.precision
        precisions: list[str | None] = [*asked] or [None]
        for precision in precisions:
            spec = parse_model(
                entry.model,
                precision=precision,
                device=entry.device or experiment.device,
                threads=entry.threads or experiment.threads,
                batch_size=entry.batch_size or experiment.batch_size,
                options={**_shared(experiment, entry.model), **entry.options},
            )
            if spec in specs:
                raise InputError(f"the model is named twice at precision {spec.precision}", where=spec.name)
            specs.append(spec)
    return specs


def _shared(experiment: Experiment, model: str) -> dict[str, str]:
    """Options of the whole experiment that this model's runtime has; one that none has is left for it to refuse."""
    lacking = lacked(experiment)
    return {name: value for name, value in experiment.options.items() if model not in lacking.get(name, ())}


def lacked(experiment: Experiment) -> dict[str, list[str]]:
    """Options of the whole experiment that some of its models have, with those that lack them and run without."""
    models = list(dict.fromkeys(m.model if isinstance(m, ModelEntry) else m for m in experiment.models))
    known = {model: options_of(model) for model in models}
    lacking = {
        name: [model for model, options in known.items() if options is not None and name not in options]
        for name in experiment.options
    }
    return {name: without for name, without in lacking.items() if 0 < len(without) < len(models)}


def notes_of(experiment: Experiment) -> list[str]:
    """What whoever began it should know: which options do not hold for which models."""
    return [
        f"option {name}={experiment.options[name]} is left out where there is none: {', '.join(models)}"
        for name, models in lacked(experiment).items()
    ]


def trial_of(trial: Trial) -> Trial:
    """The trial with its id: a hash of everything else it says, so that the same job has the same name anywhere."""
    said = to_json(replace(trial, id=""))
    if trial.part is None:  # trials of a whole corpus keep the names that they had before there were parts
        del said["part"]
    return replace(trial, id=_digest(said))


def _lot(seed: int, trial_id: str) -> str:
    return _digest([seed, trial_id])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:ID_LENGTH]
