"""`wattscribe data get librispeech:test-clean`: download speech, noise or a model, resumable and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from wattscribe.cli.output import Json, Quiet, document
from wattscribe.terminal import console

app = cyclopts.App(name="wattscribe data", help="Download speech, noise and a model to measure with.")

Switch = Annotated[bool, Parameter(negative=())]
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What was downloaded, and where it lies."""

    name: str
    folder: str


@app.command
def get(
    name: str,
    /,
    *,
    out: Annotated[Path, Parameter(["--out", "-o"])] = Path("data"),
    mirror: str | None = None,
    keep_archive: Switch = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download speech, noise or a model, check it, unpack it and print its folder.

    Parameters
    ----------
    name
        librispeech: and dev-clean, dev-other, test-clean or test-other (0.3 GB each); noise: and kitchen, living-room, office,
        cafeteria, traffic or car (0.1 GB each); model:zipformer-gigaspeech-3.3m (18 MB).
    out
        Where the folders LibriSpeech, noise and models are made. An interrupted download lies here as .part and is resumed.
    mirror
        Address of the folder that holds the archives, for instance https://us.openslr.org/resources/12
    keep_archive
        Keep the archive after unpacking.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    import wattscribe

    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True), disable=quiet) as bar:
        task = bar.add_task(name, total=None, visible=False)
        folder = wattscribe.data(
            name,
            out,
            mirror=mirror,
            keep_archive=keep_archive,
            progress=lambda held, total: bar.update(task, completed=held, total=total, visible=True),
        )
    print(document(SCHEMA, Fetched(name=name, folder=str(folder))) if json_output else folder)
