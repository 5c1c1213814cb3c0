"""`wattscribe fleet run EXPERIMENT.toml --hosts boards.toml`: one experiment on many boards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from wattscribe.cli.output import Json, Quiet

app = cyclopts.App(name="wattscribe fleet", help="Measure on many boards at once, through Dask.")

Switch = Annotated[bool, Parameter(negative=(), show_default=False)]


@app.command
def run(
    experiment: Path | None = None,
    /,
    *,
    hosts: Path | None = None,
    scheduler: str | None = None,
    out: Annotated[Path, Parameter(["--out", "-o"])] = Path("runs/fleet"),
    shards: int | None = None,
    resume: Switch = False,
    retry_failed: Switch = False,
    overwrite: Switch = False,
    patience_s: float = 600.0,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Run an experiment on every board, or, with shards, each part of the corpus on one of them; then print the table of all.

    Exit status 0: every trial is done, boards of a class gave the same texts. 1: not so. 2: bad input. 130: interrupted.

    Parameters
    ----------
    experiment
        The experiment's TOML file (docs/bench.md). Its paths are read on the boards.
    hosts
        A TOML file with a [[boards]] table for each board: label, and host unless it is this machine (docs/fleet.md).
    scheduler
        A Dask scheduler that runs already, tcp://HOST:PORT: each of its workers is a board; with --hosts too, those of these
        labels. It executes code for whoever reaches it.
    out
        The folder of the run; each board's own run is in OUT/LABEL.
    shards
        Cut each corpus into so many parts, and have each part transcribed once, by whichever board is free.
    resume
        Resume the run in --out; without an experiment, the one that it began with.
    retry_failed
        With --resume: also repeat failed trials.
    overwrite
        Replace the run in --out.
    patience_s
        Seconds to wait for lost boards once all others are through.
    """
    import wattscribe
    from wattscribe.runs.experiment import load
    from wattscribe.terminal import say

    values = None if experiment is None else load(experiment, {} if shards is None else {"shards": shards})
    ended = wattscribe.fleet(
        values, out, hosts=hosts, scheduler=scheduler, resume=resume, overwrite=overwrite, retry_failed=retry_failed,
        patience_s=patience_s, say=None if quiet else say,
    )  # fmt: skip
    for line in ended.errors:
        say(line)
    return 1 if _show(out, as_json=json_output, quiet=quiet) or ended.errors else 0


def _show(out: Path, *, as_json: bool, quiet: bool) -> bool:
    """The table on standard output, and the page; whether something in them is amiss."""
    import wattscribe
    from wattscribe.journal import read_run
    from wattscribe.journal_file import holds_run, run_folders
    from wattscribe.results.fleet import amiss

    folders = [folder for folder in run_folders(out) if holds_run(folder)]
    if not folders:
        return True
    print(wattscribe.report(folders, format="json" if as_json else "md").rstrip("\n"), flush=True)
    page = wattscribe.report(folders, out / "report.html", format="html")
    if not (as_json or quiet):
        print(f"report: {page}")
    return amiss([read_run(folder) for folder in folders])
