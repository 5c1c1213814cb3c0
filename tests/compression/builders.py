"""A small random transducer with everything that levers change, and speech for it."""

from __future__ import annotations

import json
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate, read_candidate
from wattscribe.compression.divergence import Probe
from wattscribe.compression.levers import apply
from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.step import Step, Value
from wattscribe.streaming import open_transducer

Parts = tuple[Candidate, Calibration, Probe]
MELS, SEGMENT, SHIFT, DIM, WIDE, VOCAB = 20, 9, 8, 32, 64, 40
FRAMES = SHIFT // 2


def build(folder: Path, *, seed: int = 0) -> Path:
    """Write a directory in sherpa-onnx's layout: convolution, spelled-out Swoosh, wide inner map, two equal tables."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    onnx.save(encoder(rng), folder / "encoder.onnx")
    onnx.save(predictor(rng), folder / "decoder.onnx")
    onnx.save(joiner(rng), folder / "joiner.onnx")
    symbols = ["<blk>", "<unk>", *(f"▁w{i}" for i in range(VOCAB - 2))]
    (folder / "tokens.txt").write_text("".join(f"{s} {i}\n" for i, s in enumerate(symbols)), encoding="utf-8")
    return folder


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray],
    metadata: dict[str, str],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "toy", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in weights.items()]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    helper.set_model_props(made, metadata)
    return made


def _value(name: str, shape: Sequence[str | int], kind: int = T.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _random(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    values: np.ndarray = rng.standard_normal(shape) * scale / np.sqrt(shape[0])
    return values.astype(np.float32)


def encoder(rng: np.random.Generator) -> onnx.ModelProto:
    low = rng.standard_normal((WIDE // 4, WIDE)) / 4  # the wide map is nearly of low rank, as real ones are
    wide = _random(rng, 2 * 8 * MELS, WIDE, scale=0.6) + _random(rng, 2 * 8 * MELS, WIDE // 4, scale=0.5) @ low
    weights = {
        "kernel": (rng.standard_normal((8, 1, 3, 3)) * 0.2).astype(np.float32), "kernel_b": np.zeros(8, np.float32),
        "W1": wide.astype(np.float32),
        "b1": _random(rng, WIDE, scale=0.1), "W2": _random(rng, WIDE, DIM), "proj": _random(rng, DIM, DIM, scale=1.5),
        "proj_b": _random(rng, DIM, scale=0.1), "table_a": np.arange(64, dtype=np.float32).reshape(8, 8) * 1e-3,
        "table_b": np.arange(64, dtype=np.float32).reshape(8, 8) * 1e-3, "rows": np.tile(np.arange(8), 4).astype(np.int64),
        "from": np.array([0], np.int64), "to": np.array([SHIFT], np.int64), "time": np.array([1], np.int64),
        "channel": np.array([1], np.int64), "pairs": np.array([0, FRAMES, 2 * 8 * MELS], np.int64),
        "flat": np.array([-1, 1, DIM], np.int64), "half": np.array(0.5, np.float32), "one": np.array(1.0, np.float32),
        "a": np.array(1.0, np.float32), "c": np.array(0.3133, np.float32), "slope": np.array(0.08, np.float32),
        "infinite": np.array(np.inf, np.float32), "shape": np.array([1, -1, DIM], np.int64),
        "two": np.array(2.0, np.float32), "three": np.array(3.0, np.float32), "axes": np.array([0, 1], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Slice", ["x", "from", "to", "time"], ["cut"]),
        helper.make_node("Unsqueeze", ["cut", "channel"], ["plane"]),
        helper.make_node("Conv", ["plane", "kernel", "kernel_b"], ["conved"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["conved"], ["positive"]),
        helper.make_node("Transpose", ["positive"], ["turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["turned", "pairs"], ["stacked"]),
        helper.make_node("MatMul", ["stacked", "W1"], ["wide"]),
        helper.make_node("Add", ["wide", "b1"], ["biased"]),
        helper.make_node("Mul", ["biased", "slope"], ["sloped"]),
        helper.make_node("Sub", ["biased", "a"], ["d"]),
        helper.make_node("Exp", ["d"], ["exp"]),
        helper.make_node("Add", ["exp", "one"], ["plus"]),
        helper.make_node("Log", ["plus"], ["log"]),
        helper.make_node("Equal", ["log", "infinite"], ["over"]),
        helper.make_node("Where", ["over", "d", "log"], ["soft"]),
        helper.make_node("Sub", ["soft", "sloped"], ["minus"]),
        helper.make_node("Sub", ["minus", "c"], ["swoosh"]),
        helper.make_node("MatMul", ["swoosh", "W2"], ["narrow"]),
        helper.make_node("Reshape", ["h", "flat"], ["state"]),
        helper.make_node("Add", ["narrow", "state"], ["sum"]),
        helper.make_node("Mul", ["two", "three"], ["six"]),
        helper.make_node("Gather", ["table_a", "rows"], ["looked_a"]),
        helper.make_node("Gather", ["table_b", "rows"], ["looked_b"]),
        helper.make_node("Sub", ["looked_a", "looked_b"], ["nothing"]),
        helper.make_node("ReduceSum", ["nothing", "axes"], ["zero"], keepdims=0),
        helper.make_node("Mul", ["zero", "six"], ["still_zero"]),
        helper.make_node("Add", ["sum", "still_zero"], ["same"]),
        helper.make_node("Tanh", ["same"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "proj"], ["projected"]),
        helper.make_node("Add", ["projected", "proj_b"], ["encoder_out"]),
        helper.make_node("ReduceMean", ["hidden"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "half"], ["halved"]),
        helper.make_node("Reshape", ["halved", "shape"], ["next_h"]),
        helper.make_node("Identity", ["c_state"], ["next_c_state"]),
    ]
    metadata = {"model_type": "lstm", "T": str(SEGMENT), "decode_chunk_len": str(SHIFT), "version": "1",
                "num_encoder_layers": "1", "rnn_hidden_size": str(DIM), "d_model": str(DIM)}  # fmt: skip
    state = (1, "N", DIM)
    inputs = [_value("x", ["N", SEGMENT, MELS]), _value("h", state), _value("c_state", state)]
    outputs = [_value("encoder_out", ["N", FRAMES, DIM]), _value("next_h", state), _value("next_c_state", state)]
    return _model(nodes, inputs, outputs, weights, metadata)


def predictor(rng: np.random.Generator) -> onnx.ModelProto:
    weights: dict[str, np.ndarray] = {
        "E": rng.standard_normal((VOCAB, DIM)).astype(np.float32), "zero": np.array(0, np.int64),
        "P": _random(rng, DIM, DIM), "Pb": _random(rng, DIM, scale=0.1),
    }  # fmt: skip
    nodes = [
        helper.make_node("Max", ["y", "zero"], ["tokens"]),
        helper.make_node("Gather", ["E", "tokens"], ["embedded"]),
        helper.make_node("ReduceMean", ["embedded"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["mean", "P", "Pb"], ["decoder_out"], transB=1),
    ]
    metadata = {"context_size": "2", "vocab_size": str(VOCAB)}
    return _model(nodes, [_value("y", ["N", 2], T.INT64)], [_value("decoder_out", ["N", DIM])], weights, metadata)


def joiner(rng: np.random.Generator) -> onnx.ModelProto:
    bias = np.concatenate([[1.0, -9], np.zeros(VOCAB - 2)]).astype(np.float32)
    weights = {"W": (rng.standard_normal((VOCAB, DIM)) * 0.5).astype(np.float32), "b": bias}
    nodes = [
        helper.make_node("Add", ["encoder_out", "decoder_out"], ["both"]),
        helper.make_node("Tanh", ["both"], ["squashed"]),
        helper.make_node("Gemm", ["squashed", "W", "b"], ["logit"], transB=1),
    ]
    inputs = [_value("encoder_out", ["N", DIM]), _value("decoder_out", ["N", DIM])]
    return _model(nodes, inputs, [_value("logit", ["N", VOCAB])], weights, {"joiner_dim": str(DIM)})


def sound(seed: int, seconds: float) -> np.ndarray:
    """Noise in bursts, so that tokens and blanks alternate."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * 16_000)
    bursts = np.repeat(rng.uniform(0, 0.4, samples // 800 + 1), 800)[:samples]
    return (rng.standard_normal(samples) * bursts).astype(np.float32)


def unlabelled(count: int = 6, first: int = 100) -> SpeechSet:
    audio = tuple(sound(first + i, 2.0) for i in range(count))
    names = tuple(f"u{first + i}" for i in range(count))
    return SpeechSet(name="noise", ids=names, speakers=names, references=(), audio=audio)


def number(value: Value) -> float:
    assert isinstance(value, (int, float))
    return value


def uncalibrated(candidate: Candidate, step: Step) -> Candidate:
    """After a step that needs no audio."""
    return apply(candidate, step, Calibration(candidate, unlabelled(1)))


def bench_parts(folder: Path) -> Parts:
    candidate = read_candidate(build(folder))
    return candidate, Calibration(candidate, unlabelled()), Probe(candidate, unlabelled(4, first=200))


def corpus(folder: Path, model: Path, *, count: int = 8, first: int = 0) -> Path:
    """A manifest whose references are what the model hears: its own WER is 0."""
    folder.mkdir(parents=True, exist_ok=True)
    transducer = open_transducer(model)
    lines = []
    for number in range(first, first + count):
        samples = sound(number, 2.0)
        path = folder / f"{number}.wav"
        whole = np.round(samples * 32767).clip(-32768, 32767).astype(np.int16)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(whole.tobytes())
        (answer,) = transducer.transcribe([(whole / 32768).astype(np.float32)])
        entry = {
            "audio_filepath": path.name,
            "text": answer.text or "w1",
            "speaker": f"s{number % 3}",
            "id": str(number),
        }
        lines.append(json.dumps(entry))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
