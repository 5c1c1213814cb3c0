"""`wattscribe compress`: make a recogniser cheaper under a WER limit, and prove it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from wattscribe.cli.flags import spelled
from wattscribe.cli.output import Json, Quiet, progress
from wattscribe.compression.options import Options

app = cyclopts.App(
    name="wattscribe compress",
    help="Find the recipe of least energy for a transducer or a Whisper under a WER limit, and prove the result.",
)


@app.default
def compress(
    model: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o", "--output"])],
    options: Annotated[Options, Parameter("*", negative=(), consume_multiple=False)],
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Compress MODEL for a device and write the result with its recipe, figures and report.

    Parameters
    ----------
    model
        An exported transducer or Whisper (fp32) in sherpa-onnx's layout; with --train-config a trained checkpoint.
    out
        The directory to write: complete, or absent.
    overwrite
        Replace a directory that an earlier run wrote.
    """
    import wattscribe
    from wattscribe.compression import outcome
    from wattscribe.records import json_text

    asked = {field.name: getattr(options, field.name) for field in fields(Options)}
    say = progress(quiet=quiet, as_json=json_output)
    result = wattscribe.compress(model, out, **asked, overwrite=overwrite, say=say)
    if json_output:
        print(json_text(outcome.to_json(result), indent=2))
        return 0 if result.met else 1
    print(spelled("\n".join(outcome.lines(result)), "compress"))
    print(f"written: {out}")
    return 0 if result.met else 1
