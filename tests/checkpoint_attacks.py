"""Directories of Transformers and CTranslate2 models in which one file is not what it should be.

`tests/recognizers/test_attacks.py` draws a few of these, `benchmarks/attack.py` thousands.
"""

from __future__ import annotations

import json
import random
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.model_attacks import STRANGE, bytes_changed, said
from wattscribe.recognizers import open_recognizer
from wattscribe.recognizers.naming import parse_model
from wattscribe.seq2seq.export import export_whisper

AUDIO = (np.random.default_rng(0).standard_normal(16_000) * 0.1).astype(np.float32)


def prepare(runtime: str) -> Callable[[Path], None]:
    """Put a random Whisper into `sound`."""

    def make(folder: Path) -> None:
        from tests.recognizers import checkpoints

        if runtime == "ct2":
            checkpoints.whisper_ct2(folder / "sound")
        else:
            (folder / "sound").mkdir()
            checkpoints.whisper(folder / "sound")

    return make


def use_of(runtime: str) -> Callable[[Path], object]:
    """Open a directory, audit it, hear a second with it."""

    def use(folder: Path) -> str:
        recognizer = open_recognizer(parse_model(f"{runtime}:{folder}"))
        try:
            recognizer.audit()
            return recognizer.transcribe([AUDIO])[0].text
        finally:
            recognizer.close()

    return use


def export(folder: Path) -> object:
    """As ONNX, without torch."""
    with tempfile.TemporaryDirectory() as out:
        return export_whisper(str(folder), Path(out) / "out", precisions=("fp32",))


def attack_of(use: Callable[[Path], object]) -> Callable[[Path, random.Random], str | None]:
    """Write `unsound` beside `sound` with one file changed, and use it; what was said of it, None where it is taken."""

    def attack(folder: Path, choices: random.Random) -> str | None:
        sound, unsound = folder / "sound", folder / "unsound"
        unsound.mkdir(exist_ok=True)
        names = sorted(path.name for path in sound.iterdir())
        chosen = choices.choice(names)
        for name in names:
            data = (sound / name).read_bytes()
            changed = _changed(name, data, choices) if name == chosen else data
            (unsound / name).unlink(missing_ok=True)
            if changed is not None:
                (unsound / name).write_bytes(changed)
        return said(use, unsound)

    return attack


def _changed(name: str, data: bytes, choices: random.Random) -> bytes | None:
    """None: the file is missing."""
    draw = choices.random()
    if draw < 0.08:
        return None
    if draw < 0.12:
        return b""
    if draw < 0.75 and name.endswith(".json"):
        return _json_changed(data, choices)
    if draw < 0.6 and name.endswith(".safetensors"):
        (length,) = struct.unpack("<Q", data[:8])
        header = _json_changed(data[8 : 8 + length], choices)
        return struct.pack("<Q", len(header)) + header + data[8 + length :]
    return bytes_changed(data, choices)


def _json_changed(data: bytes, choices: random.Random) -> bytes:
    """Another value, or none, at some place of the tree."""
    whole: Any = json.loads(data)
    parent, key, node = None, None, whole
    for _ in range(choices.randint(1, 4)):
        places = sorted(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        if not places:
            break
        key = choices.choice(places)
        parent, node = node, node[key]
    if parent is None:
        return b"[]"
    if choices.random() < 0.25:
        del parent[key]
    else:
        parent[key] = choices.choice(STRANGE)
    return json.dumps(whole).encode()
