"""Several segments in one encoder call: the bits of one call each, whatever the operators, and the same transcripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from tests.streaming import models
from tests.streaming.test_decoding import folder
from wattscribe.corpora.audio import read_audio
from wattscribe.graph import unroll
from wattscribe.graph.read import read_model
from wattscribe.graph.session import open_session
from wattscribe.models import REFERENCE
from wattscribe.streaming import Endpointing, Transducer, ahead, open_transducer
from wattscribe.streaming.encoder import Encoder
from wattscribe.streaming.endpoint import EndpointRule

LEFT, LAYERS, HEADS, CHUNK = 5, 3, 2, models.FRAMES


class _Toy:
    """The nodes and weights of an encoder that is written operator by operator."""

    def __init__(self, seed: int, *, quantised: bool) -> None:
        self.rng, self.quantised, d = np.random.default_rng(seed), quantised, models.DIM
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {
            "pairs": np.array([1, CHUNK, models.STRIDE * models.MELS]), "to": np.array([models.SHIFT]),
            "in": self.rng.standard_normal((models.STRIDE * models.MELS, d)).astype(np.float32) * 0.1,
            "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "frames": np.array([CHUNK]),
            "places": np.arange(-LEFT, CHUNK)[None], "no": np.array(-1000.0, np.float32), "end": np.array([2**40]),
            "ahead": np.array([0]) + CHUNK, "heads": np.array([LEFT + CHUNK, 1, HEADS, d // HEADS]),
            "own": np.array([CHUNK, 1, HEADS, d // HEADS]), "flat": np.array([CHUNK, 1, d]), "rows": np.array([-1, LEFT + CHUNK]),
            "moved": self.rng.integers(0, LEFT + CHUNK, (HEADS * CHUNK, LEFT + CHUNK)),
            "square": np.array([HEADS, 1, CHUNK, LEFT + CHUNK]),
        }  # fmt: skip

    def add(self, kind: str, inputs: str, output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs.split(), output.split(), **attributes))
        return output

    def product(self, x: str, name: str) -> str:
        """A linear map, in 8 bits where the toy is."""
        weight = self.rng.standard_normal((models.DIM, models.DIM)).astype(np.float32) * 0.4
        if not self.quantised:
            self.weights[f"{name}W"] = weight
            return self.add("MatMul", f"{x} {name}W", f"{name}m")
        self.weights[f"{name}Q"] = np.round(weight * 90).clip(-127, 127).astype(np.int8)
        self.weights[f"{name}s"], self.weights[f"{name}z"] = np.array(1 / 90, np.float32), np.array(0, np.int8)
        self.add("DynamicQuantizeLinear", x, f"{name}q {name}qs {name}qz")
        self.add("MatMulInteger", f"{name}q {name}Q {name}qz {name}z", f"{name}i")
        self.add("Cast", f"{name}i", f"{name}f", to=T.FLOAT)
        self.add("Mul", f"{name}qs {name}s", f"{name}both")
        self.add("Mul", f"{name}f {name}both", f"{name}p")
        self.weights[f"{name}b"] = self.rng.standard_normal(models.DIM).astype(np.float32)
        return self.add("Add", f"{name}p {name}b", f"{name}m")

    def front(self) -> str:
        """Up to the first layer: frames, and which places of the caches lie before the audio's start."""
        self.add("Slice", "x zero to one", "cut")
        self.add("Reshape", "cut pairs", "paired")
        self.add("MatMul", "paired in", "embedded")
        x = self.add("Transpose", "embedded", "x0", perm=[1, 0, 2])
        self.add("Unsqueeze", "seen zero", "seen2")
        self.add("Add", "seen2 places", "position")
        self.add("Less", "position zero", "early")
        self.add("Add", "seen frames", "new_seen")
        return x

    def keys(self, x: str, n: int, *, stacked: bool) -> None:
        """The keys of this call behind those of the cache, a part of the one cache or the layer's own."""
        cache = f"cache{n}"
        if stacked:
            self.weights[f"n{n}"], self.weights[f"m{n}"] = np.array([n]), np.array([n + 1])
            self.add("Slice", f"cache n{n} m{n} zero", f"cut{n}")
            cache = self.add("Squeeze", f"cut{n} zero", f"past{n}")
        key = self.product(x, f"k{n}")
        self.add("Concat", f"{cache} {key}", f"keys{n}", axis=0)
        kept = self.add("Slice", f"keys{n} ahead end zero", f"left{n}" if stacked else f"new_cache{n}")
        if stacked:
            self.add("Unsqueeze", f"{kept} zero", f"row{n}")

    def attention(self, x: str, n: int) -> str:
        self.add("Reshape", f"keys{n} heads", f"kh{n}")
        self.add("Transpose", f"kh{n}", f"kt{n}", perm=[2, 1, 3, 0])
        self.add("Transpose", f"kh{n}", f"v{n}", perm=[2, 1, 0, 3])
        self.add("Reshape", f"{x} own", f"qh{n}")
        self.add("Transpose", f"qh{n}", f"q{n}", perm=[2, 1, 0, 3])
        self.add("MatMul", f"q{n} kt{n}", f"score{n}")
        self.add("Reshape", f"score{n} rows", f"merged{n}")
        self.add("GatherElements", f"merged{n} moved", f"shifted{n}", axis=1)
        self.add("Reshape", f"shifted{n} square", f"relative{n}")
        self.add("Where", f"early no relative{n}", f"masked{n}")
        self.add("Softmax", f"masked{n}", f"soft{n}", axis=-1)
        self.add("MatMul", f"soft{n} v{n}", f"out{n}")
        self.add("Transpose", f"out{n}", f"back{n}", perm=[2, 1, 0, 3])
        self.add("Reshape", f"back{n} flat", f"joined{n}")
        return self.add("Add", f"{x} {self.product(f'joined{n}', f'o{n}')}", f"mixed{n}")

    def convolution(self, x: str, n: int) -> str:
        self.weights[f"c{n}"] = self.rng.standard_normal((models.DIM, 1, 3)).astype(np.float32)
        self.add("Transpose", x, f"wide{n}", perm=[1, 2, 0])
        self.add("Conv", f"wide{n} c{n}", f"conv{n}", group=models.DIM, pads=[1, 1], kernel_shape=[3])
        self.add("Transpose", f"conv{n}", f"long{n}", perm=[2, 0, 1])
        return self.add("Tanh", f"long{n}", f"x{n + 1}")


