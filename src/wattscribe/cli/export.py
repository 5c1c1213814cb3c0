"""`wattscribe export CHECKPOINT -o DIR`: a trained transducer or a Whisper as ONNX in sherpa-onnx's layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from wattscribe.cli.output import Json, Quiet, document

app = cyclopts.App(
    name="wattscribe export", help="Write a trained transducer or a Whisper as ONNX, in sherpa-onnx's layout."
)

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """One file of a model."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The files that were written."""

    files: Sequence[WrittenFile]


@app.default
def export(
    checkpoint: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    precision: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
    json_output: Json = False,
    quiet: Quiet = False,  # the files are the result
) -> None:
    """Write the networks and tokens.txt.

    Parameters
    ----------
    checkpoint
        The `model` folder that `wattscribe train` wrote (or its parent), or a Whisper or Distil-Whisper: hf:MODEL
        of the hub, or its directory.
    out
        The directory to write.
    precision
        fp32, fp16, int8, or several of them; if omitted, fp32 and int8.
    """
    import wattscribe

    say = None if json_output else print
    written = wattscribe.export(checkpoint, out, precisions=precision or ("fp32", "int8"), say=say)
    if json_output:
        files = [WrittenFile(path=str(path), bytes=path.stat().st_size) for path in written]
        print(document(SCHEMA, Exported(files=files)))
