"""Several segments in one call: the same text to the letter, weights read once for all of them, a latency that is stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.compress import builders
from wattscribe.compress.candidate import Candidate, read_candidate
from wattscribe.compress.levers import apply
from wattscribe.compress.lift import lifted
from wattscribe.compress.measure import listen
from wattscribe.compress.recipe import Step
from wattscribe.compress.run import Options, compress_model
from wattscribe.energy.workload import of_directory
from wattscribe.errors import InputError
from wattscribe.models import REFERENCE
from wattscribe.streaming import open_transducer


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return builders.bench_parts(tmp_path_factory.mktemp("toy"))


def join(parts, count: int, candidate: Candidate | None = None) -> Candidate:
    step = Step(lever="segments", component="encoder", options={"count": count})
    return apply(candidate or parts[0], step, parts[1])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_length_of_audio_gives_the_same_text(parts, count):
    joined = join(parts, count)
    with parts[0].directory() as one, joined.directory() as other:
        before, after = open_transducer(one), open_transducer(other)
        assert after.encoder.layout.shift_frames == count * before.encoder.layout.shift_frames
        said = 0
        for number in range(24):
            audio = builders.sound(number, 0.05 + 0.083 * number)
            first, second = listen(before, audio), listen(after, audio)
            assert (first.text, first.counts.frames) == (second.text, second.counts.frames)
            assert second.counts.encoder_calls == -(-first.counts.encoder_calls // count)
            said += len(first.text.split())
        assert said > 20, "the toy must speak"


def test_weights_are_read_once_a_call(parts):
    joined = join(parts, 4)
    with parts[0].directory() as one, joined.directory() as other:
        before, after = (of_directory(folder).component("encoder") for folder in (one, other))
    read = {each.name: each.call_bytes for each in before.weights}
    for weight in after.weights:
        if weight.name in ("W1", "W2", "proj", "kernel"):
            assert weight.call_bytes == read[weight.name]
    assert after.total_macs == 4 * before.total_macs
    assert after.state_bytes == before.state_bytes


def test_int8_after_joining_finds_its_calibration(parts):
    step = Step(lever="int8", component="encoder")
    joined = apply(join(parts, 2), step, parts[1])
    alone = apply(parts[0], step, parts[1])
    codes = [
        {each.name: each.raw_data for each in candidate.model("encoder").graph.initializer if "quantized" in each.name}
        for candidate in (joined, alone)
    ]
    assert codes[0] == codes[1] != {}


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_are_refused(parts, count):
    with pytest.raises(InputError, match="cannot be joined"):
        join(parts, count)


def test_joining_twice_is_refused(parts):
    with pytest.raises(InputError, match="joined already"):
        join(parts, 2, join(parts, 2))


def test_the_latency_decides_how_many(tmp_path):
    model = builders.build(tmp_path / "model")
    dev = builders.corpus(tmp_path / "dev", model, count=4)
    options = Options(data=(str(dev),), max_wer_increase=50.0, calibration_s=4.0, probe_s=2.0, max_latency_ms=245.0)
    said: list[str] = []
    found = compress_model(model, tmp_path / "out", replace(options, strategy="uniform"), say=said.append)
    assert any("segments encoder count=3: kept" in line for line in said)
    assert found.result.segments == 3
    assert open_transducer(tmp_path / "out").encoder.layout.segments_per_call == 3


def test_the_shipped_model_bit_for_bit():
    stored = lifted(read_candidate(REFERENCE))
    joined = apply(stored, Step(lever="segments", component="encoder", options={"count": 2}), None)
    rng = np.random.default_rng(0)
    audio = (rng.standard_normal(3 * 16_000) * 0.1).astype(np.float32)
    frames = []
    for candidate in (stored, joined):
        with candidate.directory() as folder:
            stream = open_transducer(folder).stream()
            stream.hear(audio)
            stream.close()
            heard = []
            while stream.ready():
                stream.fill()
                heard.append(stream.encode().copy())
            frames.append(np.concatenate(heard))
    assert np.array_equal(*frames)
