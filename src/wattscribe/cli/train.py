"""`wattscribe train CONFIG.toml`: train a streaming transducer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="wattscribe train", help="Train a streaming transducer as a TOML file says (docs/training.md).")


@app.default
def train(
    config: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    fresh: Annotated[bool, Parameter(negative=())] = False,
    prepare: Annotated[bool, Parameter(negative=())] = False,
    minutes: float | None = None,
    steps: int | None = None,
) -> None:
    """Train CONFIG.toml into a folder; started again, it goes on where it stood.

    Parameters
    ----------
    config
        The training file, for instance recipes/reference.toml.
    out
        Where state, log and model are kept.
    fresh
        Begin anew instead of resuming.
    prepare
        Only make the speech (and the teacher's outputs), then stop.
    minutes
        Another length than the file's, in minutes of training.
    steps
        Another length than the file's, in steps.
    """
    from wattscribe.errors import MissingExtraError

    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("torch", "train", needed_for="Training") from error
    from wattscribe.training import experiment as experiments
    from wattscribe.training.prepare import prepare as make_speech

    def say(line: str) -> None:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(line, flush=True)

    experiment = experiments.with_length(experiments.read_experiment(config), minutes=minutes, steps=steps)
    if prepare:
        make_speech(experiment.speech, say)
        return
    fitted = experiments.run(experiment, out, resume=not fresh, say=say)
    for name, wer in fitted.dev_wer.items():
        say(f"{name}: {wer:.1%} WER")
    say(f"model: {out / 'model'}    export it: wattscribe export {out / 'model'} -o DIRECTORY")
