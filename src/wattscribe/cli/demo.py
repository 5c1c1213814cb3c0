"""`wattscribe demo`: everything that needs a meter, without one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import cyclopts

from wattscribe.cli.output import Json, Quiet, document
from wattscribe.testing.demonstration import Check, checks, play, table

SCHEMA = 1
app = cyclopts.App(name="wattscribe demo", help="Try everything without a meter, on a simulated board.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Check):
    """A figure of the simulated board, and whether its interval held what is true. None: it has no interval."""

    holds: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrated:
    """Each figure against what is true of the simulated board; the folder holds all that was made."""

    board: str
    folder: str
    checks: Sequence[Held]


@app.default
def demo(
    *,
    simulated_board: str = "orin-nano",
    out: Annotated[Path, cyclopts.Parameter(["--out", "-o"])] = Path("runs/simulated"),
    overwrite: Annotated[bool, cyclopts.Parameter(negative=(), show_default=False)] = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Play meters, bench, attach, report and calibrate on a board whose joules are known, and say which intervals held them.

    Real recognizers run on bundled speech; the power is simulated, and every figure of it says `simulated`. Each command is
    printed before it is carried out, so that it can be given again. Takes a minute or two.

    Parameters
    ----------
    simulated_board
        orin-nano, orin-nx, xavier-nx or intel-laptop.
    out
        Where the board's sensor files, the models, both runs and the fitted profile are left.
    overwrite
        Replace the runs that are there.
    """
    from wattscribe.cli import run_verb

    with _aside(nowhere=quiet) if json_output or quiet else contextlib.nullcontext():
        status = play(
            simulated_board,
            out,
            overwrite=overwrite,
            verb=lambda verb, arguments: run_verb(verb, [*arguments, *(["--quiet"] if quiet else [])]),
            say=lambda text: print(text, flush=True),
        )
    if status != 0:
        return status
    found = checks(out)
    if json_output:
        held = [
            Held(**{field.name: getattr(each, field.name) for field in fields(each)}, holds=each.covered)
            for each in found
        ]
        print(document(SCHEMA, Demonstrated(board=simulated_board, folder=str(out), checks=held)))
        return 0
    if not quiet:
        print("\n--- What was true. This board is simulated, so its joules and constants are known.\n")
    print(table(found))
    return 0


@contextlib.contextmanager
def _aside(*, nowhere: bool) -> Iterator[None]:
    """Standard output is for the answer alone: inside, what the steps print goes to standard error, or nowhere."""
    with contextlib.ExitStack() as opened:
        target = opened.enter_context(Path(os.devnull).open("w", encoding="utf-8")) if nowhere else sys.stderr
        opened.enter_context(contextlib.redirect_stdout(target))
        yield
