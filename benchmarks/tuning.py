"""Does a tuning find what trying everything finds? `python -m benchmarks.tuning [RECORDING]`.

60 configurations of real recognizers transcribe all of the bundled speech once, as an ordinary bench (RECORDING: its directory, made
if it is not there, gone on with if it was broken off). Then the race is run over what they showed, for many partitions of the speech,
and its choice is set against the best of all. Joules are a simulated board's (Jetson Orin Nano's constants): counted work where it is
counted, else watts per busy core, and the board's idle power for the processor time that a configuration takes, so that other work on
the machine that recorded it is in none of them. Each stage's joules are off by NOISE, as two measurements of one thing are.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.shared import ZIPFORMER
from wattscribe.journal import holds_run, read_run
from wattscribe.records import Counts, TrialFacts
from wattscribe.results.groups import group
from wattscribe.results.tuned import TuningLimits
from wattscribe.runs.part import PartEntry
from wattscribe.runs.runner import run
from wattscribe.testing.board import kind_of
from wattscribe.testing.work import joules_of
from wattscribe.tuning import race as racing
from wattscribe.tuning.chances import overshoot
from wattscribe.tuning.observed import Observed
from wattscribe.tuning.partition import Partition, split
from wattscribe.tuning.proof import prove
from wattscribe.tuning.space import Configuration, Space, key_of, read

BOARD = kind_of("orin-nano")
PARTITIONS = 40
NOISE = 0.02
BUDGET = 0.25
WITHIN = 0.03
LIMITS = (0.22, 0.25, 0.30)
"""WER; the race is run for each."""
PENALTIES = [0, 1]
BEAMS: dict[str, Any] = {"decoding": "beam", "beam": [2, 4, 8], "blank_penalty": PENALTIES}
BY_FRAME = {"frame_by_frame": [False, True]}
SPACE: dict[str, Any] = {
    "data": ["bundled"],
    "idle_s": 0.0,
    "models": [
        {"model": "reference", "precision": ["fp16", "int8"], "threads": [1, 2], "options": BY_FRAME},
        {"model": "reference", "precision": ["fp16", "int8"], "batch_size": [4, 8]},
        {"model": "reference", "precision": ["fp16", "int8"], "options": BEAMS},
        {"model": "sherpa:reference", "precision": ["fp16", "int8"], "options": {"blank_penalty": PENALTIES}},
        {"model": "sherpa:reference", "precision": ["fp16", "int8"], "options": BEAMS},
        {"model": f"onnx:{ZIPFORMER}", "threads": [1, 2], "options": BY_FRAME},
        {"model": f"onnx:{ZIPFORMER}", "batch_size": 4},
        {"model": f"onnx:{ZIPFORMER}", "options": BEAMS},
        {"model": f"sherpa:{ZIPFORMER}", "options": {"blank_penalty": PENALTIES}},
        {"model": f"sherpa:{ZIPFORMER}", "options": BEAMS},
        {"model": "pocketsphinx:en-us"},
    ],
}  # fmt: skip


def space() -> Space:
    return read(SPACE)


if __name__ == "__main__":
    chosen = space()
    out = Path(sys.argv[1])
    run(chosen.experiment, out, resume=holds_run(out))
