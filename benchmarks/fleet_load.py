"""A corpus of 20,000 utterances over four workers of this machine: the table of one run, and what the merging takes.

Run as `python -m benchmarks.fleet_load [UTTERANCES]`. The recognizer is a fake that errs in 20 % of words by a rule, so that one
run and the fleet's must agree to the last digit of what time does not decide; `within` says whether they do.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

UTTERANCES, WORKERS, SHARDS = 20_000, 4, 16
UTTERANCE_S = 0.15
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SAME = (
    "utterances", "failed", "rejected", "speakers", "audio_s", "words", "wer", "wer_ci95", "cer", "substitutions", "deletions",
    "insertions",
)  # fmt: skip
"""Columns that time does not decide."""


def write_corpus(folder: Path, utterances: int) -> Path:
    """One recording, cut by a manifest; every piece is another noise, written by itself: the peak of this process is reported."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    with soundfile.SoundFile(folder / "all.wav", "w", 16000, 1) as file:
        for _ in range(utterances):
            file.write(0.1 * draw.standard_normal(round(UTTERANCE_S * 16000), np.float32))
    lines = [
        {
            "audio_filepath": "all.wav",
            "offset": at * UTTERANCE_S,
            "duration": UTTERANCE_S,
            "text": " ".join(WORDS[(at + step * (1 + at % 7)) % 10] for step in range(4)),
            "speaker": f"s{at % 97}",
            "id": f"u{at:05d}",
        }
        for at in range(utterances)
    ]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def main(utterances: int = UTTERANCES) -> dict[str, Any]:
    import wattscribe
    from wattscribe.journal import read_run
    from wattscribe.results import rows
    from wattscribe.results.fleet import fleet_view

    with tempfile.TemporaryDirectory() as name:
        corpus = write_corpus(Path(name) / "corpus", utterances)
        experiment = {"models": [f"fake:a?corpus={corpus}&wer=0.2"], "data": [str(corpus)], "idle_s": 0.0}
        began_s = time.monotonic()
        one = rows(wattscribe.bench(experiment, Path(name) / "one"))[0]
        single_s = time.monotonic() - began_s
        hosts = Path(name) / "boards.toml"
        labels = [f"worker-{at}" for at in range(WORKERS)]
        hosts.write_text("".join(f'[[boards]]\nlabel = "{label}"\n' for label in labels), encoding="utf-8")
        began_s = time.monotonic()
        ended = wattscribe.fleet({**experiment, "shards": SHARDS}, Path(name) / "fleet", hosts=hosts)
        fleet_s = time.monotonic() - began_s
        began_s = time.monotonic()
        seen = fleet_view([read_run(Path(name) / "fleet" / label) for label in labels])
        merge_s = time.monotonic() - began_s
        shared = None if seen.shared is None else rows(seen.shared.facts)[0]
        differ = ["all"] if shared is None else [column for column in SAME if shared[column] != one[column]]
        return {
            "utterances": utterances,
            "workers": WORKERS,
            "shards": SHARDS,
            "shards_by_worker": [board.trials for board in seen.boards],
            "one_run_s": round(single_s, 1),
            "fleet_s": round(fleet_s, 1),
            "merge_s": round(merge_s, 1),
            "coordinator_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "wer": one["wer"],
            "columns_that_differ": differ,
            "errors": list(ended.errors),
            "within": not ended.errors and not differ,
        }


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:2])), indent=1))
