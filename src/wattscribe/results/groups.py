"""Trials of one recognizer on one corpus under one condition, their repeats put together and scored."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wattscribe.models.names import STORED
from wattscribe.records import (
    Condition,
    Heard,
    PowerMode,
    RecognizerSpec,
    Rejected,
    RunFacts,
    Trial,
    TrialFacts,
    UtteranceResult,
    to_json,
)
from wattscribe.scoring import ErrorCounts, RateInterval, count_errors, mean_counts, wer_interval

PRECISIONS = ("float32", "fp32", "bfloat16", "bf16", "float16", "fp16", "int8_float32", "int8_float16", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one group transcribed, utterance by utterance; parallel sequences in the order of the corpus."""

    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    references: tuple[str, ...]
    hypotheses: tuple[str, ...]
    """Of the first repeat; an utterance without an answer counts as an empty hypothesis: all its words are deleted."""
    failed: int
    """Utterances without an answer in at least one repeat."""
    counts: ErrorCounts
    interval: RateInterval


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """recognizer × corpus × condition × power mode with all its repeats; `scored` is None when no trial of it was finished."""

    recognizer: RecognizerSpec
    model_label: str
    """`runtime:model`, only as long as the run's recognizers need to be told apart."""
    corpus: str
    condition: Condition
    trials: tuple[TrialFacts, ...]
    scored: Scored | None
    speech: Heard | None
    """The prepared speech; None: not recorded."""
    rejected: tuple[Rejected, ...]
    """Inputs of the corpus that were left out under this condition."""
    mode: PowerMode | None = None
    whole: Scored | None = None
    """The same utterances transcribed as whole files, where they were streamed in real time."""

    @property
    def done(self) -> tuple[TrialFacts, ...]:
        """Finished trials: only these are counted, because half a trial cannot be compared with a whole one."""
        return tuple(trial for trial in self.trials if trial.status == "done")

    @property
    def label(self) -> str:
        """`runtime:model precision`, short enough for a figure; a model that comes in one precision only goes without."""
        precision = self.recognizer.precision
        return self.model_label if precision == STORED else f"{self.model_label} {precision}"

    @property
    def mode_name(self) -> str | None:
        return None if self.mode is None else self.mode.name


def short_model(name: str, parts: int = 1) -> str:
    """`sherpa:/a/b/zipformer` → `sherpa:zipformer`; hub names keep their owner out. `parts`: of the path, from its end."""
    runtime, _, model = name.partition(":")
    return f"{runtime}:{'/'.join(model.rstrip('/').split('/')[-parts:])}" if model else name


def settings_of(mode: PowerMode) -> dict[str, str]:
    """All that a power mode sets, by name; programs as they were written."""
    command = {} if mode.command is None else {"command": shlex.join(mode.command.set)}
    threads = {} if mode.threads is None else {"threads": str(mode.threads)}
    return {**mode.settings, **command, **threads}


def settings_text(device: str, threads: int, batch_size: int, options: Mapping[str, str]) -> str:
    """What is not as usual, after `cpu, 1 thread, batch 1`: `4 threads, beam=8`; empty where all is."""
    parts = [] if device == "cpu" else [device]
    parts += [f"{threads} threads"] if threads != 1 else []
    parts += [f"batch {batch_size}"] if batch_size != 1 else []
    return ", ".join([*parts, *(f"{key}={value}" for key, value in options.items())])


def model_labels(trials: Sequence[Trial]) -> list[str]:
    """Each model's shortest name in this run; with its settings where nothing else tells two recognizers apart, and with the
    power mode where there is one."""
    specs = [trial.recognizer for trial in trials]
    names = {spec.name for spec in specs}
    short = [_shortest(spec.name, names) for spec in specs]
    modes = ["" if trial.mode is None else trial.mode.name for trial in trials]
    shown = [(label, spec.precision, mode) for label, spec, mode in zip(short, specs, modes, strict=True)]
    settings = [settings_text(spec.device, spec.threads, spec.batch_size, spec.options) for spec in specs]
    apart = {
        label: len({setting for other, setting in zip(shown, settings, strict=True) if other == label}) > 1
        for label in set(shown)
    }
    labels = []
    for label, setting in zip(shown, settings, strict=True):
        parts = [setting if apart[label] else "", label[2]]
        told = ", ".join(part for part in parts if part)
        labels.append(f"{label[0]} ({told})" if told else label[0])
    return labels


