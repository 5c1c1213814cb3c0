"""Tiny random models in sherpa-onnx's layouts, written node by node: one matrix where a real encoder has its layers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SYMBOLS = ["<blk>", *("▁" + letter for letter in LETTERS)]
WIDTH = 16
MELS = 80
FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32


def weight(name: str, *shape: int, scale: float = 1.0) -> Any:
    seed = sum(map(ord, name)) + sum(shape)
    values = np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def ints(name: str, *values: int, dtype: Any = np.int64) -> Any:
    return numpy_helper.from_array(np.array(values, dtype), name)


def value(name: str, kind: int, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def save(
    path: Path, nodes: Sequence[Any], inputs: Any, outputs: Any, weights: Any, metadata: dict[str, Any] | None = None
) -> None:
    graph = helper.make_graph(list(nodes), "tiny", list(inputs), list(outputs), list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def tokens_file(directory: Path, symbols: Sequence[str]) -> None:
    (directory / "tokens.txt").write_text("".join(f"{symbol} {index}\n" for index, symbol in enumerate(symbols)))


def every_fourth(source: str, target: str) -> tuple[list[Any], list[Any]]:
    """Nodes that keep every fourth frame of (N, T, C), and their constants."""
    names = ("first", "last", "axis", "step")
    constants = [ints(f"{target}_{name}", value) for name, value in zip(names, (0, 1 << 30, 1, 4), strict=True)]
    return [helper.make_node("Slice", [source, *(f"{target}_{name}" for name in names)], [target])], constants


def fourth_of_length(source: str, target: str) -> tuple[list[Any], list[Any]]:
    nodes = [
        helper.make_node("Add", [source, "three"], ["length_plus"]),
        helper.make_node("Div", ["length_plus", "four"], [target]),
    ]
    return nodes, [ints("three", 3), ints("four", 4)]


def zipformer_ctc(directory: Path) -> None:
    symbols = len(SYMBOLS)
    keep, constants = every_fourth("x", "kept")
    lengths, more = fourth_of_length("x_lens", "log_probs_len")
    nodes = [
        *keep,
        *lengths,
        helper.make_node("MatMul", ["kept", "w"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["log_probs"], axis=-1),
    ]
    save(
        directory / "model.onnx",
        nodes,
        [value("x", FLOAT, "N", "T", MELS), value("x_lens", INT64, "N")],
        [value("log_probs", FLOAT, "N", "T4", symbols), value("log_probs_len", INT64, "N")],
        [weight("w", MELS, symbols), *constants, *more],
        {"model_type": "zipformer2_ctc"},
    )
    tokens_file(directory, SYMBOLS)


def nemo_ctc(directory: Path) -> None:
    symbols = [*SYMBOLS[1:], "<blk>"]
    keep, constants = every_fourth("frames", "kept")
    nodes = [
        helper.make_node("Transpose", ["audio_signal"], ["frames"], perm=[0, 2, 1]),
        *keep,
        helper.make_node("MatMul", ["kept", "w"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["logprobs"], axis=-1),
    ]
    save(
        directory / "model.onnx",
        nodes,
        [value("audio_signal", FLOAT, "N", MELS, "T"), value("length", INT64, "N")],
        [value("logprobs", FLOAT, "N", "T4", len(symbols))],
        [weight("w", MELS, len(symbols)), *constants],
        {"model_type": "EncDecCTCModelBPE", "vocab_size": len(symbols) - 1, "subsampling_factor": 4,
         "normalize_type": "per_feature"},
    )  # fmt: skip
    tokens_file(directory, symbols)


def _predictor_and_joiner(directory: Path) -> None:
    symbols = len(SYMBOLS)
    nodes = [
        helper.make_node("Gather", ["table", "y"], ["embedded"], axis=0),
        helper.make_node("ReduceMean", ["embedded"], ["decoder_out"], axes=[1], keepdims=0),
    ]
    save(
        directory / "decoder.onnx",
        nodes,
        [value("y", INT64, "N", 2)],
        [value("decoder_out", FLOAT, "N", WIDTH)],
        [weight("table", symbols, WIDTH, scale=2.0)],
        {"vocab_size": symbols, "context_size": 2},
    )
    nodes = [
        helper.make_node("Add", ["encoder_out", "decoder_out"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["bounded"]),
        helper.make_node("MatMul", ["bounded", "w"], ["logit"]),
    ]
    save(
        directory / "joiner.onnx",
        nodes,
        [value("encoder_out", FLOAT, "N", WIDTH), value("decoder_out", FLOAT, "N", WIDTH)],
        [value("logit", FLOAT, "N", symbols)],
        [weight("w", WIDTH, symbols)],
        {"joiner_dim": WIDTH},
    )


def offline_transducer(directory: Path) -> None:
    keep, constants = every_fourth("x", "kept")
    lengths, more = fourth_of_length("x_lens", "encoder_out_lens")
    save(
        directory / "encoder.onnx",
        [*keep, *lengths, helper.make_node("MatMul", ["kept", "w"], ["encoder_out"])],
        [value("x", FLOAT, "N", "T", MELS), value("x_lens", INT64, "N")],
        [value("encoder_out", FLOAT, "N", "T4", WIDTH), value("encoder_out_lens", INT64, "N")],
        [weight("w", MELS, WIDTH, scale=0.3), *constants, *more],
        {"model_type": "zipformer2"},
    )
    _predictor_and_joiner(directory)
    tokens_file(directory, SYMBOLS)


_ZIPFORMER = {
    "model_type": "zipformer2", "T": 45, "decode_chunk_len": 32, "num_encoder_layers": "1", "encoder_dims": "16",
    "cnn_module_kernels": "3", "left_context_len": "4", "query_head_dims": "4", "value_head_dims": "4", "num_heads": "2",
}  # fmt: skip
_STATES: dict[str, tuple[int, tuple[Any, ...]]] = {
    "cached_key_0": (FLOAT, (4, "N", 8)),
    "cached_nonlin_attn_0": (FLOAT, (1, "N", 4, 12)),
    "cached_val1_0": (FLOAT, (4, "N", 8)),
    "cached_val2_0": (FLOAT, (4, "N", 8)),
    "cached_conv1_0": (FLOAT, ("N", 16, 1)),
    "cached_conv2_0": (FLOAT, ("N", 16, 1)),
    "embed_states": (FLOAT, ("N", 128, 3, 19)),
    "processed_lens": (INT64, ("N",)),
}


def streaming_zipformer_ctc(directory: Path) -> None:
    """Every state is handed on unchanged but the count of processed frames, which grows by one segment."""
    symbols = len(SYMBOLS)
    bounds = {"first": 0, "last": 32, "axis": 1, "step": 4}
    nodes = [
        helper.make_node("Slice", ["x", *bounds], ["kept"]),
        helper.make_node("MatMul", ["kept", "w"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["log_probs"], axis=-1),
        helper.make_node("Add", ["processed_lens", "segment"], ["new_processed_lens"]),
        *(helper.make_node("Identity", [name], [f"new_{name}"]) for name in _STATES if name != "processed_lens"),
    ]
    save(
        directory / "model.onnx",
        nodes,
        [value("x", FLOAT, "N", 45, MELS), *(value(name, kind, *shape) for name, (kind, shape) in _STATES.items())],
        [
            value("log_probs", FLOAT, "N", 8, symbols),
            *(value(f"new_{name}", kind, *shape) for name, (kind, shape) in _STATES.items()),
        ],
        [weight("w", MELS, symbols), ints("segment", 16), *(ints(name, value) for name, value in bounds.items())],
        _ZIPFORMER,
    )
    tokens_file(directory, SYMBOLS)


def moonshine(directory: Path) -> None:
    """Four graphs; one state tensor stands for the caches."""
    symbols = 32
    save(
        directory / "preprocess.onnx",
        [
            helper.make_node("Unsqueeze", ["audio", "axis"], ["wide"]),
            helper.make_node("Conv", ["wide", "w"], ["frames"], strides=[400]),
            helper.make_node("Transpose", ["frames"], ["features"], perm=[0, 2, 1]),
        ],
        [value("audio", FLOAT, 1, "n")],
        [value("features", FLOAT, 1, "T", WIDTH)],
        [weight("w", WIDTH, 1, 400), ints("axis", 1)],
    )
    save(
        directory / "encode.onnx",
        [
            helper.make_node("Cast", ["length"], ["as_float"], to=FLOAT),
            helper.make_node("Mul", ["as_float", "nothing"], ["zero"]),
            helper.make_node("MatMul", ["features", "w"], ["hidden"]),
            helper.make_node("Add", ["hidden", "zero"], ["encoded"]),
        ],
        [value("features", FLOAT, 1, "T", WIDTH), value("length", INT32, 1)],
        [value("encoded", FLOAT, 1, "T", WIDTH)],
        [weight("w", WIDTH, WIDTH), numpy_helper.from_array(np.zeros(1, np.float32), "nothing")],
    )
    for name, cached in (("uncached_decode.onnx", False), ("cached_decode.onnx", True)):
        nodes = [
            helper.make_node("Gather", ["table", "token"], ["embedded"], axis=0),
            helper.make_node("ReduceMean", ["encoded"], ["context"], axes=[1], keepdims=1),
            helper.make_node("Add", ["embedded", "context"], ["sum"]),
            helper.make_node("Cast", ["seq_len"], ["as_float"], to=FLOAT),
            helper.make_node("Mul", ["as_float", "small"], ["place"]),
            helper.make_node("Add", ["sum", "place"], ["placed"]),
            helper.make_node("Sin", ["placed"], ["bounded"]),
            helper.make_node("MatMul", ["bounded", "w"], ["raw"]),
            helper.make_node("Add", ["raw", "only_letters"], ["logits"]),
            helper.make_node("Identity", ["state" if cached else "sum"], ["new_state"]),
        ]
        forbidden = np.array([-1e4] * 3 + [0.0] * (symbols - 3), np.float32)
        state = [value("state", FLOAT, 1, 1, WIDTH)] if cached else []
        save(
            directory / name,
            nodes,
            [
                value("token", INT32, 1, 1),
                value("encoded", FLOAT, 1, "T", WIDTH),
                value("seq_len", INT32, 1),
                *state,
            ],
            [value("logits", FLOAT, 1, 1, symbols), value("new_state", FLOAT, 1, 1, WIDTH)],
            [
                weight("table", symbols, WIDTH),
                weight("w", WIDTH, symbols),
                numpy_helper.from_array(np.array([0.7], np.float32), "small"),
                numpy_helper.from_array(forbidden, "only_letters"),
            ],
        )
    tokens_file(directory, ["<unk>", "<s>", "</s>", *(LETTERS + "012")])


LANGUAGES = {"en": 36, "de": 27, "fr": 28}


def whisper(directory: Path, *, languages: tuple[str, ...] = ("en",)) -> None:
    """One decoder layer whose caches are handed on; answers with letters until the decoder's positions run out."""
    spoken = {each: LANGUAGES[each] for each in languages}
    layers, places, state, symbols = 1, 32, WIDTH, 40
    sot, eot, transcribe, translate, no_timestamps, no_speech = 30, 31, 32, 33, 34, 35
    save(
        directory / "tiny.en-encoder.onnx",
        [
            helper.make_node("Transpose", ["mel"], ["frames"], perm=[0, 2, 1]),
            helper.make_node("Slice", ["frames", "first", "last", "axis", "step"], ["kept"]),
            helper.make_node("MatMul", ["kept", "wk"], ["key"]),
            helper.make_node("MatMul", ["kept", "wv"], ["value"]),
            helper.make_node("Unsqueeze", ["key", "zero"], ["n_layer_cross_k"]),
            helper.make_node("Unsqueeze", ["value", "zero"], ["n_layer_cross_v"]),
        ],
        [value("mel", FLOAT, "N", MELS, "T")],
        [value(name, FLOAT, layers, "N", "T2", state) for name in ("n_layer_cross_k", "n_layer_cross_v")],
        [weight("wk", MELS, state), weight("wv", MELS, state), ints("zero", 0),
         *(ints(n, v) for n, v in (("first", 0), ("last", 1 << 30), ("axis", 1), ("step", 2)))],
        {"model_type": "whisper-tiny.en", "n_mels": MELS, "n_audio_ctx": 1500, "n_audio_state": state, "n_audio_head": 1,
         "n_audio_layer": 1, "n_vocab": symbols, "n_text_ctx": places, "n_text_state": state, "n_text_head": 1,
         "n_text_layer": layers, "sot_sequence": f"{sot},36,{transcribe}" if len(spoken) > 1 else f"{sot}",
         "sot": sot, "eot": eot, "all_language_tokens": ",".join(map(str, spoken.values())),
         "all_language_codes": ",".join(spoken), "non_speech_tokens": "", "transcribe": transcribe, "translate": translate,
         "sot_prev": 37, "sot_lm": 38, "no_timestamps": no_timestamps, "no_speech": no_speech, "blank_id": 39,
         "is_multilingual": int(len(spoken) > 1), "sot_index": 0},
    )  # fmt: skip
    cache = [value(name, FLOAT, layers, "N", places, state) for name in ("in_k", "in_v")]
    cross = [value(name, FLOAT, layers, "N", "T2", state) for name in ("cross_k", "cross_v")]
    forbidden = np.array([0.0] * 26 + [-1e4] * (symbols - 26), np.float32)
    save(
        directory / "tiny.en-decoder.onnx",
        [
            helper.make_node("Gather", ["table", "tokens"], ["embedded"], axis=0),
            helper.make_node("ReduceMean", ["cross_k"], ["context"], axes=[0, 2], keepdims=0),
            helper.make_node("Unsqueeze", ["context", "one"], ["context3"]),
            helper.make_node("Add", ["embedded", "context3"], ["sum"]),
            helper.make_node("Cast", ["offset"], ["place"], to=FLOAT),
            helper.make_node("Add", ["sum", "place"], ["placed"]),
            helper.make_node("Sin", ["placed"], ["bounded"]),
            helper.make_node("MatMul", ["bounded", "w"], ["raw"]),
            helper.make_node("Add", ["raw", "only_letters"], ["logits"]),
            helper.make_node("Identity", ["in_k"], ["out_k"]),
            helper.make_node("Identity", ["in_v"], ["out_v"]),
        ],
        [value("tokens", INT64, "N", "L"), *cache, *cross, value("offset", INT64, 1)],
        [value("logits", FLOAT, "N", "L", symbols),
         *(value(name, FLOAT, layers, "N", places, state) for name in ("out_k", "out_v"))],
        [weight("table", symbols, state), weight("w", state, symbols), ints("one", 1),
         numpy_helper.from_array(forbidden, "only_letters")],
    )  # fmt: skip
    names = [*LETTERS, *(f"<{index}>" for index in range(26, symbols))]
    lines = (f"{base64.b64encode(name.encode()).decode()} {index}\n" for index, name in enumerate(names))
    (directory / "tiny.en-tokens.txt").write_text("".join(lines))


BUILDERS: dict[str, Callable[[Path], None]] = {
    "online zipformer2 ctc": streaming_zipformer_ctc,
    "offline transducer": offline_transducer,
    "offline zipformer ctc": zipformer_ctc,
    "offline nemo ctc": nemo_ctc,
    "whisper": whisper,
    "moonshine": moonshine,
}
