"""A small transducer, what makes each of its files unsound, and what reads them.

`tests/streaming/test_model_attacks.py` draws a few of these, `benchmarks/attack.py` thousands.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from wattscribe.energy import rates
from wattscribe.errors import WattscribeError
from wattscribe.graph import session, wire
from wattscribe.graph.read import read_model
from wattscribe.profiling import workload_of
from wattscribe.recognizers.ct2_file import read_variables, require_numbers, whisper_sizes
from wattscribe.streaming import open_transducer
from wattscribe.testing.transducers import Size, write

SIZE = Size(width=8, layers=1, frames=2)
FILES = ("encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt")
AUDIO = (np.random.default_rng(0).standard_normal(8_000) * 0.1).astype(np.float32)

Use = Callable[[Path], object]


def _transcribe(folder: Path) -> str:
    (heard,) = open_transducer(folder).transcribe([AUDIO])
    return heard.text


def _beam(folder: Path) -> str:
    (heard,) = open_transducer(folder, decoding="beam").transcribe([AUDIO])
    return heard.text


def _count(folder: Path) -> object:
    return rates.stated(workload_of(str(folder)), tokens_per_s=3.0)


def _read(folder: Path) -> None:
    for path in sorted(folder.glob("*.onnx")):
        model = read_model(path)
        model.weight_bytes()
        for weight in model.graph.tensors():
            weight.array()


def ct2_file(variables: Mapping[str, np.ndarray], version: int = 6) -> bytes:
    """A CTranslate2 model.bin, as its model_spec.py writes it."""
    types = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    found = [struct.pack("<I", version), text("WhisperSpec"), struct.pack("<II", 3, len(variables))]
    for name, values in variables.items():
        found += [text(name), struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)]
        found += [struct.pack("<BI", types[str(values.dtype)], values.nbytes), values.tobytes()]
    return b"".join(found)


WHISPER: dict[str, np.ndarray] = {
    "encoder/conv1/weight": np.zeros((8, 80, 3), np.float32),
    "encoder/position_encodings/encodings": np.zeros((50, 8), np.float32),
    "encoder/layer_0/ffn/linear_0/weight": np.zeros((16, 8), np.float16),
    "decoder/embeddings/weight": np.ones((20, 8), np.float32),
    "decoder/layer_0/x": np.zeros((), np.int32),
}


def _read_ct2(folder: Path) -> None:
    path = folder / "model.bin"
    require_numbers(path, read_variables(path))
    whisper_sizes(path)


def _count_configuration(folder: Path) -> object:
    return workload_of(str(folder))


USES: Mapping[str, Use] = {"ct2": _read_ct2, "read": _read, "transcribe": _transcribe, "beam": _beam, "profile": _count}


def prepare(folder: Path) -> None:
    """A transducer that runs, and room for one that may not."""
    write(folder / "sound", SIZE)
    (folder / "sound" / "model.bin").write_bytes(ct2_file(WHISPER))
    (folder / "unsound").mkdir()


def prepare_configurations(folder: Path) -> None:
    """So that no example pays for the libraries."""
    folder.mkdir(exist_ok=True)
    configuration_attack(folder, random.Random(0))


CONFIGURATION = {
    "model_type": "whisper", "d_model": 16, "num_mel_bins": 80, "max_source_positions": 50, "max_target_positions": 20,
    "vocab_size": 40, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
    "decoder_start_token_id": 0, "activation_function": "gelu", "architectures": ["WhisperForConditionalGeneration"],
}  # fmt: skip
STRANGE: tuple[object, ...] = (
    None, -1, 0, 1, 3, 10**9, 1 << 62, 10**30, 0.5, 1e308, "x", "", [], [1], {}, {"a": 1}, True, "../x", "\0",
)  # fmt: skip


def configuration_attack(folder: Path, choices: random.Random) -> str | None:
    """`profile` of a Transformers directory whose config.json is not what it should be."""
    (folder / "hf").mkdir(exist_ok=True)
    (folder / "hf" / "model.safetensors").write_bytes(b"")
    changed: dict[str, object] = dict(CONFIGURATION)
    for _ in range(choices.randint(1, 2)):
        key = choices.choice([*CONFIGURATION, "auto_map", "torch_dtype", "num_hidden_layers", "quantization_config"])
        changed[key] = choices.choice(STRANGE)
    if choices.random() < 0.1:
        changed["model_type"] = choices.choice(("wav2vec2", "hubert", "bert", "moonshine", "parakeet_ctc"))
    text = json.dumps(changed)
    text = text[: choices.randrange(len(text))] if choices.random() < 0.1 else text
    (folder / "hf" / "config.json").write_text(text, encoding="utf-8")
    return said(_count_configuration, folder / "hf")


def ort_attack(folder: Path, choices: random.Random) -> str | None:
    """A transducer in onnxruntime's own format with one damaged file. May kill the process, as the library does."""
    sound, unsound_ = folder / "ort", folder / "unsound-ort"
    if not sound.is_dir():
        sound.mkdir()
        unsound_.mkdir()
        for name in FILES[:3]:
            session.open_session(folder / "sound" / name, saved=sound / name.replace(".onnx", ".ort"))
        (sound / FILES[3]).write_bytes((folder / "sound" / FILES[3]).read_bytes())
    names = sorted(path.name for path in sound.iterdir())
    changed = choices.choice(names)
    for name in names:
        data = (sound / name).read_bytes()
        (unsound_ / name).write_bytes(bytes_changed(data, choices) if name == changed else data)
    return said(choices.choice((_transcribe, _count_configuration)), unsound_)


