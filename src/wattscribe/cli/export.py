"""`wattscribe export CHECKPOINT -o DIR`: a trained transducer or a Whisper as ONNX in sherpa-onnx's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(
    name="wattscribe export", help="Write a trained transducer or a Whisper as ONNX, in sherpa-onnx's layout."
)


@app.default
def export(
    checkpoint: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    precision: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
) -> None:
    """Write the networks and tokens.txt.

    Parameters
    ----------
    checkpoint
        The `model` folder that `wattscribe train` wrote (or its parent), or hf:MODEL: a Whisper or Distil-Whisper of the hub
        or a directory.
    out
        The directory to write.
    precision
        fp32, fp16, int8, or several of them; if omitted, fp32 and int8.
    """
    import wattscribe

    wattscribe.export(checkpoint, out, precisions=precision or ("fp32", "int8"), say=print)
