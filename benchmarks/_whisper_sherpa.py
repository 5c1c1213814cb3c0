"""Unmodified sherpa-onnx beside our runtime on the same files, for `benchmarks.whisper --part sherpa`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

WHOLE_FRAMES = 3000
"""sherpa-onnx's `tail_paddings`: 10 ms frames of zeros behind the audio, up to 30 s in all."""

BEFORE = np.zeros(80, np.float32)
"""5 ms: its frames begin 120 samples before each tenth millisecond, Whisper's 200, so that all it hears is half a frame late."""
BEHIND = np.zeros(480, np.float32)
"""30 ms, so that its last frame of audio fades into silence as Whisper's do."""


def compare(directory: Path, clips: Iterable[tuple[str, str, np.ndarray]]) -> dict[str, Any]:
    """Recordings (corpus, number, samples) of which both say the same, by corpus, and those of which they do not."""
    import sherpa_onnx

    from wattscribe.models.directory import find_model
    from wattscribe.recognizers import open_recognizer, parse_model

    files = find_model(directory)
    theirs = sherpa_onnx.OfflineRecognizer.from_whisper(
        encoder=str(files.parts["encoder"]), decoder=str(files.parts["decoder"]), tokens=str(files.tokens()),
        tail_paddings=WHOLE_FRAMES,
    )  # fmt: skip
    ours = open_recognizer(parse_model(f"onnx:{directory}", options={"window": "whole"}))
    same: dict[str, list[int]] = {}
    differing: list[dict[str, str]] = []
    for corpus, at, samples in clips:
        stream = theirs.create_stream()
        stream.accept_waveform(16000, np.concatenate([BEFORE, samples, BEHIND]))
        theirs.decode_stream(stream)
        his, own = stream.result.text.strip(), ours.transcribe([samples])[0].text.strip()
        counts = same.setdefault(corpus, [0, 0])
        counts[0] += his == own
        counts[1] += 1
        if his != own:
            differing.append({"corpus": corpus, "at": at, "sherpa-onnx": his, "ours": own})
            print(differing[-1], file=sys.stderr, flush=True)
    return {"same": {corpus: f"{equal} of {all_}" for corpus, (equal, all_) in same.items()}, "differing": differing}
