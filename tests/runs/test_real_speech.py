"""The main job on real recordings, where they are at hand: `../shared/data`, or WATTSCRIBE_SHARED."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shared import DATA
from wattscribe import api
from wattscribe.energy.workload import Workload
from wattscribe.results import rows

SPEECH = DATA / "librispeech/dev-clean"
MODEL = DATA / "models/zipformer-gigaspeech-3.3m"

pytestmark = pytest.mark.data


def test_a_transducer_brings_its_workload_and_counts(tmp_path: Path) -> None:
    """What the energy model rests on lands in the journal: bytes per invocation, and invocations per utterance."""
    experiment = {"models": [f"onnx:{MODEL}"], "data": [str(SPEECH)], "limit": 2, "latency": True}
    (trial,) = api.bench(experiment, tmp_path / "r").trials
    assert trial.status == "done", trial.reason
    assert trial.workload is not None
    assert {"encoder", "predictor", "joiner"} <= {part.name for part in Workload.from_json(trial.workload).components}
    for each in trial.utterances:
        assert each.counts is not None
        assert each.counts.encoder_calls > 0
        assert each.counts.tokens > 0
        assert each.latency is not None
        assert each.latency.first_partial_s is not None
        assert each.latency.first_partial_s > 0
    assert trial.audit is not None
    assert trial.audit.weight_bytes["int8"] > 1e6


def test_noise_costs_words(tmp_path: Path) -> None:
    """Ten utterances, quiet and in real rain at 0 dB: the same utterances, and far more errors."""
    pytest.importorskip("sherpa_onnx")
    experiment = {
        "models": [f"sherpa:{MODEL}"],
        "data": [str(SPEECH)],
        "noise": [str(DATA / "noise/rain")],
        "snr": [0],
        "limit": 10,
    }
    found = {row["condition"]: row for row in rows(api.bench(experiment, tmp_path / "r"))}
    assert found["clean"]["words"] == found["rain@0dB"]["words"]
    assert found["clean"]["wer"] < 0.25
    assert found["rain@0dB"]["wer"] > found["clean"]["wer"] + 0.2
