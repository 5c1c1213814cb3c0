"""Audio as a WAV file, which every other program reads."""

from __future__ import annotations

import io
import wave

from wattscribe.recognizers.base import Audio
from wattscribe.units import SAMPLE_RATE_HZ

_FULL_SCALE = 32768.0
"""Of 16 bits: samples that were read from a 16-bit file are written as they were."""


def wav_file(audio: Audio) -> bytes:
    """Mono, 16 kHz, 16 bits; what exceeds full scale is clipped."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((audio * _FULL_SCALE).round().clip(-_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes())
    return file.getvalue()
