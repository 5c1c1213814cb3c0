"""Speech from text: flite through its command (close to human for recognizers), espeak-ng through its library (variety)."""

from __future__ import annotations

import ctypes
import functools
import random
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from wattscribe.errors import InputError, MissingExtraError, TrainingError
from wattscribe.units import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]
Engine = Literal["flite", "espeak"]

FLITE_TIMEOUT_S = 60.0
_FLITE_PITCH_HZ = {"slt": 172.0, "awb": 133.0, "kal16": 105.0, "rms": 98.0}
"""About each voice's own mean pitch, from which it is varied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice: an engine, its voice, and how far from its usual rate and pitch."""

    engine: Engine
    name: str
    rate: float = 1.0
    pitch: float = 1.0

    @property
    def speaker(self) -> str:
        """`flite-slt`, `espeak-en-us+f2`: rate and pitch do not make another speaker."""
        return f"{self.engine}-{self.name}"


TRAINING_FLITE = ("slt", "awb", "kal16")
HELD_OUT_FLITE = ("rms",)
TRAINING_ESPEAK = tuple(
    f"{accent}{variant}"
    for accent in ("en-us", "en", "en-gb-scotland", "en-gb-x-rp")
    for variant in ("", "+m1", "+m3", "+m4", "+m6", "+f1", "+f3", "+f4", "+Andy", "+Annie", "+steph", "+Michael")
)
HELD_OUT_ESPEAK = ("en-us+m2", "en-us+f2", "en+m5", "en+f5", "en-us+m7", "en+m8")
"""Speakers of dev and test: `check_voices` refuses them in training."""


def is_held_out(voice: Voice) -> bool:
    """True for a voice kept for dev and test; an espeak variant is held out in every accent."""
    if voice.engine == "flite":
        return voice.name in HELD_OUT_FLITE
    variants = {name.partition("+")[2] for name in HELD_OUT_ESPEAK}
    return voice.name.partition("+")[2] in variants


def vary(voice: Voice, rng: random.Random) -> Voice:
    """The same speaker at a random rate (0.8 to 1.25 of usual) and pitch (0.8 to 1.3)."""
    return Voice(
        engine=voice.engine,
        name=voice.name,
        rate=rng.uniform(0.8, 1.25),
        pitch=rng.uniform(0.8, 1.3),
    )


def speak(text: str, voice: Voice) -> Audio:
    """Samples of the spoken text, 16 kHz mono.

    Raises InputError for an empty text, TrainingError where the synthesiser gives no sound, MissingExtraError or
    TrainingError where it is not installed.
    """
    if not text.strip():
        raise InputError("there is no text to speak", fix="Leave out empty sentences")
    return _flite(text, voice) if voice.engine == "flite" else _espeak().speak(text, voice)


# --- flite ------------------------------------------------------------------------------------------------------------
def _flite(text: str, voice: Voice) -> Audio:
    binary = shutil.which("flite")
    if binary is None:
        raise TrainingError("the speech synthesiser flite is not installed", fix="Install it: apt-get install flite")
    pitch_hz = _FLITE_PITCH_HZ.get(voice.name, 120.0) * voice.pitch
    options = ["--setf", f"duration_stretch={1 / voice.rate:.3f}", "--setf", f"int_f0_target_mean={pitch_hz:.1f}"]
    command = [binary, "-voice", voice.name, *options, "-t", f" {text}", "-o", "/dev/stdout"]
    try:
        result = subprocess.run(command, capture_output=True, timeout=FLITE_TIMEOUT_S, check=True)
    except subprocess.TimeoutExpired as error:
        raise TrainingError(f"flite took over {FLITE_TIMEOUT_S:.0f} s to speak", where=repr(text[:60])) from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise TrainingError(f"flite failed: {lines[0]}", where=repr(text[:60])) from error
    return _from_wav(result.stdout, text)


def _from_wav(content: bytes, text: str) -> Audio:
    """flite writes to a pipe a header of 44 bytes whose rate is right and whose length may not be."""
    rate_hz = int.from_bytes(content[24:28], "little")
    if content[:4] != b"RIFF" or not rate_hz or len(content) <= 44:
        raise TrainingError("flite gave no sound", where=repr(text[:60]))
    samples: Audio = np.frombuffer(content[44 : len(content) - len(content) % 2], dtype="<i2").astype(np.float32)
    samples /= 32768
    if rate_hz != SAMPLE_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)
    return samples


# --- espeak-ng --------------------------------------------------------------------------------------------------------
_SYNC_RETRIEVAL = 2  # AUDIO_OUTPUT_SYNCHRONOUS, espeak-ng/speak_lib.h
_CHARS_UTF8 = 1
_RATE, _PITCH = 1, 3  # espeakRATE (words per minute, usual 175), espeakPITCH (0 to 100, usual 50)


class _Espeak:
    """The one espeak-ng engine of a process: the library keeps global state.

    Part of it cannot be reset from outside: its voices waver a little differently each time, also for the same text.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise MissingExtraError("espeakng-loader", "train", needed_for="Speech by espeak-ng") from error
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate_hz = int(self._library.espeak_Initialize(_SYNC_RETRIEVAL, 0, data, 0))
        if self.rate_hz <= 0:
            raise TrainingError("espeak-ng did not start", where=data.decode(), fix="Reinstall espeakng-loader")
        self._pieces: list[NDArray[np.int16]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wave: Any, count: int, _events: Any) -> int:
        if wave and count > 0:
            self._pieces.append(np.ctypeslib.as_array(wave, shape=(count,)).copy())
        return 0

    def speak(self, text: str, voice: Voice) -> Audio:
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise InputError(f"espeak-ng knows no voice {voice.name!r}", fix="List its voices: espeak-ng --voices=en")
        self._library.espeak_SetParameter(_RATE, int(min(max(165 * voice.rate, 80), 400)), 0)
        self._library.espeak_SetParameter(_PITCH, int(min(max(50 * voice.pitch, 0), 99)), 0)
        content = text.encode()
        self._pieces.clear()
        self._library.espeak_Synth(content, len(content) + 1, 0, 1, 0, _CHARS_UTF8, None, None)
        if not self._pieces:
            raise TrainingError("espeak-ng gave no sound", where=repr(text[:60]))
        samples = np.concatenate(self._pieces).astype(np.float32) / 32768
        resampled: Audio = soxr.resample(samples, self.rate_hz, SAMPLE_RATE_HZ, quality="MQ")
        return resampled


@functools.lru_cache(maxsize=1)
def _espeak() -> _Espeak:
    return _Espeak()
