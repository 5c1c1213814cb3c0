"""Memory of the streaming runtime above its imports, for `benchmarks.streaming`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_MEMORY = """
import sys
import numpy, onnxruntime, kaldi_native_fbank, soundfile, soxr
from wattscribe.streaming import open_transducer
from wattscribe.streaming.sources import file_blocks
def now():
    lines = [line.split() for line in open('/proc/self/status')]
    return {line[0][:-1]: int(line[1]) * 1024 for line in lines if line[0] in ('VmRSS:', 'VmHWM:', 'RssAnon:')}
before = now()
if sys.argv[1] == 'least':
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    kept = [onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider']) for path in sys.argv[2:]]
else:
    transducer = open_transducer(sys.argv[2])
    if sys.argv[1] == 'file':
        transducer.lookahead.get(10000)
    stream = transducer.stream()
    for block in file_blocks(sys.argv[3]):
        stream.accept(block) if sys.argv[1] == 'live' else stream.buffer(block)
    transducer.advance([stream], ahead=2)
    stream.finish()
after = now()
print(after['VmHWM'] - before['VmRSS'], after['VmRSS'] - before['VmRSS'], after['RssAnon'] - before['RssAnon'])
"""
"""Imports, then what is to be measured; prints bytes above the imports: at the peak (VmHWM; ru_maxrss would hold the
parent's, from before exec), at the end, and at the end without pages of files (shared libraries' code)."""


def memory(model: Path, audio: Path) -> dict[str, Any]:
    """Resident memory above the imports against the size of the model's files, and what onnxruntime takes by itself."""
    from wattscribe.streaming.files import find_files

    path, files = str(audio), find_files(model)
    models = [str(file) for _, file in files.components]
    with tempfile.TemporaryDirectory() as cache:
        smallest = Path(cache) / "smallest.onnx"
        smallest.write_bytes(identity())
        measurements = {
            "live, first start": measured(cache, "live", str(model), path),
            "live": measured(cache, "live", str(model), path),
            "file, first start": measured(cache, "file", str(model), path),
            "file": measured(cache, "file", str(model), path),
            "onnxruntime with the smallest model": measured(cache, "least", str(smallest)),
            "onnxruntime with the same files": measured(cache, "least", *models),
        }
    size = files.model_bytes
    kept = measurements["live"]
    return {
        "above_import": measurements, "model_bytes": size, "ratio": round(kept["peak_bytes"] / size, 2),
        "ratio_without_code_pages": round(kept["without_file_pages_bytes"] / size, 2),
    }  # fmt: skip


def measured(cache: str, *arguments: str) -> dict[str, int]:
    """One process, with its prepared graphs in `cache`."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, *arguments], capture_output=True, text=True, check=True, timeout=300,
        env={**os.environ, "XDG_CACHE_HOME": cache},
    )  # fmt: skip
    names = ("peak_bytes", "end_bytes", "without_file_pages_bytes")
    return dict(zip(names, map(int, done.stdout.split()), strict=True))


def identity() -> bytes:
    """The smallest ONNX model: one output that is its input."""
    from wattscribe.graph import wire
    from wattscribe.graph.editor import node
    from wattscribe.graph.model import INPUT, OUTPUT
    from wattscribe.graph.write import encode_node, encode_port

    graph = wire.field(1, encode_node(node("Identity", ["a"], "b"))) + wire.field(2, "smallest")
    graph += wire.field(INPUT, encode_port("a", "float32", (1,)))
    graph += wire.field(OUTPUT, encode_port("b", "float32", (1,)))
    return wire.field(1, 8) + wire.field(7, graph) + wire.field(8, wire.field(2, 13))
