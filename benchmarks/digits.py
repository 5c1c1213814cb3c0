"""Word error rate on human digits after fine-tuning with the other speakers, each speaker left out once.

    python -m benchmarks.digits [MODEL FOLDER]

Follows `recipes/digits.toml`, whose `start_from` holds unless a trained model's folder is named. Every recording of the left-out
speaker is heard once, in strings of 3 to 7 with pauses. Four trainings of two to five minutes.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", HERE.parents[1] / "shared")) / "data"
BAR = 0.08


def main() -> int:
    """Print the rates as JSON."""
    import torch

    from wattscribe.training.checkpoint import load_model
    from wattscribe.training.data import Source, SpeechData
    from wattscribe.training.experiment import read_experiment
    from wattscribe.training.strings import leave_one_out, spoken_digits
    from wattscribe.training.train import dev_wer, fit

    torch.set_num_threads(1)
    recipe = read_experiment(HERE.parent / "recipes" / "digits.toml")
    start = Path(sys.argv[1] if len(sys.argv) > 1 else str(recipe.start_from)).expanduser()
    cache = Path(recipe.speech.cache).expanduser()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    spoken_digits(cache, say)
    speakers = leave_one_out(str(SHARED / "spoken-digits"), cache, say)
    synthetic = [each for each in recipe.sources if Path(each.folder).name != "train"]
    found = {}
    for left_out in speakers:
        model, vocabulary = load_model(start)
        test = SpeechData([Source(folder=str(cache / left_out / "test"))], vocabulary, longest_s=60)
        people = [Source(folder=str(cache / name / "train")) for name in speakers if name != left_out]
        data = SpeechData([*people, *synthetic], vocabulary)
        before = dev_wer(model.eval(), vocabulary, test)
        fitted = fit(model, vocabulary, data, replace(recipe.training, devices=1), dev={left_out: test}, say=say)
        words = sum(len(entry.text.split()) for entry in test.entries)
        found[left_out] = {"wer_before": before, "wer": fitted.dev_wer[left_out], "words": words}
        say(f"{left_out}: {before:.1%} before, {fitted.dev_wer[left_out]:.1%} after")
    mean = sum(each["wer"] * each["words"] for each in found.values()) / sum(each["words"] for each in found.values())
    print(json.dumps({"left_out": found, "wer": mean, "bar": BAR, "within": mean <= BAR}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
