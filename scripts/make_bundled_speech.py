"""Speak the bundled sentences once with flite and write the corpus `bundled` into the package.

Run by hand when the sentences change: python scripts/make_bundled_speech.py
Needs flite with its voices slt, rms and awb (Debian: apt install flite). Those statistical voices are understood by
recognizers that were trained on people; each sentence is spoken by one of them, in turn. The FLAC files are committed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

VOICES = ("slt", "rms", "awb")
RATE_HZ = 16_000
SENTENCES = Path(__file__).with_name("bundled_sentences.txt")
TARGET = Path(__file__).resolve().parents[1] / "src/wattscribe/corpora/bundled"


def speak(text: str, voice: str) -> np.ndarray:
    """16-bit samples of one sentence, shape (samples,), 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        samples, rate_hz = soundfile.read(path, dtype="int16")
    if rate_hz != RATE_HZ or samples.ndim != 1:
        sys.exit(f"flite's voice {voice} speaks at {rate_hz} Hz in {samples.ndim} channels, not at {RATE_HZ} Hz in one")
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=TARGET)
    folder = parser.parse_args().out
    if shutil.which("flite") is None:
        sys.exit("flite is not installed. On Debian: apt install flite")
    shutil.rmtree(folder / "audio", ignore_errors=True)
    (folder / "audio").mkdir(parents=True)
    entries = []
    for number, text in enumerate(SENTENCES.read_text("utf-8").splitlines()):
        voice = VOICES[number % len(VOICES)]
        samples = speak(text, voice)
        path = folder / "audio" / f"{voice}-{number:02d}.flac"
        soundfile.write(path, samples, RATE_HZ, subtype="PCM_16", compression_level=1.0)
        entries.append(
            {
                "audio_filepath": path.relative_to(folder).as_posix(),
                "duration": round(len(samples) / RATE_HZ, 3),
                "text": text,
                "speaker": voice,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        )
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    (folder / "manifest.jsonl").write_text(lines, "utf-8")
    total = sum(path.stat().st_size for path in folder.rglob("*.flac"))
    print(
        f"{len(entries)} utterances, {sum(entry['duration'] for entry in entries):.0f} s, {total / 1e6:.2f} MB in {folder}"
    )


if __name__ == "__main__":
    main()
