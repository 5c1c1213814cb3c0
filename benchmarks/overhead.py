"""What bench adds to a recognizer: a trial's window against a bare loop over the same audio, at most 5 % for 5 s utterances.

Run as `python -m benchmarks.overhead [MODEL]`. Without MODEL a fake recognizer computes for 2 % of the audio's length: a
fast recognizer, so that whatever bench adds weighs much. Bare loop and trial alternate, each in a fresh process; the best of
each counts, because other work on the machine only ever adds. Sampler and journal are at work during the trials.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

LIMIT = 0.05
UTTERANCES = 40
UTTERANCE_S = 5.0
ROUNDS = 5
FAKE = "fake:busy?cpu=0.02&text=x"

BARE = """
import json, sys, time
import soundfile
from pathlib import Path
from wattscribe.recognizers import open_recognizer, parse_model
model, folder = sys.argv[1:]
recognizer = open_recognizer(parse_model(model))
audio = [soundfile.read(path, dtype="float32")[0] for path in sorted(Path(folder).glob("*.wav"))]
recognizer.transcribe(audio[:1])
start_s, cpu_s = time.monotonic(), time.process_time()
for samples in audio:
    recognizer.transcribe([samples])
print(json.dumps([time.monotonic() - start_s, time.process_time() - cpu_s]))
"""


def write_corpus(folder: Path) -> None:
    """Noise shaped like nothing in particular: how long a recognizer takes is all that matters."""
    draw = np.random.default_rng(0)
    lines = []
    for index in range(UTTERANCES):
        name = f"{index:03d}.wav"
        soundfile.write(folder / name, 0.05 * draw.standard_normal(round(UTTERANCE_S * 16000)), 16000)
        lines.append(json.dumps({"audio_filepath": name, "text": "x", "speaker": "s"}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def bare(model: str, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the plain loop."""
    done = subprocess.run([sys.executable, "-c", BARE, model, str(folder)], check=True, capture_output=True, text=True)
    wall_s, cpu_s = json.loads(done.stdout.splitlines()[-1])
    return wall_s, cpu_s


def benched(model: str, folder: Path, out: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the same as a trial, with a sensor sampled at 20 Hz all the while."""
    from wattscribe.journal import read_run
    from wattscribe.records import PowerTrace
    from wattscribe.runs.experiment import check
    from wattscribe.runs.runner import run
    from wattscribe.testing import ReplayMeter

    trace = PowerTrace(
        channel="board",
        covers="module total",
        total=True,
        update_interval_s=0.05,
        evidence="measured",
        t_s=(0.0, 3600.0),
        power_w=(5.0, 5.0),
    )
    experiment = check({"models": [model], "data": [str(folder)], "idle_s": 0.5})
    run(experiment, out, overwrite=True, meters=[ReplayMeter([trace], loop=True)])
    trial = read_run(out).trials[0]
    if trial.status != "done" or trial.window is None or trial.cpu_s is None:
        raise RuntimeError(f"the trial failed: {trial.reason}")
    return trial.window.duration_s, trial.cpu_s


def measure(model: str = FAKE) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "corpus"
        folder.mkdir()
        write_corpus(folder)
        loops, trials = [], []
        for _ in range(ROUNDS):
            loops.append(bare(model, folder))
            trials.append(benched(model, folder, Path(name) / "run"))
    wall = min(wall_s for wall_s, _ in trials) / min(wall_s for wall_s, _ in loops) - 1
    cpu = min(cpu_s for _, cpu_s in trials) / min(cpu_s for _, cpu_s in loops) - 1
    return {
        "model": model if model.startswith("fake:") else model.rpartition("/")[2],
        "utterances": UTTERANCES,
        "utterance_s": UTTERANCE_S,
        "bare_loop_s": [wall_s for wall_s, _ in loops],
        "trial_window_s": [wall_s for wall_s, _ in trials],
        "overhead": wall,
        "overhead_cpu": cpu,
        "limit": LIMIT,
        "within": max(wall, cpu) <= LIMIT,
    }


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:2]), indent=1))