def _shortest(name: str, names: Iterable[str]) -> str:
    """The shortest tail of a model's path that no other name ends in; the whole name where there is none."""
    others = [other for other in names if other != name]
    tails = (short_model(name, parts) for parts in range(1, name.count("/") + 2))
    return next(
        (tail for parts, tail in enumerate(tails, 1) if all(short_model(other, parts) != tail for other in others)),
        name,
    )


class CorpusName(str):
    """A corpus's name as the user wrote it, with what it is called among the others of its run."""

    label: str


def short_corpus(name: str) -> str:
    """The last two parts of a path: `librispeech-noisy/dev-clean`; more where two corpora of a run end in the same."""
    return name.label if isinstance(name, CorpusName) else _corpus_tail(name, 2)


def _corpus_tail(name: str, parts: int) -> str:
    return name if name.startswith("hub:") else "/".join(name.rstrip("/").split("/")[-parts:])


def _corpus_names(names: Iterable[str]) -> dict[str, CorpusName]:
    """Each corpus with the shortest tail of its path that no other corpus of the run has."""
    by_name: dict[str, CorpusName] = {}
    all_names = set(names)
    for name in all_names:
        tails = (_corpus_tail(name, parts) for parts in range(2, name.count("/") + 2))
        others = all_names - {name}
        by_name[name] = CorpusName(name)
        by_name[name].label = next(
            (
                tail
                for parts, tail in enumerate(tails, 2)
                if all(_corpus_tail(other, parts) != tail for other in others)
            ),
            name,
        )
    return by_name


def group(facts: RunFacts, *, normaliser: str = "whisper", resamples: int = 1000) -> tuple[Group, ...]:
    """All groups of a run, as the experiment lists them; the plan itself is shuffled."""
    by_key: dict[str, list[TrialFacts]] = {}
    for trial_facts in facts.trials:
        trial = trial_facts.trial
        what = (trial.recognizer, trial.corpus, trial.condition, trial.mode)
        key = json.dumps(to_json(what), sort_keys=True)
        by_key.setdefault(key, []).append(trial_facts)
    labels = model_labels([trials[0].trial for trials in by_key.values()])
    corpora = _corpus_names(trials[0].trial.corpus for trials in by_key.values())
    groups = [
        _group(trials, label, corpora[trials[0].trial.corpus], facts, normaliser, resamples)
        for trials, label in zip(by_key.values(), labels, strict=True)
    ]
    return tuple(sorted(groups, key=lambda row_group: _order(row_group, facts)))


def _order(row_group: Group, facts: RunFacts) -> tuple[object, ...]:
    """Corpora and models as the experiment lists them, precisions from wide to narrow, clean first, then growing noise."""
    models = [entry.get("model", "") if isinstance(entry, dict) else entry for entry in _listed(facts, "models")]
    corpora = _listed(facts, "data")
    modes = [mode.get("name", "") for mode in _listed(facts, "modes") if isinstance(mode, dict)]
    spec, condition = row_group.recognizer, row_group.condition
    return (
        _place([str(name).partition("?")[0] for name in models], spec.name),
        spec.name,
        PRECISIONS.index(spec.precision) if spec.precision in PRECISIONS else len(PRECISIONS),
        spec.precision,
        spec.device,
        spec.threads,
        spec.batch_size,
        sorted(spec.options.items()),
        _place(modes, row_group.mode_name or ""),
        _place(corpora, row_group.corpus),
        row_group.corpus,
        (condition.longform_s or 0.0, condition.rir or "", condition.noise or ""),
        -(condition.snr_db if condition.snr_db is not None else 0.0),
    )


def _listed(facts: RunFacts, key: str) -> list[object]:
    value = facts.experiment.get(key)
    return list(value) if isinstance(value, (list, tuple)) else []


