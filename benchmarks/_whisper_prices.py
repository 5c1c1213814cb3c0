"""What each export and a compressed result cost on modelled devices, for `benchmarks.whisper --part prices`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wattscribe.compression.measure import Measurer
from wattscribe.compression.seq2seq.candidate import WhisperCandidate
from wattscribe.compression.speech import read_speech
from wattscribe.energy import devices
from wattscribe.graph.portable import whole
from wattscribe.seq2seq.files import Files, find

DEVICES = ("phone", "jetson-orin-nano-15w")
PRECISIONS = ("fp32", "fp16", "int8")


def compare(
    export: Path, result: Path | None, corpora: Iterable[str], limit: int | None, cache: Path
) -> dict[str, Any]:
    """Millijoules per second of audio by component and device, all at the tokens of the fp32 export's own decode, each in windows
    of its own; what is saved against the fp16 and the int8 export."""
    speech = read_speech(list(corpora), limit=limit)
    exports = {precision: _candidate(find(export, precision)) for precision in PRECISIONS}
    decoded = Measurer(devices.load(DEVICES[0]), cache=cache).decode(exports["fp32"], speech)
    candidates = exports if result is None else {**exports, result.name: _candidate(find(result))}
    table: dict[str, Any] = {}
    for name, candidate in candidates.items():
        counts = candidate.own_counts(decoded.counts, speech.audio)
        table[name] = {
            device: _row(Measurer(devices.load(device)), candidate, counts, decoded.audio_s) for device in DEVICES
        }
    saved = {
        name: {device: _saved(rows[device], table, device) for device in DEVICES}
        for name, rows in table.items()
        if name not in exports
    }
    return {
        "recordings": len(speech),
        "audio_s": round(decoded.audio_s, 1),
        "mj_per_audio_s": table,
        "saved_percent": saved,
    }


def _candidate(files: Files) -> WhisperCandidate:
    networks = {name: whole(files.parts[name]) for name in WhisperCandidate.FILES}
    return WhisperCandidate(networks=networks, tokens=files.tokens.read_bytes(), placement="component")


def _row(measurer: Measurer, candidate: WhisperCandidate, counts: Sequence[Any], audio_s: float) -> dict[str, float]:
    spent = {part.name: 1e3 * part.total_w.value for part in measurer.energy(candidate, counts, audio_s).components}
    return {**{name: round(value, 2) for name, value in spent.items()}, "total": round(sum(spent.values()), 2)}


def _saved(row: Mapping[str, float], table: Mapping[str, Any], device: str) -> dict[str, float]:
    return {f"against {name}": round(100 * (1 - row["total"] / table[name][device]["total"]), 1) for name in PRECISIONS}
