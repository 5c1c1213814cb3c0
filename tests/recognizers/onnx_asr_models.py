"""Tiny random models in the layouts of onnx-asr, written node by node as those of sherpa-onnx are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from tests.recognizers.sherpa_models import (
    FLOAT,
    INT32,
    INT64,
    LETTERS,
    WIDTH,
    every_fourth,
    fourth_of_length,
    ints,
    nemo_ctc,
    save,
    value,
    weight,
)

VOCABULARY = [*("▁" + letter for letter in LETTERS), "<blk>"]


def _vocabulary(path: Path, symbols: list[str] = VOCABULARY) -> None:
    path.write_text("".join(f"{symbol} {index}\n" for index, symbol in enumerate(symbols)))


def parakeet_ctc(directory: Path) -> None:
    nemo_ctc(directory)
    (directory / "tokens.txt").rename(directory / "vocab.txt")
    (directory / "config.json").write_text(
        json.dumps({"model_type": "nemo-conformer-ctc", "features_size": 80, "subsampling_factor": 4})
    )


def _encoder(path: Path, mels: int, names: tuple[str, str], *, lengths: int = INT64) -> None:
    """(N, mels, T) → (N, width, T / 4)."""
    keep, constants = every_fourth("frames", "kept")
    quarter, more = fourth_of_length("length", "quarter")
    save(
        path,
        [
            helper.make_node("Transpose", ["audio_signal"], ["frames"], perm=[0, 2, 1]),
            *keep,
            helper.make_node("MatMul", ["kept", "w"], ["hidden"]),
            helper.make_node("Transpose", ["hidden"], [names[0]], perm=[0, 2, 1]),
            *quarter,
            helper.make_node("Cast", ["quarter"], [names[1]], to=lengths),
        ],
        [value("audio_signal", FLOAT, "N", mels, "T"), value("length", INT64, "N")],
        [value(names[0], FLOAT, "N", WIDTH, "T4"), value(names[1], lengths, "N")],
        [weight("w", mels, WIDTH, scale=0.3), *constants, *more],
    )


def parakeet_tdt(directory: Path) -> None:
    """The scores of symbols, then those of how many frames to skip (0 to 2), as NeMo's exporter writes them."""
    outputs = len(VOCABULARY) + 3
    _encoder(directory / "encoder-model.onnx", 128, ("outputs", "encoded_lengths"))
    states = [value(f"input_states_{at}", FLOAT, 1, "N", WIDTH) for at in (1, 2)]
    save(
        directory / "decoder_joint-model.onnx",
        [
            helper.make_node("Gather", ["table", "targets"], ["embedded"], axis=0),
            helper.make_node("Transpose", ["encoder_outputs"], ["frame"], perm=[0, 2, 1]),
            helper.make_node("Add", ["frame", "embedded"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["bounded"]),
            helper.make_node("MatMul", ["bounded", "w"], ["joined"]),
            helper.make_node("Unsqueeze", ["joined", "one"], ["outputs"]),
            helper.make_node("Identity", ["input_states_1"], ["output_states_1"]),
            helper.make_node("Identity", ["input_states_2"], ["output_states_2"]),
        ],
        [
            value("encoder_outputs", FLOAT, "N", WIDTH, 1),
            value("targets", INT64, "N", "U"),
            value("target_length", INT64, "N"),
            *states,
        ],
        [
            value("outputs", FLOAT, "N", 1, "U", outputs),
            *(value(f"output_states_{at}", FLOAT, 1, "N", WIDTH) for at in (1, 2)),
        ],
        [weight("table", len(VOCABULARY), WIDTH), weight("w", WIDTH, outputs), ints("one", 1)],
    )
    _vocabulary(directory / "vocab.txt")
    (directory / "config.json").write_text(
        json.dumps({"model_type": "nemo-conformer-tdt", "features_size": 128, "subsampling_factor": 4})
    )


CANARY = [
    " ", "<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", "<|en|>", "<|de|>", "<|pnc|>", "<|noitn|>",
    "<|notimestamp|>", "<|nodiarize|>", "<|endoftext|>", *("▁" + letter for letter in LETTERS),
]  # fmt: skip


def canary(directory: Path) -> None:
    """An encoder and a decoder with memories; it says letters until the longest sequence is full."""
    _canary_encoder(directory)
    _canary_decoder(directory)
    _vocabulary(directory / "vocab.txt", [symbol.replace(" ", "▁") for symbol in CANARY])
    about = {
        "model_type": "nemo-conformer-aed",
        "features_size": 128,
        "subsampling_factor": 4,
        "max_sequence_length": 24,
    }
    (directory / "config.json").write_text(json.dumps(about))


def _canary_encoder(directory: Path) -> None:
    """Frames, and a mask of ones."""
    keep, constants = every_fourth("frames", "kept")
    save(
        directory / "encoder-model.onnx",
        [
            helper.make_node("Transpose", ["audio_signal"], ["frames"], perm=[0, 2, 1]),
            *keep,
            helper.make_node("MatMul", ["kept", "w"], ["encoder_embeddings"]),
            helper.make_node("ReduceMax", ["kept"], ["largest"], axes=[2], keepdims=0),
            helper.make_node("Cast", ["largest"], ["whole"], to=INT64),
            helper.make_node("Mul", ["whole", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "one"], ["encoder_mask"]),
        ],
        [value("audio_signal", FLOAT, "N", 128, "T"), value("length", INT64, "N")],
        [value("encoder_embeddings", FLOAT, "N", "T4", WIDTH), value("encoder_mask", INT64, "N", "T4")],
        [weight("w", 128, WIDTH), ints("zero", 0), ints("one", 1), *constants],
    )


def _canary_decoder(directory: Path) -> None:
    symbols, said = len(CANARY), len(CANARY) - len(LETTERS)
    forbidden = np.array([-1e4] * said + [0.0] * len(LETTERS), np.float32)
    save(
        directory / "decoder-model.onnx",
        [
            helper.make_node("Gather", ["table", "input_ids"], ["embedded"], axis=0),
            helper.make_node("ReduceMean", ["encoder_embeddings"], ["context"], axes=[1], keepdims=1),
            helper.make_node("Add", ["embedded", "context"], ["sum"]),
            helper.make_node("Unsqueeze", ["sum", "zero"], ["layer"]),
            helper.make_node("Concat", ["decoder_mems", "layer"], ["decoder_hidden_states"], axis=2),
            helper.make_node("ReduceSum", ["decoder_hidden_states", "two"], ["past"], keepdims=0),
            helper.make_node("Squeeze", ["past", "zero"], ["total"]),
            helper.make_node("Unsqueeze", ["total", "one"], ["total3"]),
            helper.make_node("Add", ["sum", "total3"], ["all"]),
            helper.make_node("Sin", ["all"], ["bounded"]),
            helper.make_node("MatMul", ["bounded", "w"], ["raw"]),
            helper.make_node("Add", ["raw", "only_letters"], ["logits"]),
        ],
        [
            value("input_ids", INT64, "N", "L"),
            value("encoder_embeddings", FLOAT, "N", "T4", WIDTH),
            value("encoder_mask", INT64, "N", "T4"),
            value("decoder_mems", FLOAT, 1, "N", "P", WIDTH),
        ],
        [value("logits", FLOAT, "N", "L", symbols), value("decoder_hidden_states", FLOAT, 1, "N", "P2", WIDTH)],
        [
            weight("table", symbols, WIDTH),
            weight("w", WIDTH, symbols),
            numpy_helper.from_array(forbidden, "only_letters"),
            *(ints(name, at) for name, at in (("zero", 0), ("one", 1), ("two", 2))),
        ],
    )


def gigaam_ctc(directory: Path) -> None:
    keep, constants = every_fourth("frames", "kept")
    save(
        directory / "v3_ctc.onnx",
        [
            helper.make_node("Transpose", ["features"], ["frames"], perm=[0, 2, 1]),
            *keep,
            helper.make_node("MatMul", ["kept", "w"], ["scores"]),
            helper.make_node("LogSoftmax", ["scores"], ["log_probs"], axis=-1),
        ],
        [value("features", FLOAT, "N", 64, "T"), value("feature_lengths", INT64, "N")],
        [value("log_probs", FLOAT, "N", "T4", len(VOCABULARY))],
        [weight("w", 64, len(VOCABULARY)), *constants],
    )
    _vocabulary(directory / "v3_vocab.txt")
    (directory / "config.json").write_text(json.dumps({"model_type": "gigaam-v3-ctc", "version": "v3"}))


def gigaam_rnnt(directory: Path) -> None:
    hidden = 320
    _encoder(directory / "v3_rnnt_encoder.onnx", 64, ("encoded", "encoded_len"), lengths=INT32)
    save(
        directory / "v3_rnnt_decoder.onnx",
        [
            helper.make_node("Gather", ["table", "x"], ["dec"], axis=0),
            helper.make_node("Identity", ["h.1"], ["h"]),
            helper.make_node("Identity", ["c.1"], ["c"]),
        ],
        [value("x", INT64, 1, 1), value("h.1", FLOAT, 1, 1, hidden), value("c.1", FLOAT, 1, 1, hidden)],
        [value("dec", FLOAT, 1, 1, WIDTH), value("h", FLOAT, 1, 1, hidden), value("c", FLOAT, 1, 1, hidden)],
        [weight("table", len(VOCABULARY), WIDTH, scale=2.0)],
    )
    save(
        directory / "v3_rnnt_joint.onnx",
        [
            helper.make_node("Add", ["enc", "dec"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["bounded"]),
            helper.make_node("Transpose", ["bounded"], ["last"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["last", "w"], ["joined"]),
            helper.make_node("Unsqueeze", ["joined", "one"], ["joint"]),
        ],
        [value("enc", FLOAT, 1, WIDTH, 1), value("dec", FLOAT, 1, WIDTH, 1)],
        [value("joint", FLOAT, 1, 1, 1, len(VOCABULARY))],
        [weight("w", WIDTH, len(VOCABULARY)), ints("one", 1)],
    )
    _vocabulary(directory / "v3_vocab.txt")
    (directory / "config.json").write_text(json.dumps({"model_type": "gigaam-v3-rnnt", "version": "v3"}))


WHISPER = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>"]


def whisper(directory: Path) -> None:
    """optimum's layout without a cache: every token so far is fed again; the end is said at the 16th place."""
    marks, letters = len(WHISPER), len(LETTERS)
    keep, constants = every_fourth("frames", "kept")
    save(
        directory / "encoder_model.onnx",
        [
            helper.make_node("Transpose", ["input_features"], ["frames"], perm=[0, 2, 1]),
            *keep,
            helper.make_node("MatMul", ["kept", "w"], ["last_hidden_state"]),
        ],
        [value("input_features", FLOAT, "N", 80, 3000)],
        [value("last_hidden_state", FLOAT, "N", 750, WIDTH)],
        [weight("w", 80, WIDTH), *constants],
    )
    letters_only = np.array([-1e4] * marks + [0.0] * letters, np.float32)
    language = np.array([0, 0, 2e4, 1e4] + [0] * (marks - 4 + letters), np.float32)
    save(
        directory / "decoder_model_merged.onnx",
        [
            helper.make_node("Gather", ["table", "input_ids"], ["embedded"], axis=0),
            helper.make_node("ReduceMean", ["encoder_hidden_states"], ["context"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["context", "loud"], ["heard"]),
            helper.make_node("Add", ["embedded", "heard"], ["sum"]),
            helper.make_node("Sin", ["sum"], ["bounded"]),
            helper.make_node("MatMul", ["bounded", "w"], ["raw"]),
            helper.make_node("Add", ["raw", "letters_only"], ["letters"]),
            helper.make_node("Shape", ["input_ids"], ["sizes"]),
            helper.make_node("Gather", ["sizes", "one"], ["length"], axis=0),
            helper.make_node("Greater", ["length", "longest"], ["over"]),
            helper.make_node("Cast", ["over"], ["over_f"], to=FLOAT),
            helper.make_node("Mul", ["over_f", "end"], ["ends"]),
            helper.make_node("Less", ["length", "two"], ["first"]),
            helper.make_node("Cast", ["first"], ["first_f"], to=FLOAT),
            helper.make_node("Mul", ["first_f", "language"], ["speaks"]),
            helper.make_node("Add", ["letters", "ends"], ["ended"]),
            helper.make_node("Add", ["ended", "speaks"], ["logits"]),
        ],
        [value("input_ids", INT64, "N", "L"), value("encoder_hidden_states", FLOAT, "N", 750, WIDTH)],
        [value("logits", FLOAT, "N", "L", marks + letters)],
        [
            weight("table", marks + letters, WIDTH),
            weight("w", WIDTH, marks + letters),
            numpy_helper.from_array(letters_only, "letters_only"),
            numpy_helper.from_array(language, "language"),
            numpy_helper.from_array(np.array([1e6, *([0] * (marks - 1 + letters))], np.float32), "end"),
            numpy_helper.from_array(np.array([30.0], np.float32), "loud"),
            *(ints(name, at) for name, at in (("one", 1), ("two", 2), ("longest", 15))),
        ],
    )
    (directory / "vocab.json").write_text(json.dumps({letter: marks + at for at, letter in enumerate(LETTERS)}))
    (directory / "added_tokens.json").write_text(json.dumps({mark: at for at, mark in enumerate(WHISPER)}))
    (directory / "config.json").write_text(json.dumps({"model_type": "whisper", "num_mel_bins": 80}))


BUILDERS: dict[str, Callable[[Path], None]] = {
    "nemo-conformer-ctc": parakeet_ctc,
    "nemo-conformer-tdt": parakeet_tdt,
    "nemo-conformer-aed": canary,
    "gigaam-v3-ctc": gigaam_ctc,
    "gigaam-v3-rnnt": gigaam_rnnt,
    "whisper": whisper,
}
