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
        Start again instead of resuming.
    prepare
        Only prepare the speech (and the teacher's outputs), then stop.
    minutes
        Minutes of training, instead of the file's length.
    steps
        Steps of training, instead of the file's length.
    """
    import wattscribe

    def say(line: str) -> None:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(line, flush=True)

    fitted = wattscribe.train(
        config, out, resume=not fresh, minutes=minutes, steps=steps, prepare_only=prepare, say=say
    )
    if fitted is None:
        return
    for name, wer in fitted.dev_wer.items():
        say(f"{name}: {wer:.1%} WER")
    say(f"model: {out / 'model'}    export it: wattscribe export {out / 'model'} -o DIRECTORY")
