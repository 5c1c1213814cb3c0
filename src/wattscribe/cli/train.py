"""`wattscribe train CONFIG.toml`: train a streaming transducer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from wattscribe.cli.output import Json, Quiet, document, progress

app = cyclopts.App(name="wattscribe train", help="Train a streaming transducer as a TOML file says (docs/training.md).")

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The model's folder (None: speech was prepared only), and the WER of each development set, a fraction."""

    model: str | None
    dev_wer: Mapping[str, float]


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
    json_output: Json = False,
    quiet: Quiet = False,
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

    first = os.environ.get("LOCAL_RANK", "0") == "0"
    say = progress(quiet=quiet, as_json=json_output) if first else None
    fitted = wattscribe.train(
        config, out, resume=not fresh, minutes=minutes, steps=steps, prepare_only=prepare, say=say
    )
    if not first:
        return
    model = str(out / "model")
    if json_output:
        answer = Trained(model=model, dev_wer=fitted.dev_wer) if fitted else Trained(model=None, dev_wer={})
        print(document(SCHEMA, answer))
    elif fitted is not None:
        for name, wer in fitted.dev_wer.items():
            print(f"{name}: {wer:.1%} WER", flush=True)
        hint = "" if quiet else f"    export it: wattscribe export {model} -o DIRECTORY"
        print(f"model: {model}{hint}", flush=True)
