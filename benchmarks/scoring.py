"""How long scoring takes: 2,620 utterances × 3 systems, from raw text to 1,000 paired resamples, on one core.

Run as `python -m benchmarks.scoring [FOLDER]`. FOLDER holds `*.ref.tsv` and one `id<TAB>text` file per system. Without it
the real outputs beside the project are taken; without those the same amount of text is made up: sentences of LibriSpeech's
length whose hypotheses have errors in them.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from itertools import combinations
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

RESAMPLES = 1000
LIMIT_S = 2.0
SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
REAL_OUTPUTS = SHARED / "data" / "recognizer-outputs"
"""Real outputs of three systems, where the measurements' data lie beside the project."""


def read_texts(path: Path) -> dict[str, str]:
    """`id<TAB>text` lines; the text may be missing."""
    rows = (line.rstrip("\n").partition("\t") for line in path.open(encoding="utf-8"))
    return {key.strip(): text for key, _, text in rows}


def real_systems(folder: Path) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The reference and every system of a folder of `id<TAB>text` files."""
    reference = read_texts(next(folder.glob("*.ref.tsv")))
    return reference, {path.stem: read_texts(path) for path in sorted(folder.glob("*.tsv")) if ".ref." not in path.name}


def made_up_systems(seed: int = 0) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """2,620 sentences of 5 to 35 words by 40 speakers, and three systems that get 2 to 4 % of the words wrong."""
    source = random.Random(seed)
    vocabulary = ["".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=source.randint(2, 9))) for _ in range(8000)]
    reference = {
        f"{n % 40}-0-{n:04d}": " ".join(source.choices(vocabulary, k=source.randint(5, 35))) for n in range(2620)
    }

    def misheard(rate: float) -> dict[str, str]:
        return {
            key: " ".join(source.choice(vocabulary) if source.random() < rate else word for word in text.split())
            for key, text in reference.items()
        }

    return reference, {f"{rate:.0%} wrong": misheard(rate) for rate in (0.04, 0.03, 0.02)}


def measure(folder: Path | None = None) -> dict[str, object]:
    """Seconds of CPU for each step of one complete scoring, nothing remembered from before."""
    from wattscribe import scoring

    reference, systems = real_systems(folder) if folder else made_up_systems()
    keys = list(reference)
    speakers = [key.split("-")[0] for key in keys]
    scoring.normaliser.cache_clear()
    started = time.process_time()
    rule = scoring.normaliser("whisper")
    texts = {name: [rule(system.get(key, "")) for key in keys] for name, system in systems.items()}
    wanted = [rule(reference[key]) for key in keys]
    normalised = time.process_time()
    counts = {name: scoring.count_errors(wanted, hypotheses, rule=str) for name, hypotheses in texts.items()}
    aligned = time.process_time()
    wer_intervals = {
        name: scoring.wer_interval(errors, speakers, resamples=RESAMPLES) for name, errors in counts.items()
    }
    intervals = time.process_time()
    for one, other in combinations(counts.values(), 2):
        scoring.paired_bootstrap(one, other, speakers, resamples=RESAMPLES)
        scoring.mapsswe(*scoring.segments(one, other))
    paired = time.process_time()
    return {
        "utterances": len(keys),
        "systems": len(systems),
        "text": "real" if folder else "made up",
        "wer": {name: interval.rate for name, interval in wer_intervals.items()},
        "wer_ci95": {name: interval.ci95 for name, interval in wer_intervals.items()},
        "normalise_s": normalised - started,
        "align_s": aligned - normalised,
        "intervals_s": intervals - aligned,
        "paired_tests_s": paired - intervals,
        "total_s": paired - started,
        "limit_s": LIMIT_S,
        "within": paired - started <= LIMIT_S,
    }


def main() -> int:
    """Print the measurement as JSON."""
    named = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    folder = named or (REAL_OUTPUTS if REAL_OUTPUTS.is_dir() else None)
    result = measure(folder)
    print(json.dumps(result, indent=1))
    return 0 if result["within"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
