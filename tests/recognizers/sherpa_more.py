"""More tiny random models in sherpa-onnx's layouts: the kinds of one graph that came after zipformer and NeMo."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.recognizers.sherpa_models import (
    FLOAT,
    INT32,
    INT64,
    MELS,
    SYMBOLS,
    WIDTH,
    every_fourth,
    fourth_of_length,
    ints,
    save,
    tokens_file,
    value,
    weight,
)

STACKED = 7 * MELS
"""FunASR's frames: seven beside each other, every sixth."""
_CMVN = {"cmvn_mean": ",".join(["0"] * MELS), "cmvn_inv_stddev": ",".join(["1"] * MELS)}
_STACK = {
    "lfr_window_size": 7, "lfr_window_shift": 6, "neg_mean": ",".join(["0"] * STACKED),
    "inv_stddev": ",".join(["0.1"] * STACKED), "vocab_size": len(SYMBOLS),
}  # fmt: skip


def _centred(source: str, target: str) -> list[Any]:
    """Nodes that take away each feature's mean over time, without which a random matrix answers every frame alike."""
    return [
        helper.make_node("ReduceMean", [source], [f"{source}_mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", [source, f"{source}_mean"], [target]),
    ]


def _ctc(directory: Path, *, metadata: dict[str, Any], second: str = "x_lens", bands: int = MELS) -> None:
    """Features and their lengths (or a mask) → every fourth frame scored."""
    symbols = len(SYMBOLS)
    keep, constants = every_fourth("centred", "kept")
    lengths, more = fourth_of_length("frames", "log_probs_len")
    of_frames = (
        [helper.make_node("ReduceSum", [second, "last_axis"], ["frames"], keepdims=0)]
        if second == "mask"
        else [helper.make_node("Identity", [second], ["frames"])]
    )
    save(
        directory / "model.onnx",
        [
            *_centred("x", "centred"),
            *keep,
            *of_frames,
            *lengths,
            helper.make_node("MatMul", ["kept", "w"], ["scores"]),
            helper.make_node("LogSoftmax", ["scores"], ["log_probs"]),
        ],
        [value("x", FLOAT, "N", "T", bands), value(second, INT64, "N", *(["T"] if second == "mask" else []))],
        [value("log_probs", FLOAT, "N", "T4", symbols), value("log_probs_len", INT64, "N")],
        [weight("w", bands, symbols), *([ints("last_axis", 1)] if second == "mask" else []), *constants, *more],
        {"vocab_size": symbols, "subsampling_factor": 4, **metadata},
    )
    tokens_file(directory, SYMBOLS)


def telespeech(directory: Path) -> None:
    """(1, T, 40) → (T / 4, 1, symbols): frames come first."""
    keep, constants = every_fourth("x", "kept")
    save(
        directory / "model.onnx",
        [
            *keep,
            helper.make_node("MatMul", ["kept", "w"], ["scores"]),
            helper.make_node("Transpose", ["scores"], ["logits"], perm=[1, 0, 2]),
        ],
        [value("x", FLOAT, 1, "T", 40)],
        [value("logits", FLOAT, "T4", 1, len(SYMBOLS))],
        [weight("w", 40, len(SYMBOLS)), *constants],
        {"model_type": "telespeech_ctc"},
    )
    tokens_file(directory, SYMBOLS)


def tdnn(directory: Path) -> None:
    """Audio of 8 kHz: 23 bands."""
    keep, constants = every_fourth("x", "kept")
    save(
        directory / "model.onnx",
        [
            *keep,
            helper.make_node("MatMul", ["kept", "w"], ["scores"]),
            helper.make_node("LogSoftmax", ["scores"], ["y"]),
        ],
        [value("x", FLOAT, "N", "T", 23)],
        [value("y", FLOAT, "N", "T4", len(SYMBOLS))],
        [weight("w", 23, len(SYMBOLS)), *constants],
        {"model_type": "tdnn", "vocab_size": len(SYMBOLS)},
    )
    tokens_file(directory, SYMBOLS)


def omnilingual(directory: Path) -> None:
    """Samples in, as wav2vec2 takes them."""
    save(
        directory / "model.onnx",
        [
            helper.make_node("Unsqueeze", ["x", "axis"], ["wide"]),
            helper.make_node("Conv", ["wide", "w"], ["frames"], strides=[800]),
            helper.make_node("Transpose", ["frames"], ["logits"], perm=[0, 2, 1]),
        ],
        [value("x", FLOAT, "N", "n")],
        [value("logits", FLOAT, "N", "T", len(SYMBOLS))],
        [weight("w", len(SYMBOLS), 1, 400), ints("axis", 1)],
        {"model_type": "omnilingual-asr", "vocab_size": len(SYMBOLS), "sample_rate": 16000},
    )
    tokens_file(directory, SYMBOLS)


def sense_voice(directory: Path) -> None:
    """Four frames of language, mood, event and style stand before those of speech."""
    names = ("auto", "zh", "en", "ja", "ko", "yue")
    symbols = [*SYMBOLS, *(f"<|{name}|>" for name in (*names, "NEUTRAL", "Speech", "withitn", "woitn"))]
    save(
        directory / "model.onnx",
        [
            helper.make_node("Unsqueeze", ["language", "places"], ["language3"]),
            helper.make_node("Unsqueeze", ["text_norm", "places"], ["style3"]),
            helper.make_node("Add", ["language3", "style3"], ["asked"]),
            helper.make_node("Cast", ["asked"], ["number"], to=FLOAT),
            helper.make_node("Mul", ["number", "row"], ["first"]),
            helper.make_node("Concat", ["first", "first", "first", "first", "x"], ["all"], axis=1),
            *_centred("all", "centred"),
            helper.make_node("MatMul", ["centred", "w"], ["logits"]),
            helper.make_node("Identity", ["x_length"], ["unused"]),
        ],
        [
            value("x", FLOAT, "N", "T", STACKED),
            value("x_length", INT32, "N"),
            value("language", INT32, "N"),
            value("text_norm", INT32, "N"),
        ],
        [value("logits", FLOAT, "N", "T", len(symbols))],
        [weight("w", STACKED, len(symbols)), weight("row", 1, 1, STACKED, scale=0.01), ints("places", 1, 2)],
        {
            **_STACK, "model_type": "sense_voice_ctc", "vocab_size": len(symbols), "normalize_samples": 0, "with_itn": 14,
            "without_itn": 15, "comment": "tiny", **{f"lang_{name}": at for at, name in enumerate(names)},
        },
    )  # fmt: skip
    tokens_file(directory, symbols)


def paraformer(directory: Path) -> None:
    """A token for every stacked frame, all at once."""
    symbols = ["<blank>", "<s>", "</s>", *(symbol.strip("▁") for symbol in SYMBOLS[1:]), "<unk>"]
    forbidden = np.array([-1e4] * 3 + [0.0] * len(SYMBOLS[1:]) + [-1e4], np.float32)
    save(
        directory / "model.onnx",
        [
            *_centred("speech", "centred"),
            helper.make_node("MatMul", ["centred", "w"], ["raw"]),
            helper.make_node("Add", ["raw", "only_letters"], ["logits"]),
            helper.make_node("Identity", ["speech_lengths"], ["token_num"]),
        ],
        [value("speech", FLOAT, "N", "T", STACKED), value("speech_lengths", INT32, "N")],
        [value("logits", FLOAT, "N", "T", len(symbols)), value("token_num", INT32, "N")],
        [weight("w", STACKED, len(symbols)), numpy_helper.from_array(forbidden, "only_letters")],
        {**_STACK, "model_type": "paraformer", "vocab_size": len(symbols)},
    )
    tokens_file(directory, symbols)


def t_one(directory: Path) -> None:
    """0.3 s of whole-number samples at 8 kHz and a state of halves → ten frames."""
    symbols = len(SYMBOLS)
    save(
        directory / "model.onnx",
        [
            helper.make_node("Cast", ["signal"], ["samples"], to=FLOAT),
            helper.make_node("Mul", ["samples", "quieter"], ["quiet"]),
            helper.make_node("Transpose", ["quiet"], ["wide"], perm=[0, 2, 1]),
            helper.make_node("Conv", ["wide", "w"], ["frames"], strides=[240]),
            helper.make_node("Transpose", ["frames"], ["scores"], perm=[0, 2, 1]),
            helper.make_node("LogSoftmax", ["scores"], ["logprobs"]),
            helper.make_node("Identity", ["state"], ["state_next"]),
        ],
        [value("signal", INT32, "N", 2400, 1), value("state", TensorProto.FLOAT16, "N", 8)],
        [value("logprobs", FLOAT, "N", 10, symbols), value("state_next", TensorProto.FLOAT16, "N", 8)],
        [weight("w", symbols, 1, 240, scale=3.0), weight("quieter", 1, scale=1e-4)],
        {"model_type": "t-one", "frame_length_ms": 300, "state_dim": 8, "sample_rate": 8000},
    )
    tokens_file(directory, [*SYMBOLS[1:], "<blk>"])


def streaming_wenet(directory: Path) -> None:
    """Sixteen frames of output per segment, four of input each; both caches are handed on."""
    symbols, places, chunk = len(SYMBOLS), 64, 16
    attention, convolution = (1, 1, places, 2 * WIDTH), (1, 1, WIDTH, 2)
    bounds = {"first": 0, "last": 4 * chunk, "axis": 1, "step": 4}
    save(
        directory / "model.onnx",
        [
            helper.make_node("Slice", ["chunk", *bounds], ["kept"]),
            *_centred("kept", "centred"),
            helper.make_node("MatMul", ["centred", "w"], ["scores"]),
            helper.make_node("LogSoftmax", ["scores"], ["log_probs"]),
            helper.make_node("Identity", ["attn_cache"], ["new_attn_cache"]),
            helper.make_node("Identity", ["conv_cache"], ["new_conv_cache"]),
        ],
        [
            value("chunk", FLOAT, 1, "T", MELS),
            value("offset", INT64, 1),
            value("required_cache_size", INT64, 1),
            value("attn_cache", FLOAT, *attention),
            value("conv_cache", FLOAT, *convolution),
            value("attn_mask", TensorProto.BOOL, 1, 1, "S"),
        ],
        [
            value("log_probs", FLOAT, 1, "T4", symbols),
            value("new_attn_cache", FLOAT, *attention),
            value("new_conv_cache", FLOAT, *convolution),
        ],
        [weight("w", MELS, symbols), *(ints(name, at) for name, at in bounds.items())],
        {
            "model_type": "wenet_ctc", "head": 1, "num_blocks": 1, "output_size": WIDTH, "cnn_module_kernel": 3,
            "right_context": 6, "subsampling_factor": 4, "vocab_size": symbols,
        },
    )  # fmt: skip
    tokens_file(directory, SYMBOLS)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "dolphin ctc": partial(
        _ctc, metadata={"model_type": "dolphin", "mean": _CMVN["cmvn_mean"], "invstd": _CMVN["cmvn_inv_stddev"]}
    ),
    "fire red asr ctc": partial(_ctc, metadata={"model_type": "fire-red-asr-2-ctc", **_CMVN}),
    "medasr ctc": partial(_ctc, metadata={"model_type": "medasr_ctc"}, second="mask", bands=128),
    "offline wenet ctc": partial(_ctc, metadata={"model_type": "wenet_ctc"}),
    "telespeech ctc": telespeech,
    "tdnn ctc": tdnn,
    "omnilingual asr ctc": omnilingual,
    "sense voice": sense_voice,
    "offline paraformer": paraformer,
    "online t-one ctc": t_one,
    "online wenet ctc": streaming_wenet,
}
