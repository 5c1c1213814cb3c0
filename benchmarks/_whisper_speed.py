"""Speed and memory of `onnx:` beside faster-whisper, for `benchmarks.whisper`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 2
"""Of every recording and recognizer; the faster one counts, as other work on the machine only slows."""


def compare(export: Path, ct2: Path, clips: Sequence[np.ndarray]) -> dict[str, Any]:
    """Processor seconds of int8, greedy, one thread: each recording by both in turns; and the peak above the imports."""
    from wattscribe.recognizers import open_recognizer, parse_model

    specs = {"ours": (f"onnx:{export}", {}), "faster-whisper": (f"ct2:{ct2}", {"beam": "1"})}
    opened = {
        name: open_recognizer(parse_model(model, precision="int8", options=options))
        for name, (model, options) in specs.items()
    }
    for recognizer in opened.values():
        recognizer.transcribe([clips[0]])
    rows = []
    for clip in clips:
        best = dict.fromkeys(opened, float("inf"))
        for _ in range(ROUNDS):
            for name, recognizer in opened.items():
                before = time.process_time()
                recognizer.transcribe([clip])
                best[name] = min(best[name], time.process_time() - before)
        rows.append({"audio_s": round(len(clip) / 16000, 2), **{name: round(value, 3) for name, value in best.items()}})
    totals = {name: round(sum(row[name] for row in rows), 3) for name in opened}
    ratios = [row["ours"] / row["faster-whisper"] for row in rows]
    return {
        "recordings": rows, "processor_s": totals, "ratio": round(totals["ours"] / totals["faster-whisper"], 3),
        "median_ratio": round(statistics.median(ratios), 3), "peak_above_import": memory(specs, clips[0]),
    }  # fmt: skip


_MEMORY = """
import sys
import tempfile
import numpy, soundfile, soxr
if sys.argv[1].startswith('onnx'):
    import onnxruntime
else:
    import ctranslate2, faster_whisper
from wattscribe.corpora import open_corpus
from wattscribe.recognizers import open_recognizer, parse_model
options = {option.split('=')[0]: option.split('=')[1] for option in sys.argv[3:]}
samples = numpy.load(sys.argv[2])
def now(field):
    return next(int(line.split()[1]) * 1024 for line in open('/proc/self/status') if line.startswith(field))
before = now('VmRSS:')
recognizer = open_recognizer(parse_model(sys.argv[1], precision='int8', options=options))
loaded = now('VmHWM:')
for _ in range(2):
    recognizer.transcribe([samples])
print(now('VmHWM:') - before, loaded - before, now('VmRSS:') - before)
"""
"""Imports, then one recording twice; prints bytes above the imports at the peak, at the peak of loading, and at the end."""


def memory(specs: dict[str, Any], clip: np.ndarray) -> dict[str, Any]:
    """Resident memory of a process that transcribes one recording, above what its imports take."""
    peaks: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "clip.npy", clip)
        for name, (model, options) in specs.items():
            given = [f"{key}={value}" for key, value in options.items()]
            done = subprocess.run(
                [sys.executable, "-c", _MEMORY, model, str(Path(folder) / "clip.npy"), *given],
                capture_output=True, text=True, check=True, timeout=300,
            )  # fmt: skip
            peak, loading, end = map(int, done.stdout.split())
            peaks[name] = {"peak_bytes": peak, "loading_peak_bytes": loading, "end_bytes": end}
    peaks["ratio"] = round(peaks["ours"]["peak_bytes"] / peaks["faster-whisper"]["peak_bytes"], 3)
    return peaks
