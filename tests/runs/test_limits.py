"""Limits grow with the audio and name their option; what is heard one at a time is timed one at a time."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.runs.conftest import write_corpus, write_speech
from wattscribe.journal import read_run
from wattscribe.pages.formats import to_json, to_markdown, write
from wattscribe.records import RunFacts, TrialFacts, Utterance
from wattscribe.runs.attempt import Limits
from wattscribe.runs.experiment import Experiment, check
from wattscribe.runs.runner import run
from wattscribe.runs.spool import Piece

Make = Callable[..., Experiment]


def measure(experiment: Experiment, out: Path) -> RunFacts:
    return read_run(run(experiment, out, meters=[]))


def piece(audio_s: float) -> Piece:
    utterance = Utterance(id="u", speaker="s", reference="x", source="u.wav")
    return Piece(utterance=utterance, offset_bytes=0, samples=round(audio_s * 16000))


@pytest.mark.parametrize(
    ("audio_s", "limit_s"),
    [((5.0,), 120.0), ((30.0,), 120.0), ((300.0,), 1200.0), ((5.0, 5.0), 240.0), ((5.0, 300.0), 1320.0)],
)
def test_a_limit_is_stated_for_half_a_minute_of_audio(audio_s: tuple[float, ...], limit_s: float) -> None:
    limits = Limits(load_s=600.0, utterance_s=120.0, memory_bytes=None, warmup=1)
    assert limits.transcribing_s(map(piece, audio_s)) == pytest.approx(limit_s)


def test_a_long_recording_gets_its_time(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "c", utterances=1)
    write_speech(folder / "u0.wav", 60.0, 0)
    keys = {"models": ["fake:slow?latency=0.07&text=x"], "data": [str(folder)], "timeout_s": 3.0, "warmup": 0}
    (trial,) = measure(check(keys), tmp_path / "r").trials
    assert trial.status == "done", trial.reason
    assert trial.utterances[0].end_s - trial.utterances[0].start_s > 3.0


def test_a_reason_names_the_option_that_set_the_limit(experiment: Make, tmp_path: Path) -> None:
    keys = {"timeout_s": 0.5, "load_timeout_s": 3.0, "models": ["fake:a?hang_at=2&text=x", "fake:b?load_s=60"]}
    hung, slow = sorted(
        measure(experiment(**keys), tmp_path / "r").trials, key=lambda each: each.trial.recognizer.model
    )
    assert (
        "no answer for 0.5 s while transcribing u1 (0.35 s of audio): killed. Where it needs longer, raise --timeout"
        in str(hung.reason)
    )
    assert "while loading: killed. Where it needs longer, raise --load-timeout (load_timeout_s)" in str(slow.reason)


def distinct(trial: TrialFacts) -> bool:
    """Each utterance has an interval of its own, one after the other."""
    times = [time_s for each in trial.utterances for time_s in (each.start_s, each.end_s)]
    starts = [each.start_s for each in trial.utterances]
    return times == sorted(times) and len(set(starts)) == len(starts)


@pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="needs wattscribe[pocketsphinx]")
def test_a_recognizer_that_hears_one_at_a_time_is_timed_so(experiment: Make, tmp_path: Path) -> None:
    (trial,) = measure(experiment(models=["pocketsphinx:en-us"], batch_size=4), tmp_path / "r").trials
    assert trial.status == "done", trial.reason
    assert distinct(trial)
    assert trial.surroundings is not None
    assert trial.surroundings["batch_size"] == 1


def test_streams_are_timed_one_at_a_time(experiment: Make, tmp_path: Path) -> None:
    streamed, batched = (
        measure(experiment(models=["fake:a?text=x"], batch_size=3, latency=True), tmp_path / "s").trials
        + measure(experiment(models=["fake:a?text=x"], batch_size=3), tmp_path / "b").trials
    )
    assert distinct(streamed)
    assert not distinct(batched)
    assert batched.surroundings is not None
    assert batched.surroundings["batch_size"] == 3


def test_a_recording_without_a_sample_is_left_out(tmp_path: Path) -> None:
    """One sample at 192 kHz is none at 16 kHz; a transducer's counted run would have no rates for it."""
    folder = write_corpus(tmp_path / "c", utterances=2)
    soundfile.write(folder / "u0.wav", np.array([0.1], np.float32), 192000)
    facts = measure(check({"models": ["onnx:reference"], "precision": ["int8"], "data": [str(folder)]}), tmp_path / "r")
    assert [each.id for each in facts.trials[0].utterances] == ["u1"]
    assert [(each.id, "0 samples" in each.reason) for each in facts.rejected] == [("u0", True)]
    assert '"rtf"' in to_json(facts)
    assert "u0" in to_markdown(facts)
    write(facts, "html", tmp_path / "page.html")