def _place(names: Sequence[object], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _group(
    trials: Sequence[TrialFacts],
    label: str,
    corpus: CorpusName,
    facts: RunFacts,
    normaliser: str,
    resamples: int,
) -> Group:
    first = trials[0].trial
    done = [trial for trial in trials if trial.status == "done"]
    where = (first.corpus, first.condition.name)
    whole = [answers for trial in done if (answers := _whole_files(trial)) is not None]
    return Group(
        recognizer=first.recognizer,
        model_label=label,
        corpus=corpus,
        condition=first.condition,
        trials=tuple(trials),
        scored=score([trial.utterances for trial in done], normaliser, resamples, facts.seed) if done else None,
        speech=next((heard for heard in facts.heard if (heard.corpus, heard.condition) == where), None),
        rejected=tuple(entry for entry in facts.rejected if _left_out(entry, *where)),
        mode=first.mode,
        whole=score(whole, normaliser, resamples, facts.seed) if whole else None,
    )


def _whole_files(trial: TrialFacts) -> tuple[UtteranceResult, ...] | None:
    """Its utterances with the text of the whole files; None where it has none."""
    texts = trial.whole_texts
    return None if texts is None else tuple(replace(u, hypothesis=texts.get(u.id)) for u in trial.utterances)


def _left_out(entry: Rejected, corpus: str, condition: str) -> bool:
    return entry.corpus == corpus and entry.condition in (None, condition)


def rejected_under(groups: Sequence[Group], rejected: Sequence[Rejected]) -> list[tuple[Rejected, str]]:
    """Each input that was left out, and under which conditions; empty: under every one."""
    conditions: dict[str, dict[str, None]] = {}
    for row_group in groups:
        conditions.setdefault(row_group.corpus, {})[row_group.condition.name] = None
    under: dict[Rejected, set[str | None]] = {}
    for lost in rejected:
        under.setdefault(replace(lost, condition=None), set()).add(lost.condition)
    entries = []
    for entry, those in under.items():
        there = conditions.get(entry.corpus, {})
        names = [name for name in there if those & {None, name}]
        entries.append((entry, "" if len(names) == len(there) else ", ".join(names)))
    return entries


def score(
    repeats: Sequence[Sequence[UtteranceResult]], normaliser: str = "whisper", resamples: int = 1000, seed: int = 0
) -> Scored:
    """Score every distinct utterance once; where repeats differ in their transcripts, their errors are averaged."""
    known = {result.id: result for result in _reversed_chain(repeats)}
    ids = tuple(dict.fromkeys(result.id for results in repeats for result in results))
    references = tuple(known[utterance_id].reference for utterance_id in ids)
    answers = [_hypotheses(results, ids, known) for results in repeats]
    distinct = {texts: count_errors(references, texts, rule=normaliser) for texts in dict.fromkeys(answers)}
    counts = mean_counts([distinct[texts] for texts in answers])
    speakers = tuple(known[utterance_id].speaker for utterance_id in ids)
    return Scored(
        ids=ids,
        speakers=speakers,
        references=references,
        hypotheses=answers[0] if answers else (),
        failed=len({result.id for results in repeats for result in results if result.hypothesis is None}),
        counts=counts,
        interval=wer_interval(counts, speakers, resamples=resamples, seed=seed),
    )


def _reversed_chain(repeats: Sequence[Sequence[UtteranceResult]]) -> Iterable[UtteranceResult]:
    """So that a dictionary built from it keeps each utterance's earliest answer."""
    return (result for results in reversed(repeats) for result in results)


def _hypotheses(
    results: Sequence[UtteranceResult], ids: Sequence[str], known: dict[str, UtteranceResult]
) -> tuple[str, ...]:
    here = {result.id: result for result in results}
    return tuple(here.get(utterance_id, known[utterance_id]).hypothesis or "" for utterance_id in ids)


def on_common_utterances(one: Scored, other: Scored) -> tuple[ErrorCounts, ErrorCounts, tuple[str, ...]] | None:
    """Both counts restricted to the utterances that both transcribed with one reference, and their speakers; None: no such."""
    if one.ids == other.ids and one.references == other.references:
        return one.counts, other.counts, one.speakers
    where = {key: index for index, key in enumerate(zip(other.ids, other.references, strict=True))}
    pairs = [(index, where[key]) for index, key in enumerate(zip(one.ids, one.references, strict=True)) if key in where]
    if not pairs:
        return None
    mine, theirs = [list(side) for side in zip(*pairs, strict=True)]
    return take(one.counts, mine), take(other.counts, theirs), tuple(one.speakers[index] for index in mine)


def take(counts: ErrorCounts, indices: Sequence[int]) -> ErrorCounts:
    """The counts of some utterances."""
    rows = np.asarray(indices, dtype=np.int64)
    return replace(
        counts,
        substitutions=counts.substitutions[rows],
        deletions=counts.deletions[rows],
        insertions=counts.insertions[rows],
        words=counts.words[rows],
        character_errors=counts.character_errors[rows],
        characters=counts.characters[rows],
        alignments=tuple(counts.alignments[index] for index in indices),
    )