def attack_of(kind: str) -> Callable[[Path, random.Random], str | None]:
    """Change one file of the transducer in a prepared folder, and use it; what was said of it, None where it is taken."""

    def attack(folder: Path, choices: random.Random) -> str | None:
        changed = "model.bin" if kind == "ct2" else choices.choice(FILES)
        for name in (*FILES, "model.bin"):
            data = (folder / "sound" / name).read_bytes()
            (folder / "unsound" / name).write_bytes(unsound(name, data, choices) if name == changed else data)
        return said(USES[kind], folder / "unsound")

    return attack


def said(use: Use, folder: Path) -> str | None:
    """What a use of a folder was refused with; None: it is taken. Anything but a WattscribeError is raised."""
    try:
        use(folder)
    except WattscribeError as error:
        return str(error)
    return None


# --- what is done to bytes ------------------------------------------------------------------------------------------
_NUMBERS = (
    0,
    1,
    2,
    7,
    10,
    16,
    27,
    127,
    1 << 20,
    1 << 31,
    (1 << 31) - 1,
    (1 << 40),
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
_FLOATS = (float("nan"), float("inf"), -1e38, 0.0)


def unsound(name: str, data: bytes, choices: random.Random) -> bytes:
    """The file with something of it changed."""
    if not name.endswith(".onnx") or choices.random() < 0.2:
        return bytes_changed(data, choices)
    for _ in range(choices.randint(1, 2)):
        data = _changed(data, choices, _MODEL)
    return data


def bytes_changed(data: bytes, choices: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(choices.randint(1, 4)):
        if changed:
            changed[choices.randrange(len(changed))] = choices.choice((0, 0xFF, 0x80, choices.randrange(256)))
    return bytes(changed[: choices.randrange(len(changed) + 1)] if choices.random() < 0.3 else changed)


_TENSOR: dict[int, object] = {}
_DIM: dict[int, object] = {1: {1: {}, 2: {2: {1: {}}}}}
_INFO: dict[int, object] = {2: _DIM}
_GRAPH: dict[int, object] = {1: {5: {5: _TENSOR}}, 5: _TENSOR, 11: _INFO, 12: _INFO}
_MODEL: dict[int, object] = {7: _GRAPH, 8: {}, 14: {}}


def _changed(message: bytes, choices: random.Random, inner: Mapping[int, object]) -> bytes:
    """A protobuf message with one field of it, or of the messages in it, changed, lost, doubled or moved."""
    fields = [
        (number, value if isinstance(value, int) else bytes(value), kind) for number, kind, value in _all(message)
    ]
    if not fields:
        return wire.field(choices.randrange(1, 16), choices.choice(_NUMBERS))
    at = choices.randrange(len(fields))
    number, value, kind = fields[at]
    below = inner.get(number)
    if isinstance(below, dict) and isinstance(value, bytes) and choices.random() < 0.85:
        fields[at] = (number, _changed(value, choices, below), kind)
    else:
        way = choices.randrange(5)
        if way == 0:
            del fields[at]
        elif way == 1:
            fields.append(fields[at])
        elif way == 2:
            other = choices.choice(fields)
            fields[at] = (number, other[1], other[2])
        else:
            fields[at] = (number, _replaced(value, choices), kind)
    return b"".join(_encoded(*each) for each in fields)


def _all(message: bytes) -> list[tuple[int, int, wire.Value]]:
    try:
        return list(wire.fields(memoryview(message)))
    except wire.WireError:
        return []


def _replaced(value: int | bytes, choices: random.Random) -> int | bytes:
    if isinstance(value, int):
        return choices.choice(_NUMBERS)
    if len(value) > 64 and choices.random() < 0.5:  # weights
        filled = np.full(len(value) // 4, choices.choice(_FLOATS), np.float32).tobytes()
        return filled + value[len(filled) :]
    names = (
        b"",
        b"x",
        b"before",
        b"encoder_out",
        b"h0",
        b"W0",
        b"\xff\xfe",
        b"a" * 300,
        b"Loop",
        b"LSTM",
        b"../x",
        b"-1",
        b"0",
        b"1" * 400,
        b"nan",
    )
    return choices.choice((*names, value[:-1], value + b"\0", bytes_changed(value, choices)))


def _encoded(number: int, value: int | bytes, kind: int) -> bytes:
    if kind in (wire.FIXED32, wire.FIXED64) and isinstance(value, bytes) and len(value) in (4, 8):
        return wire.varint(number << 3 | (wire.FIXED32 if len(value) == 4 else wire.FIXED64)) + value
    return wire.field(number, value)
