"""`wattscribe demo --simulated-board NAME`: everything that needs a meter, without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts

app = cyclopts.App(name="wattscribe demo", help="Try everything without a meter, on a simulated board.")


@app.default
def demo(
    *,
    simulated_board: str | None = None,
    out: Annotated[Path, cyclopts.Parameter(["--out", "-o"])] = Path("runs/simulated"),
    overwrite: Annotated[bool, cyclopts.Parameter(negative=(), show_default=False)] = False,
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
    from wattscribe.errors import InputError
    from wattscribe.testing.board import choices
    from wattscribe.testing.demonstration import play

    if simulated_board is None:
        raise InputError("no board was named", fix=f"wattscribe demo --simulated-board NAME, one of: {choices()}")

    return play(simulated_board, out, overwrite=overwrite, verb=run_verb, say=lambda text: print(text, flush=True))
