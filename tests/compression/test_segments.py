"""Several segments in one call: the same text to the letter, weights read once for all of them, a latency that is stated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.compression import builders
from tests.documents import described
from tests.known import known
from wattscribe.compression import outcome
from wattscribe.compression.acceptance import latency
from wattscribe.compression.candidate import Candidate, read_candidate
from wattscribe.compression.levers import apply
from wattscribe.compression.lift import lifted
from wattscribe.compression.opened import OpenedTransducer, transcribe_stream
from wattscribe.compression.run import Options, compress_model
from wattscribe.compression.speech import read_speech
from wattscribe.compression.step import Step
from wattscribe.energy.files import of_directory
from wattscribe.errors import InputError
from wattscribe.models import REFERENCE
from wattscribe.pages.compress_page import html
from wattscribe.streaming import open_transducer


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> builders.Parts:
    return builders.bench_parts(tmp_path_factory.mktemp("toy"))


def join(parts: builders.Parts, count: int, candidate: Candidate | None = None) -> Candidate:
    step = Step(lever="segments", component="encoder", options={"count": count})
    return apply(candidate or parts[0], step, parts[1])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_length_of_audio_gives_the_same_text(parts: builders.Parts, count: int) -> None:
    joined = join(parts, count)
    with parts[0].directory() as left, joined.directory() as right:
        before, after = open_transducer(left), open_transducer(right)
        assert after.encoder.layout.shift_frames == count * before.encoder.layout.shift_frames
        said = 0
        for number in range(24):
            audio = builders.sound(number, 0.05 + 0.083 * number)
            first, second = transcribe_stream(before, audio), transcribe_stream(after, audio)
            one, many = known(first.counts), known(second.counts)
            assert (first.text, one.frames) == (second.text, many.frames)
            assert many.encoder_calls == -(-one.encoder_calls // count)
            said += len(first.text.split())
        assert said > 20, "the toy must speak"


def test_weights_are_read_once_a_call(parts: builders.Parts) -> None:
    joined = join(parts, 4)
    with parts[0].directory() as one, joined.directory() as other:
        before, after = (of_directory(folder).component("encoder") for folder in (one, other))
    read = {each.name: each.call_bytes for each in before.weights}
    for weight in after.weights:
        if weight.name in ("W1", "W2", "proj", "kernel"):
            assert weight.call_bytes == read[weight.name]
    assert after.total_macs == 4 * before.total_macs
    assert after.state_bytes == before.state_bytes


def test_int8_after_joining_finds_its_calibration(parts: builders.Parts) -> None:
    step = Step(lever="int8", component="encoder")
    joined = apply(join(parts, 2), step, parts[1])
    alone = apply(parts[0], step, parts[1])
    codes = [
        {each.name: each.raw_data for each in candidate.model("encoder").graph.initializer if "quantized" in each.name}
        for candidate in (joined, alone)
    ]
    assert codes[0] == codes[1] != {}


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_are_refused(parts: builders.Parts, count: int) -> None:
    with pytest.raises(InputError, match="cannot be joined"):
        join(parts, count)


def test_joining_twice_is_refused(parts: builders.Parts) -> None:
    with pytest.raises(InputError, match="joined already"):
        join(parts, 2, join(parts, 2))


def test_longer_calls_stand_beside_the_result_at_its_own_latency(tmp_path: Path) -> None:
    model = builders.build(tmp_path / "model")
    dev = builders.corpus(tmp_path / "dev", model, count=4)
    options = Options(
        data=(str(dev),), max_wer_increase_points=50.0, calibration_s=4.0, probe_s=2.0, max_latency_ms=245.0
    )
    asked = replace(options, strategy="uniform")
    found = compress_model(model, tmp_path / "out", asked, say=lambda _: None, page=html)
    assert found.longer is not None
    assert (found.result.segments, found.longer.result.segments) == (1, 3)
    assert open_transducer(tmp_path / "out").encoder.layout.segments_per_call == 1
    assert open_transducer(tmp_path / "out-240ms").encoder.layout.segments_per_call == 3
    waits = [each.dev.after.latency for each in (found, found.longer)]
    assert [round(known(each.call_s), 3) for each in waits] == [0.08, 0.24]
    assert found.dev.before.latency.call_s == waits[0].call_s
    kept = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    described("compress", kept)
    assert kept["longer_calls"]["token_delay_mean_after_s"] == waits[1].token_delay_mean_s
    assert kept["energy_after_mj_per_audio_s"] > kept["longer_calls"]["energy_after_mj_per_audio_s"]
    said = "\n".join(outcome.lines(found))
    assert "at equal latency" in said
    assert "calls of 240 instead of 80 ms" in said
    assert "longer calls" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    again = replace(options, recipe=tmp_path / "out-240ms" / "recipe.toml", max_latency_ms=None)
    with pytest.raises(InputError, match="calls of 3 segments, later than the model as it is"):
        compress_model(model, tmp_path / "again", again, say=lambda _: None)
    both = compress_model(model, tmp_path / "again", replace(again, max_latency_ms=245.0), say=lambda _: None)
    assert both.longer is not None
    assert both.result.digest == found.result.digest
    assert both.longer.result.digest == found.longer.result.digest


def test_the_latency_of_the_model_as_given_is_kept(tmp_path: Path) -> None:
    model = builders.build(tmp_path / "model")
    dev = builders.corpus(tmp_path / "dev", model, count=4)
    options = Options(
        data=(str(dev),), max_wer_increase_points=50.0, calibration_s=4.0, probe_s=2.0, strategy="uniform"
    )
    found = compress_model(model, tmp_path / "out", options, say=lambda _: None)
    assert found.longer is None
    assert found.dev.after.latency.call_s == found.dev.before.latency.call_s


def test_a_token_waits_half_a_call_longer() -> None:
    stored = read_candidate(REFERENCE, "int8")
    joined = builders.uncalibrated(stored, Step(lever="segments", component="encoder", options={"count": 4}))
    speech = read_speech(["bundled"], limit=6)
    models = []
    for candidate in (stored, joined):
        with candidate.directory() as folder:
            models.append(open_transducer(folder))
    own, longer = latency([OpenedTransducer(each) for each in models], speech)
    mean_s, p90_s = known(own.token_delay_mean_s), known(own.token_delay_p90_s)
    assert known(longer.token_delay_mean_s) - mean_s == pytest.approx((1.28 - 0.32) / 2, abs=0.2)
    assert known(longer.token_delay_p90_s) > p90_s + 0.4
    assert known(longer.first_partial_s) > known(own.first_partial_s)
    assert 0 < mean_s < p90_s < 1


def test_the_shipped_model_bit_for_bit() -> None:
    stored = lifted(read_candidate(REFERENCE))
    joined = builders.uncalibrated(stored, Step(lever="segments", component="encoder", options={"count": 2}))
    rng = np.random.default_rng(0)
    audio = (rng.standard_normal(3 * 16_000) * 0.1).astype(np.float32)
    frames = []
    for candidate in (stored, joined):
        with candidate.directory() as folder:
            stream = open_transducer(folder).stream()
            stream.buffer(audio)
            stream.close()
            heard = []
            while stream.ready():
                stream.fill()
                heard.append(stream.encode().copy())
            frames.append(np.concatenate(heard))
    assert np.array_equal(frames[0], frames[1])
