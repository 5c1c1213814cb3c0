"""Findings computed from a run (being filled)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the recommendation must keep; None: no limit. WER is a fraction."""

    max_wer: float | None = None
    max_watts: float | None = None
    max_memory_bytes: int | None = None
