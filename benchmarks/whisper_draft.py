"""Draft and verify: does a cheaper model's guess save what it costs? Same texts, counted runs, processor time, modelled energy.

    python -m benchmarks.whisper_draft MODEL DRAFT [--precision fp32] [--language en] [--tokens 2,4,8] [--limit 8]
                                       [--device phone --device jetson-orin-nano-15w]

MODEL is an export, DRAFT another one of the same vocabulary: a smaller model's, or what `compress` made of MODEL. Needs the
recordings of `../shared/data`. MODEL decodes alone and with drafts of each length, taking turns on every recording, one thread.
Prints one JSON value; `texts` counts recordings whose text is the one of MODEL alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from benchmarks.whisper import recordings  # noqa: E402
from wattscribe.energy import devices  # noqa: E402
from wattscribe.energy.modelled import of_counts  # noqa: E402
from wattscribe.energy.workload import Workload  # noqa: E402
from wattscribe.profiling import workload_of  # noqa: E402
from wattscribe.recognizers import open_recognizer, parse_model  # noqa: E402
from wattscribe.records import Counts  # noqa: E402
from wattscribe.units import SAMPLE_RATE_HZ  # noqa: E402

ALONE = "alone"
FRAMES_PER_S = 50
"""Of a Whisper's encoder."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("draft", type=Path)
    parser.add_argument("--precision", default="fp32", help="of MODEL's files")
    parser.add_argument("--language", help="of a multilingual MODEL; else it is detected")
    parser.add_argument("--tokens", default="2,4,8", help="of a draft at most")
    parser.add_argument("--limit", type=int, help="recordings of each corpus at most")
    parser.add_argument("--device", action="append", help="a profile; any number of times")
    asked = parser.parse_args(arguments)
    said = {} if asked.language is None else {"language": asked.language}
    ways = {ALONE: said} | {
        f"drafts of {length}": {**said, "draft": str(asked.draft), "draft_tokens": length}
        for length in asked.tokens.split(",")
    }
    recognizers = {
        name: open_recognizer(parse_model(f"onnx:{asked.model}", precision=asked.precision, options=options))
        for name, options in ways.items()
    }
    counts = dict.fromkeys(ways, Counts())
    spent_s, same = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0)
    audio_s, heard = 0.0, 0
    for _, _, _, audio in recordings(asked.limit):
        audio_s, heard, alone = audio_s + len(audio) / SAMPLE_RATE_HZ, heard + 1, ""
        for name, recognizer in recognizers.items():
            before = time.process_time()
            (answer,) = recognizer.transcribe([audio])
            spent_s[name] += time.process_time() - before
            alone = answer.text if name == ALONE else alone
            same[name] += answer.text == alone
            counts[name] += answer.counts or Counts()
        print(f"{heard} recordings", file=sys.stderr, flush=True)
    figures: dict[str, Any] = {"recordings": heard, "audio_s": round(audio_s, 1)}
    for name, total in counts.items():
        workload = _workload(asked, total)
        figures[name] = {
            "texts": same[name],
            "agreed": round(total.agreed / total.drafted, 3) if total.drafted else None,
            "decoder_runs_per_token": round(total.predictor_calls / total.tokens, 3),
            "draft_runs_per_token": round(total.draft_calls / total.tokens, 3),
            "processor_s": round(spent_s[name], 2),
            "mj_per_audio_s": {
                device: round(1e3 * of_counts(workload, total, audio_s, devices.load(device)).total_w.value, 2)
                for device in asked.device or ["phone", "jetson-orin-nano-15w"]
            },
        }
    print(json.dumps(figures, indent=1))
    return 0


def _workload(asked: argparse.Namespace, counts: Counts) -> Workload:
    """Of windows as long as they were on average."""
    own = workload_of(
        str(asked.model), precision=asked.precision, chunk_ms=_window_ms(counts.frames, counts.encoder_rows)
    )
    if not counts.draft_windows:
        return own
    return own.with_draft(workload_of(str(asked.draft), chunk_ms=_window_ms(counts.draft_frames, counts.draft_windows)))


def _window_ms(frames: int, windows: int) -> float:
    return 1e3 * frames / windows / FRAMES_PER_S


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
