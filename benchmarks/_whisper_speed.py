"""Recognizers of one Whisper side by side, for `benchmarks.whisper --part speed`: word errors, processor time, memory, energy."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

OURS = "onnx:"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One recognizer as it is asked for: greedy, one thread."""

    model: str
    precision: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


GGML = {"q8_0": "q8_0", "fp16": "float16"}
"""What whisper.cpp's own program makes of a checkpoint, by the name of whisper.cpp's and of the converter's type."""


def ggml_files(checkpoint: Path, work: Path) -> dict[str, Path]:
    """The checkpoint as whisper.cpp reads it, by precision; made where it is not there yet."""
    from tests.recognizers import ggml

    files = {name: work / f"{checkpoint.name}-{name}.bin" for name in GGML}
    for name, path in files.items():
        if not path.is_file():
            ggml.convert(checkpoint, path.with_suffix(".part"), GGML[name]).rename(path)
    return files


def systems(
    export: Path, ct2: Path, checkpoint: Path, ggml: Mapping[str, Path], result: Path | None
) -> dict[str, System]:
    """The result of `compress`, where there is one, its export, and what else runs the same model."""
    beside = {
        "faster-whisper int8": System(model=f"ct2:{ct2}", precision="int8", options={"beam": "1"}),
        "faster-whisper fp32": System(model=f"ct2:{ct2}", precision="fp32", options={"beam": "1"}),
        "export int8": System(model=f"onnx:{export}", precision="int8"),
        "export fp32": System(model=f"onnx:{export}", precision="fp32"),
        "sherpa-onnx, export int8": System(model=f"sherpa:{export}", precision="int8"),
        "sherpa-onnx, export fp32": System(model=f"sherpa:{export}", precision="fp32"),
        **{
            f"whisper.cpp {name}": System(model=f"whispercpp:{path}", options={"beam": "1"})
            for name, path in ggml.items()
        },
        "Transformers fp32": System(model=f"hf:{checkpoint}", precision="fp32"),
        "Transformers int8": System(model=f"hf:{checkpoint}", precision="int8"),
    }
    return beside if result is None else {"result": System(model=f"onnx:{result}"), **beside}


def compare(asked: Mapping[str, System], clips: Iterable[tuple[str, str, np.ndarray]], rounds: int) -> dict[str, Any]:
    """Each recording (corpus, reference, samples) by all systems in turns; the best of so many `rounds` counts."""
    from wattscribe.recognizers import open_recognizer, parse_model

    opened = {
        name: open_recognizer(parse_model(system.model, precision=system.precision, options=dict(system.options)))
        for name, system in asked.items()
    }
    rows: list[dict[str, Any]] = []
    for corpus, reference, clip in clips:
        if not rows:
            for recognizer in opened.values():
                recognizer.transcribe([clip])
        row: dict[str, Any] = {"corpus": corpus, "reference": reference, "audio_s": len(clip) / 16000, "clip": clip}
        row["processor_s"], row["text"] = dict.fromkeys(opened, float("inf")), {}
        for _ in range(rounds):
            for name, recognizer in opened.items():
                before = time.process_time()
                row["text"][name] = recognizer.transcribe([clip])[0].text
                row["processor_s"][name] = min(row["processor_s"][name], time.process_time() - before)
        rows.append(row)
        print(f"{len(rows)} recordings", file=sys.stderr, flush=True)
    del opened
    return {"recordings": len(rows), "audio_s": round(sum(row["audio_s"] for row in rows), 1), **_table(asked, rows)}


def _table(asked: Mapping[str, System], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By system; ratios are to the first of faster-whisper's."""
    seconds = {name: sum(row["processor_s"][name] for row in rows) for name in asked}
    peaks = {name: peak_bytes(system, rows[0]["clip"]) for name, system in asked.items()}
    other = "faster-whisper int8"
    table: dict[str, Any] = {}
    for name in asked:
        table[name] = {
            "wer_percent": _wer(name, rows),
            "processor_s": round(seconds[name], 2),
            "processor_ratio": round(seconds[name] / seconds[other], 3),
            "peak_mb_above_import": round(peaks[name] / 1e6, 1),
            "peak_ratio": round(peaks[name] / peaks[other], 3),
        }
    return {"systems": table}


def _wer(name: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    from wattscribe.scoring import count_errors

    errors = {}
    for corpus in dict.fromkeys(row["corpus"] for row in rows):
        own = [row for row in rows if row["corpus"] == corpus]
        counts = count_errors([row["reference"] for row in own], [row["text"][name] for row in own])
        errors[corpus] = round(100 * (counts.wer or 0.0), 2)
    return errors


_MEMORY = """
import sys
import numpy, soundfile, soxr
kind = sys.argv[1].split(':')[0]
if kind in ('onnx', 'sherpa'):
    import onnxruntime
    if kind == 'sherpa':
        import sherpa_onnx
elif kind == 'whispercpp':
    import pywhispercpp.model
elif kind == 'ct2':
    import ctranslate2, faster_whisper
else:
    import torch, transformers
from wattscribe.corpora import open_corpus
from wattscribe.recognizers import open_recognizer, parse_model
options = {option.split('=')[0]: option.split('=')[1] for option in sys.argv[4:]}
samples = numpy.load(sys.argv[2])
def now(field):
    return next(int(line.split()[1]) * 1024 for line in open('/proc/self/status') if line.startswith(field))
before = now('VmRSS:')
recognizer = open_recognizer(parse_model(sys.argv[1], precision=sys.argv[3] or None, options=options))
for _ in range(2):
    recognizer.transcribe([samples])
print(now('VmHWM:') - before)
"""
"""Imports, then one recording twice; prints bytes above the imports at the peak."""


def peak_bytes(system: System, clip: np.ndarray) -> int:
    """Resident memory of a process that transcribes one recording, above what its imports take."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "clip.npy", clip)
        given = [f"{key}={value}" for key, value in system.options.items()]
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, system.model, str(Path(folder) / "clip.npy"), system.precision or "", *given],
            capture_output=True, text=True, check=True, timeout=600,
        )  # fmt: skip
        return int(done.stdout.split()[-1])
