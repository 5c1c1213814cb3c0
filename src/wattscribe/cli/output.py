"""What every verb has alike: `--json`, `--quiet`, and where progress goes.

`--json`: standard output is one JSON document (of `transcribe` one per line), whose schema is shipped (`wattscribe.schemas`);
progress goes to standard error. `--quiet`: the result alone, no progress and no hints. Errors are one line in either case.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter

from wattscribe.records import json_text, to_json
from wattscribe.terminal import say

Json: TypeAlias = Annotated[
    bool,
    Parameter("--json", negative=(), show_default=False, help="Print JSON instead; its schema: wattscribe.schemas."),
]
Quiet: TypeAlias = Annotated[
    bool,
    Parameter(
        ["--quiet", "-q"], negative=(), show_default=False, help="Print the result alone: no progress, no hints."
    ),
]


def progress(*, quiet: bool, as_json: bool) -> Callable[[str], None] | None:
    """Where a verb tells what it does: standard output, standard error beside JSON, or nowhere."""
    if quiet:
        return None
    return say if as_json else partial(print, flush=True)


def document(schema: int, answer: Any) -> str:
    """An answer as `--json` prints it: the version of its schema, then its fields."""
    return json_text({"schema": schema, **to_json(answer)}, indent=2)
