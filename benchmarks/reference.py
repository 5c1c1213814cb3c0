"""Word error rates of a streaming transducer on held-out synthetic speech and on people: what the model card states.

    python -m benchmarks.reference [DIRECTORY] [--precision fp16 int8] [--decoding greedy beam]

DIRECTORY is the shipped model unless named. The held-out sets (1,200 sentences by training voices, 1,200 by flite's rms, 1,200 by
six espeak-ng variants) are spoken once into `~/.cache/wattscribe/speech` from the text that lies beside the project, as the
training recipe splits it. Greedy, and modified beam search with a beam of 4; 0.8 s of silence at the end; plain lower-case words
without further normalisation.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
CACHE = Path("~/.cache/wattscribe/speech").expanduser()
BARS = {"test-known": 0.10, "test-rms": 0.20, "test-espeak": 0.20}
INT8_MAY_COST = 0.003
CORPORA = {
    "bundled": "bundled",
    "chapter": str(SHARED / "librispeech"),
    "chapter-noisy": str(SHARED / "librispeech-noisy"),
    "ljspeech": str(SHARED / "ljspeech"),
}
BATCH = 8
BEAM = 4

Example = tuple[str, str, Any]
"""Reference, speaker, samples."""


def held_out() -> Iterator[str]:
    """The names of the synthetic test sets, spoken first where they are missing."""
    from wattscribe.training.prepare import TEST_SETS, speak_set
    from wattscribe.training.texts import read_sentences

    for spoken in TEST_SETS:
        if (SHARED / "text").is_dir():
            speak_set(CACHE, spoken, read_sentences([SHARED / "text"]), lambda line: print(line, file=sys.stderr))
        if (CACHE / spoken.name).is_dir():
            yield spoken.name


def synthetic(name: str) -> Iterator[Example]:
    """The utterances of a cached set."""
    return spoken(CACHE / name)


def spoken(folder: Path) -> Iterator[Example]:
    """The utterances of a folder of shards."""
    from wattscribe.training.speech_cache import shards

    for shard in shards(folder):
        for item in shard.utterances:
            yield item.text, item.speaker, shard.audio(item)


def recorded(name: str) -> Iterator[Example]:
    """The utterances of a corpus."""
    from wattscribe.corpora import open_corpus
    from wattscribe.records import Utterance

    corpus = open_corpus(CORPORA[name])
    for utterance in corpus:
        if isinstance(utterance, Utterance):
            yield utterance.reference, utterance.speaker, corpus.audio(utterance)


def score(transducer: Any, examples: Iterator[Example]) -> dict[str, Any]:
    """Recognize everything and count."""
    from wattscribe.scoring import count_errors, wer_interval
    from wattscribe.training.texts import plain

    references, hypotheses, speakers, audio_s, spent = [], [], [], 0.0, 0.0
    pending: list[Example] = []

    def recognize() -> None:
        nonlocal spent, audio_s
        began = time.process_time()
        answers = transducer.transcribe([samples for _, _, samples in pending])
        spent += time.process_time() - began
        for (reference, speaker, samples), answer in zip(pending, answers, strict=True):
            references.append(plain(reference))
            hypotheses.append(plain(answer.text))
            speakers.append(speaker)
            audio_s += len(samples) / 16000
        pending.clear()

    for example in examples:
        pending.append(example)
        if len(pending) == BATCH:
            recognize()
    if pending:
        recognize()
    counts = count_errors(references, hypotheses, rule="none")
    interval = wer_interval(counts, speakers)
    by_speaker = {
        name: float(
            sum(e for e, s in zip(counts.errors, speakers, strict=True) if s == name)
            / sum(w for w, s in zip(counts.words, speakers, strict=True) if s == name)
        )
        for name in sorted(set(speakers))
    }
    return {
        "utterances": counts.utterances,
        "words": int(counts.words.sum()),
        "wer": interval.rate,
        "wer_ci95": interval.ci95,
        "interval": interval.method,
        "substitutions": int(counts.substitutions.sum()),
        "deletions": int(counts.deletions.sum()),
        "insertions": int(counts.insertions.sum()),
        "by_speaker": by_speaker if 1 < len(by_speaker) < 12 else None,
        "audio_s": audio_s,
        "rtf_processor_time": spent / audio_s,
    }


def main() -> int:
    """Print the rates as JSON."""
    from wattscribe.models import REFERENCE
    from wattscribe.streaming import open_transducer

    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", default=REFERENCE)
    parser.add_argument("--precision", nargs="+", default=["fp16", "int8"])
    parser.add_argument("--decoding", nargs="+", default=["greedy", "beam"], choices=["greedy", "beam"])
    chosen = parser.parse_args()
    sets = dict.fromkeys(held_out(), synthetic)
    sets |= {name: recorded for name, place in CORPORA.items() if name == "bundled" or Path(place).is_dir()}
    scores: dict[str, Any] = {}
    for precision, decoding in product(chosen.precision, chosen.decoding):
        transducer = open_transducer(chosen.directory, precision=precision, decoding=decoding, beam=BEAM)
        for name, read in sets.items():
            which = f"{name} {precision} {decoding}"
            scores[which] = score(transducer, read(name))
            print(which, scores[which]["wer"], file=sys.stderr, flush=True)
    print(json.dumps({"rates": scores, **verdict(scores)}, indent=1))
    return 0


def verdict(scores: dict[str, Any]) -> dict[str, Any]:
    """How far each bar was missed, in points of WER; below 0 is within."""
    gaps = {}
    for which, scored in scores.items():
        name, precision, decoding = which.split()
        if name not in BARS:
            continue
        gaps[which] = 100 * (scored["wer"] - BARS[name])
        float_one = scores.get(f"{name} fp16 {decoding}")
        if precision == "int8" and float_one is not None:
            gaps[f"{which} against fp16"] = 100 * (scored["wer"] - float_one["wer"] - INT8_MAY_COST)
    return {"points_over_the_bar": gaps, "within": bool(gaps) and all(gap <= 0 for gap in gaps.values())}


if __name__ == "__main__":
    raise SystemExit(main())
