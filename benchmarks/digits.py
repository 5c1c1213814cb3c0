"""Word error rate on human digits after fine-tuning with the other speakers, each speaker left out once.

    python -m benchmarks.digits [MODEL FOLDER] [--speaker NAME …]

Follows `recipes/digits.toml`, whose `start_from` holds unless a trained model's folder is named. Every recording of the left-out
speaker is used once, in strings of 3 to 7 with pauses, by our runtime in float32: greedy and with a beam of 4. Four trainings of
two to five minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", HERE.parents[1] / "shared")) / "data"
BAR = 0.08
DECODINGS = ("greedy", "beam")


def main() -> int:
    """Print the rates as JSON."""
    import torch

    from benchmarks.digit_strings import leave_one_out, spoken_digits
    from wattscribe.training.checkpoint import load_model
    from wattscribe.training.data import Source, SpeechData
    from wattscribe.training.experiment import read_experiment
    from wattscribe.training.train import fit

    torch.set_num_threads(1)
    recipe = read_experiment(HERE.parent / "recipes" / "digits.toml")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.digits", description=__doc__.splitlines()[0])
    parser.add_argument("start", type=Path, nargs="?", default=Path(str(recipe.start_from)))
    parser.add_argument("--speaker", nargs="+", help="leave out only these")
    chosen = parser.parse_args()
    cache = Path(recipe.speech.cache).expanduser()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    spoken_digits(cache, say)
    speakers = leave_one_out(str(SHARED / "spoken-digits"), cache, say)
    synthetic = [source for source in recipe.sources if Path(source.folder).name != "train"]
    results: dict[str, dict[str, Any]] = {}
    for left_out in chosen.speaker or speakers:
        model, vocabulary = load_model(chosen.start.expanduser())
        people = [Source(folder=str(cache / name / "train")) for name in speakers if name != left_out]
        data = SpeechData([*people, *synthetic], vocabulary)
        test = cache / left_out / "test"
        before = error_rates(model, vocabulary, test)
        fitted = fit(model, vocabulary, data, replace(recipe.training, devices=1), say=say)
        after = error_rates(fitted.model, vocabulary, test)
        results[left_out] = {"before": before, "after": after}
        say(f"{left_out}: {before['greedy']:.1%} before, {after['greedy']:.1%} after, {after['beam']:.1%} with a beam")
    words = sum(result["after"]["words"] for result in results.values())
    mean = {
        decoding: sum(result["after"][decoding] * result["after"]["words"] for result in results.values()) / words
        for decoding in DECODINGS
    }
    within = {decoding: rate <= BAR for decoding, rate in mean.items()}
    print(json.dumps({"left_out": results, "wer": mean, "bar": BAR, "within": within}, indent=1))
    return 0


def error_rates(model: Any, vocabulary: Any, folder: Path) -> dict[str, float]:
    """WER of the model, exported, on the strings in `folder`; and their words."""
    from benchmarks.reference import BEAM, score, spoken
    from wattscribe.streaming import open_transducer
    from wattscribe.training.export import export

    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as place:
        export(model, vocabulary, Path(place))
        for decoding in DECODINGS:
            counted = score(open_transducer(place, decoding=decoding, beam=BEAM), spoken(folder))
            rates |= {decoding: counted["wer"], "words": counted["words"]}
    return rates


if __name__ == "__main__":
    raise SystemExit(main())
