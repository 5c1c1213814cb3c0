"""What is transcribed: utterances, inputs that are left out, conditions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One piece of speech with its reference; `source` tells its corpus where the audio lies (a path, usually)."""

    id: str
    speaker: str
    reference: str
    source: str
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An input that is excluded from the score, with the reason; counted, never dropped silently."""

    corpus: str
    id: str
    reason: str
    where: str | None = None
    condition: str | None = None
    """Under which it was left out, by name. None: under every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is done to clean speech before it is transcribed. All fields None: clean.

    `noise` is a folder of audio files, or `white` / `pink`; `snr_db` is over speech-active samples; `rir` is one impulse
    response file or a folder of them; `longform_s` joins utterances with pauses up to that length.
    """

    noise: str | None = None
    snr_db: float | None = None
    rir: str | None = None
    longform_s: float | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """A short label, unique within an experiment: `clean`, `rain@10dB`, `room:rir1`, `longform:600s`."""
        parts = []
        if self.longform_s is not None:
            parts.append(f"longform:{self.longform_s:g}s")
        if self.rir is not None:
            parts.append(f"room:{_stem(self.rir)}")
        if self.noise is not None:
            parts.append(f"{_stem(self.noise)}@{self.snr_db:g}dB")
        return "+".join(parts) or "clean"


def _stem(path: str) -> str:
    name = path.rstrip("/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if name.endswith((".wav", ".flac", ".ogg", ".mp3")) else name
