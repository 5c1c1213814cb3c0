"""No row of a journal, however odd, costs the reader the others: every format is written, and runs are compared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run
from wattscribe import pages, results
from wattscribe.energy.files import of_directory
from wattscribe.errors import InputError
from wattscribe.models import REFERENCE
from wattscribe.pages import formats
from wattscribe.pages.compare_words import in_words
from wattscribe.records import Counts, RunFacts, StreamingLatency, TrialFacts, Window
from wattscribe.results.compare import compare

Change = Callable[[TrialFacts], TrialFacts]
COUNTS = Counts(
    encoder_calls=9,
    encoder_rows=9,
    joiner_calls=9,
    joiner_rows=9,
    predictor_calls=3,
    predictor_rows=3,
    blanks=8,
    tokens=1,
)
LATENCY = StreamingLatency(
    first_partial_s=None,
    emission_delay_p50_s=None,
    emission_delay_p99_s=None,
    segment_compute_p50_s=None,
    segment_compute_p99_s=None,
    finalisation_s=0.0,
    partials=0,
    partials_revised=0,
)


def each(**changes: object) -> Change:
    """Every utterance changed."""
    return lambda trial: replace(trial, utterances=tuple(replace(u, **changes) for u in trial.utterances))  # type: ignore[arg-type]


def first(**changes: object) -> Change:
    """The first utterance changed."""
    return lambda trial: replace(trial, utterances=(replace(trial.utterances[0], **changes), *trial.utterances[1:]))  # type: ignore[arg-type]


def counted(change: Change) -> Change:
    """As a transducer's trial without a sensor, whose joules are modelled from its counts."""
    workload = of_directory(REFERENCE, precision="int8").to_json()

    def changed(trial: TrialFacts) -> TrialFacts:
        return replace(change(each(counts=COUNTS, latency=LATENCY)(trial)), workload=workload, traces=())

    return changed


def bare(trial: TrialFacts) -> TrialFacts:
    return replace(
        trial,
        window=None,
        cpu_s=None,
        load_s=None,
        audit=None,
        traces=(),
        utterances=(),
        idle_before=None,
        idle_after=None,
    )


ODD: dict[str, Change] = {
    "one utterance of zero length": first(audio_s=0.0),
    "all of zero length": each(audio_s=0.0),
    "counted, one of zero length": counted(first(audio_s=0.0)),
    "counted, all of zero length": counted(each(audio_s=0.0)),
    "counted, nothing counted": counted(each(counts=Counts())),
    "no utterances": lambda trial: replace(trial, utterances=()),
    "no answer": each(hypothesis=None, error="it broke"),
    "empty references": each(reference=""),
    "empty answers": each(hypothesis=""),
    "empty everything": each(reference="", hypothesis="", speaker="", audio_s=0.0, cpu_s=None),
    "no time passed": lambda trial: each(start_s=5.0, end_s=5.0)(replace(trial, window=Window(start_s=5.0, end_s=5.0))),
    "no figures": lambda trial: replace(trial, cpu_s=0.0, load_s=0.0, peak_memory_bytes=0, traces=()),
    "nothing at all": bare,
    "failed before anything": lambda trial: replace(bare(trial), status="failed", reason="it broke"),
}


def run_with(change: Change | None, which: int = 0) -> RunFacts:
    facts = made_up_run(
        models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN, NOISY[0]), shape=Shape(utterances=6, speakers=3)
    )
    trials = [
        change(trial) if change and (number == which or which < 0) else trial
        for number, trial in enumerate(facts.trials)
    ]
    return replace(facts, trials=tuple(trials))


@pytest.mark.parametrize("which", [0, -1], ids=["one trial", "all trials"])
@pytest.mark.parametrize("name", ODD)
def test_every_format_is_written_and_runs_are_compared(name: str, which: int, tmp_path: Path) -> None:
    facts = run_with(ODD[name], which)
    rows = results.rows(facts)
    assert len(rows) == 4
    if which == 0:
        plain = results.rows(run_with(None))
        assert [row["wer"] for row in rows[1:]] == [row["wer"] for row in plain[1:]], "the other rows are as they were"
    pages.to_json(facts)
    formats.write(facts, "csv", None)
    pages.to_markdown(facts)
    formats.write(facts, "html", tmp_path / "page.html")
    for base, new in ((run_with(None), facts), (facts, run_with(None)), (facts, facts)):
        with contextlib.suppress(InputError):  # nothing to compare is said, not raised from within
            assert in_words(compare(base, new))
