"""Heard segment by segment, the encoder gives what it gives for the whole, whatever its shape and however audio arrives."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import kaldi_native_fbank
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.quick import first_states
from wattscribe.errors import InputError
from wattscribe.streaming.features import fbank_options
from wattscribe.training.config import (
    PRESETS,
    EncoderConfig,
    LayerConfig,
    TransducerConfig,
    config_from_json,
    config_to_json,
    preset,
)
from wattscribe.training.encoder import Encoder
from wattscribe.training.features import MELS, log_mels
from wattscribe.training.model import build

LAYERS = st.builds(
    LayerConfig, heads=st.sampled_from([1, 2, 4]), head_width=st.sampled_from([4, 6]),
    feed_forward=st.integers(5, 20), conv_kernel=st.sampled_from([0, 2, 3, 7]), conv_width=st.integers(3, 12),
)  # fmt: skip
SHAPES = st.builds(
    EncoderConfig, mels=st.just(80), time_stack=st.sampled_from([1, 2, 4, 8]), width=st.just(12),
    segment=st.integers(1, 9), left_context=st.integers(0, 11), right_context=st.integers(0, 5),
    layers=st.lists(LAYERS, min_size=1, max_size=3).map(tuple), dropout=st.just(0.0),
)  # fmt: skip


def build_encoder(shape: EncoderConfig, seed: int) -> Encoder:
    torch.manual_seed(seed)
    encoder = Encoder(shape).eval()
    encoder.set_statistics(torch.randn(80), torch.rand(80) + 0.5)
    return encoder


@torch.no_grad()
def in_segments(encoder: Encoder, mels: torch.Tensor) -> torch.Tensor:
    """All segments by `step`, the end padded as `forward` pads it."""
    shape = encoder.config
    segments = -(-mels.shape[1] // shape.segment_frames)
    wanted = segments * shape.segment_frames + shape.right_context * shape.time_stack
    padded = torch.cat([mels, mels[:, -1:].expand(-1, wanted - mels.shape[1], -1)], 1)
    states, frames = first_states(encoder, len(mels)), []
    for index in range(segments):
        start = index * shape.segment_frames
        heard = torch.full((len(mels),), start)
        out, states = encoder.step(padded[:, start : start + shape.window_frames], states, heard)
        frames.append(out)
    return torch.cat(frames, 1)


@settings(max_examples=60, deadline=None)
@given(shape=SHAPES, frames=st.integers(1, 150), streams=st.integers(1, 3), seed=st.integers(0, 999))
def test_segments_equal_the_whole(shape: Any, frames: Any, streams: Any, seed: int) -> None:
    encoder = build_encoder(shape, seed)
    mels = torch.randn(streams, frames, 80)
    with torch.no_grad():
        whole = encoder(mels)
    assert whole.shape[1] >= -(-frames // shape.time_stack)
    torch.testing.assert_close(in_segments(encoder, mels), whole, atol=2e-5, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    segment=st.sampled_from([1, 2, 4, 8, 16]),
    right=st.integers(0, 4),
    cuts=st.lists(st.integers(0, 20_000), max_size=12),
    seed=st.integers(0, 99),
)
def test_any_arrival_of_the_audio_gives_the_same(segment: Any, right: Any, cuts: Any, seed: int) -> None:
    """Samples in pieces of any size, also none → features as they become ready → segments as they fill."""
    layer = LayerConfig(heads=2, head_width=4, feed_forward=8, conv_kernel=3, conv_width=6)
    shape = EncoderConfig(width=8, time_stack=4, segment=segment, left_context=6, right_context=right,
                          layers=(layer, layer), dropout=0.0)  # fmt: skip
    encoder = build_encoder(shape, seed)
    samples = (np.random.default_rng(seed).standard_normal(20_000) * 0.1).astype(np.float32)
    features = kaldi_native_fbank.OnlineFbank(fbank_options(MELS))
    states, heard, answers = first_states(encoder), 0, []
    edges = [0, *sorted(cuts), len(samples)]
    with torch.no_grad():
        for start, end in itertools.pairwise(edges):
            features.accept_waveform(16_000, samples[start:end])
            while heard + shape.window_frames <= features.num_frames_ready:
                window = np.stack([features.get_frame(heard + i) for i in range(shape.window_frames)])
                out, states = encoder.step(torch.from_numpy(window)[None], states, torch.tensor([heard]))
                heard += shape.segment_frames
                answers.append(out)
        whole = encoder(torch.from_numpy(log_mels(samples))[None])
    if answers:
        streamed = torch.cat(answers, 1)
        torch.testing.assert_close(streamed, whole[:, : streamed.shape[1]], atol=2e-5, rtol=1e-4)
    assert heard + shape.window_frames > features.num_frames_ready


def test_nothing_beyond_the_right_context_is_heard() -> None:
    layer = LayerConfig(heads=2, head_width=4, feed_forward=8, conv_kernel=3, conv_width=6)
    shape = EncoderConfig(width=8, time_stack=2, segment=3, left_context=4, right_context=2, layers=(layer,) * 3)
    encoder = build_encoder(shape, 0)
    mels = torch.randn(1, 60, 80)
    later = mels.clone()
    later[:, 3 * shape.segment_frames + shape.window_frames :] += 1
    with torch.no_grad():
        before, after = encoder(mels), encoder(later)
    same = 4 * shape.segment
    torch.testing.assert_close(before[:, :same], after[:, :same])
    assert float((before[:, same:] - after[:, same:]).abs().max()) > 1e-3


def test_right_context_is_heard() -> None:
    shape = EncoderConfig(width=8, time_stack=2, segment=3, left_context=4, right_context=2,
                          layers=(LayerConfig(heads=2, head_width=4, feed_forward=8, conv_kernel=0),))  # fmt: skip
    encoder = build_encoder(shape, 0)
    mels = torch.randn(1, 60, 80)
    changed = mels.clone()
    changed[:, shape.segment_frames : shape.window_frames] += 1
    with torch.no_grad():
        assert float((encoder(mels) - encoder(changed))[:, : shape.segment].abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("reference", 5e6, 10e6), ("emformer-3m", 2.7e6, 3.3e6), ("emformer-10m", 9e6, 11e6),
     ("emformer-25m", 23e6, 27e6), ("emformer-rnnt-base", 74e6, 79e6)],
)  # fmt: skip
def test_presets_have_their_size(name: Any, low: Any, high: Any) -> None:
    with torch.device("meta"):
        model = build(PRESETS[name])
    exported = (model.encoder, model.predictor, model.joiner)
    assert low < sum(weight.numel() for part in exported for weight in part.parameters()) < high


def test_widths_a_layer_survive_json() -> None:
    layers = (LayerConfig(heads=2, feed_forward=100), LayerConfig(heads=3, feed_forward=7, conv_kernel=0))
    config = TransducerConfig(vocabulary=30, encoder=replace(preset("reference").encoder, layers=layers))
    assert config_from_json(config_to_json(config)) == config


@pytest.mark.parametrize(
    ("change", "named"),
    [({"time_stack": 9}, "time_stack"), ({"segment": 0}, "segment"), ({"left_context": -1}, "context"),
     ({"layers": ()}, "layers"), ({"layers": ({"conv_kernel": 1},)}, "convolution")],
)  # fmt: skip
def test_impossible_shapes_are_refused(change: Any, named: Any) -> None:
    with pytest.raises(InputError, match=named):
        config_from_json({"encoder": config_to_json(TransducerConfig())["encoder"] | change})


def test_unknown_fields_and_presets_are_named() -> None:
    with pytest.raises(InputError, match="colour"):
        config_from_json({"vocabulary": 5, "colour": 3})
    with pytest.raises(InputError, match="emformer-3m"):
        preset("huge")