def layered(path: Path, *, seed: int, stacked: bool, quantised: bool = True, extra: str = "") -> Path:
    """An encoder with a key cache for each layer: attention over the past, a depthwise convolution, 8-bit products."""
    toy = _Toy(seed, quantised=quantised)
    x = toy.front()
    for n in range(LAYERS):
        toy.keys(x, n, stacked=stacked)
        x = toy.convolution(toy.attention(x, n), n)
    toy.add("Transpose", x, "encoder_out" if not extra else "plain", perm=[1, 0, 2])
    if extra:
        toy.add(extra, "plain", "encoder_out", **({"axis": 1} if extra == "Hardmax" else {}))
    if stacked:
        toy.add("Concat", " ".join(f"row{n}" for n in range(LAYERS)), "new_cache", axis=0)
    cells = ["cache"] if stacked else [f"cache{n}" for n in range(LAYERS)]
    shape = [LAYERS, LEFT, 1, models.DIM] if stacked else [LEFT, 1, models.DIM]
    made = models.model(
        toy.nodes,
        [models.value("x", [1, models.SEGMENT, models.MELS]), *(models.value(c, shape) for c in cells),
         models.value("seen", [1], T.INT64)],
        [models.value("encoder_out", [1, CHUNK, models.DIM]), *(models.value(f"new_{c}", shape) for c in cells),
         models.value("new_seen", [1], T.INT64)],
        toy.weights,
        {"T": str(models.SEGMENT), "decode_chunk_len": str(models.SHIFT)},
    )  # fmt: skip
    onnx.save(made, path)
    return path


def compare(path: Path, segments: int) -> onnx.ModelProto:
    """The graph for several segments against one call each, over three calls; returns it."""
    encoder = Encoder(open_session(path, optimised=False), path)
    shape, rng = encoder.layout, np.random.default_rng(9)
    states = tuple(
        rng.standard_normal(s.shape).astype(s.dtype) if s.dtype == "float32" else s.zeros() for s in shape.states
    )
    features = rng.standard_normal((segments, *encoder.segment_shape)).astype(np.float32)
    feeds = shape.feeds(features[:1], [0], states)
    changed = unroll.unroll(read_model(path), feeds, shape.states, shape.output, segments)
    net = open_session(path, model=changed, optimised=False)
    names = [f"{name}/out" for name in (shape.output, *(s.output for s in shape.states))]
    slot = encoder.slot()
    slot.states = states
    for call in range(3):
        features += 0.5
        before = [(call * segments + k) * shape.shift_frames for k in range(segments)]
        frames, *states = net.run(names, shape.feeds(features, before, states))
        for k in range(segments):
            slot.features[0] = features[k]
            assert np.array_equal(slot.run((call * segments + k) * shape.shift_frames), frames[k])
        assert all(np.array_equal(one, other) for one, other in zip(slot.states, states, strict=True))
    return onnx.load_from_string(changed)


def count(model: onnx.ModelProto, kind: str) -> int:
    return sum(node.op_type == kind for node in model.graph.node)


@pytest.mark.parametrize("segments", [2, 5])
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("quantised", [False, True])
def test_segments_together_have_the_bits_of_segments_alone(
    tmp_path: Path, segments: int, stacked: bool, quantised: bool
) -> None:
    made = compare(layered(tmp_path / "encoder.onnx", seed=segments, stacked=stacked, quantised=quantised), segments)
    assert count(made, "MatMulInteger") == (2 * LAYERS * segments if quantised else 0)
    assert count(made, "Softmax") == count(made, "Conv") == LAYERS
    assert count(made, "MatMul") == 1 + 2 * LAYERS + (0 if quantised else 2 * LAYERS)


