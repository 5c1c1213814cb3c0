"""A long stream of speech through `transcribe -`: its memory after each tenth, and whether the text is the file's."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def through_a_pipe(model: Path, files: Sequence[Path], seconds: int) -> dict[str, Any]:
    """So much speech through `transcribe -`: memory after each tenth, and the text against the file's."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hour.wav"
        with soundfile.SoundFile(file, "w", 16000, 1, "PCM_16") as sound:
            for audio in speech(files, seconds):
                sound.write(audio)
        command = [sys.executable, "-m", "wattscribe", "transcribe", str(model)]
        process = subprocess.Popen(
            [*command, "-"], stdin=subprocess.PIPE, stdout=(Path(folder) / "pipe.txt").open("wb")
        )
        resident = feed(process, file)
        status = process.wait(timeout=600)
        from_file = subprocess.run([*command, str(file)], capture_output=True, check=True).stdout
        from_pipe = (Path(folder) / "pipe.txt").read_bytes()
    return {
        "audio_s": seconds,
        "exit_status": status,
        "resident_bytes": resident,
        "growth_after_first_tenth": round(resident[-1] / resident[0] - 1, 4),
        "words": len(from_pipe.split()),
        "same_text_as_file": from_file == from_pipe,
    }


def speech(files: Sequence[Path], seconds: int) -> Iterator[np.ndarray]:
    """All recordings in turn, half a second apart, until there is enough."""
    from wattscribe.corpora.audio import read_audio

    left = seconds * 16000
    while left > 0:
        for path in files:
            audio = np.concatenate([read_audio(path), np.zeros(8000, np.float32)])[:left]
            yield audio
            left -= len(audio)
            if left <= 0:
                return


def feed(process: subprocess.Popen[bytes], file: Path) -> list[int]:
    """Write the samples to the process as fast as it takes them; its resident bytes after each tenth."""
    import psutil
    import soundfile

    watched, resident = psutil.Process(process.pid), []
    assert process.stdin is not None
    with soundfile.SoundFile(file) as sound:
        tenth = sound.frames // 10
        for _ in range(10):
            process.stdin.write(sound.read(tenth, dtype="int16").astype("<i2").tobytes())
            process.stdin.flush()
            resident.append(watched.memory_info().rss)
    process.stdin.close()
    return resident
