"""What a short window costs in words, with and without the silence of a whole one, for `benchmarks.whisper --part silence`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.compression.calibrate import Calibration, Summed
from wattscribe.compression.kinds import family_of, read_model
from wattscribe.compression.levers import apply
from wattscribe.compression.levers.silence import measuring_one
from wattscribe.compression.measure import Measurer
from wattscribe.compression.seq2seq.family import PROBE_S, remembering, window
from wattscribe.compression.speech import SpeechSet, read_speech
from wattscribe.energy import devices
from wattscribe.scoring import count_errors

WAYS: Mapping[str, Any] = {
    "whole": None,
    "20 s of margin": window(20.0),
    "5 s of margin": window(5.0),
    "2 s, all of the silence": remembering(2.0, 1),
    "2 s, every eighth frame": remembering(2.0, 8),
    "1 s, every eighth frame": remembering(1.0, 8),
    "1 s, every 32nd": remembering(1.0, 32),
}


def compare(export: Path, corpora: Mapping[str, str], limit: int | None, only: Sequence[str] = ()) -> dict[str, Any]:
    """WER by corpus, processor seconds and modelled energy (phone) of each way to cut windows, float32."""
    original = read_model(export)
    speech = {name: read_speech([place], limit=limit) for name, place in corpora.items()}
    calibration = family_of(original).calibration(original, _excerpt(corpora.values()))
    measurer = Measurer(devices.load("phone"))
    table: dict[str, Any] = {}
    for name, step in WAYS.items():
        if only and name not in only:
            continue
        candidate = original if step is None else apply(original, step, calibration)
        table[name] = {corpus: _row(measurer, candidate, of_corpus) for corpus, of_corpus in speech.items()}
        print(name, table[name], file=sys.stderr, flush=True)
    return {"ways": table, "queries_measure_one_within": _spread(calibration)}


def _excerpt(places: Iterable[str]) -> SpeechSet:
    return read_speech(list(places)).spread(PROBE_S)


def _row(measurer: Measurer, candidate: Any, speech: SpeechSet) -> dict[str, float]:
    decoded = measurer.decode(candidate, speech)
    counts = count_errors(speech.references, decoded.texts)
    parts = measurer.energy(candidate, decoded.counts, decoded.audio_s).components
    spent = {part.name: 1e3 * part.total_w.value for part in parts}
    return {
        "words": float(counts.words.sum()), "wer_percent": round(100 * float(counts.wer or 0.0), 2),
        "rtf_cpu": round(decoded.cpu_s / decoded.audio_s, 3), "encoder_mj_per_audio_s": round(spent["encoder"], 2),
        "decoder_mj_per_audio_s": round(spent["decoder"], 2),
    }  # fmt: skip


def _spread(calibration: Calibration) -> tuple[float, float]:
    """Least and greatest standard deviation, over layers and heads, of what the encoder's queries of speech measure."""
    names = [f"encoder.layers.{layer}.self_attn.q" for layer in range(4)]
    spreads = []
    for sums in calibration.queries("encoder", names).values():
        spreads += _deviations(sums, heads=len(sums.total) // 64)
    return round(min(spreads), 3), round(max(spreads), 3)


def _deviations(sums: Summed, heads: int) -> list[float]:
    """Of each head: of a query times the direction, whose mean is near 1."""
    directions = measuring_one(sums, heads)
    deviations = []
    for part in (slice(64 * head, 64 * head + 64) for head in range(heads)):
        direction = directions[part].astype(np.float64)
        mean = float(sums.total[part] @ direction) / sums.rows
        square = float(direction @ sums.gram[part, part] @ direction) / sums.rows
        deviations.append(float(np.sqrt(max(0.0, square - mean**2))))
    return deviations