def test_an_operator_without_a_rule_runs_once_for_each_segment(tmp_path: Path) -> None:
    made = compare(layered(tmp_path / "encoder.onnx", seed=1, stacked=False, extra="Hardmax"), 3)
    assert count(made, "Hardmax") == 3


@pytest.mark.parametrize("layout", models.LAYOUTS)
def test_states_that_go_through_the_whole_network_are_carried_too(layout: str) -> None:
    compare(folder(layout, 3) / "encoder.onnx", 4)


@pytest.mark.data
def test_the_real_zipformer_as_it_was_exported() -> None:
    compare(models.ZIPFORMER / "encoder.int8.onnx", 3)


def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Transducer, Transducer]:
    """A transducer that encodes ahead from the first segment on, and one that never does."""
    monkeypatch.setattr(ahead, "_PAYS_AFTER", 0)
    directory = models.build(tmp_path / "model", layout="zipformer2", blank_bias=0.8)
    layered(directory / "encoder.onnx", seed=4, stacked=False)
    return open_transducer(directory, **options), one_by_one(open_transducer(directory, **options))


def one_by_one(transducer: Transducer) -> Transducer:
    transducer.lookahead.refused = "for comparison"
    return transducer


@pytest.mark.parametrize("method", ["greedy", "beam"])
@pytest.mark.parametrize("endpoints", [False, True])
def test_transcripts_are_those_of_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, endpoints: bool
) -> None:
    rules = (
        Endpointing(rules=(EndpointRule(must_contain_speech=True, trailing_silence_s=0.1, utterance_s=0.0),))
        if endpoints
        else None
    )
    fast, slow = opened(tmp_path, monkeypatch, decoding=method, endpointing=rules)
    for length in (0, 700, 9000, 12345, 16000, 16640, 30000):
        streams = [each.stream() for each in (fast, slow)]
        for transducer, stream in zip((fast, slow), streams, strict=True):
            stream.buffer(models.sound(length, length))
            transducer.advance([stream], ahead=2)
            stream.close()
            transducer.advance([stream], ahead=2)
        assert streams[0].partial() == streams[1].partial()
        assert streams[0].ended == streams[1].ended
        assert streams[0].heard_s == length / 16000
    assert fast.lookahead.refused is None
    assert fast.transcribe([models.sound(1, 20000)]) == slow.transcribe([models.sound(1, 20000)])


def test_a_stream_may_be_saved_between_calls_of_several_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, slow = opened(tmp_path, monkeypatch)
    audio = models.sound(2, 40000)
    stream, plain = fast.stream(), slow.stream()
    stream.buffer(audio[:20000])
    fast.advance([stream], ahead=2)
    again = slow.stream(stream.save())
    again.accept(audio[20000:])
    plain.accept(audio)
    ended, expected = again.finish(), plain.finish()
    assert (ended.text, ended.tokens) == (expected.text, expected.tokens)
    assert ended.counts is not None
    assert expected.counts is not None
    assert ended.counts.encoder_calls == expected.counts.encoder_calls


def test_an_encoder_that_cannot_be_rewritten_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_PAYS_AFTER", 0)
    transducer = open_transducer(folder("lstm", 2))
    slow = one_by_one(open_transducer(folder("lstm", 2)))
    assert transducer.transcribe([models.sound(2, 16000)]) == slow.transcribe([models.sound(2, 16000)])
    assert transducer.lookahead.refused is not None
    assert "one segment after the other" in transducer.lookahead.refused


def test_what_it_cannot_take_apart_is_refused(tmp_path: Path) -> None:
    path = layered(tmp_path / "encoder.onnx", seed=1, stacked=False)
    encoder = Encoder(open_session(path, optimised=False), path)
    old = onnx.load(path)
    old.opset_import[0].version = 12
    onnx.save(old, path)
    with pytest.raises(unroll.CannotUnroll, match="opset 12"):
        unroll.unroll(read_model(path), {}, encoder.layout.states, "encoder_out", 2)


@pytest.mark.data
@pytest.mark.parametrize("precision", ["", "int8", "fp16"])
def test_real_encoders_are_encoded_ahead(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The zipformer, and the shipped model at both its precisions."""
    monkeypatch.setattr(ahead, "_PAYS_AFTER", 0)
    where = REFERENCE if precision else models.ZIPFORMER
    fast = open_transducer(where, precision=precision or None)
    slow = one_by_one(open_transducer(where, precision=precision or None))
    path = sorted((models.ZIPFORMER.parents[1] / "librispeech").rglob("*.flac"))[5]
    audio = read_audio(path)
    assert fast.transcribe([audio]) == slow.transcribe([audio])
    assert fast.lookahead.refused is None
