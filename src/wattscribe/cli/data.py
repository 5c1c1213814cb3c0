"""`wattscribe data get librispeech:test-clean`: download a LibriSpeech set, resumable and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from wattscribe.corpora.get import BASE_URL
from wattscribe.terminal import console

app = cyclopts.App(name="wattscribe data", help="Download speech to measure with.")

Switch = Annotated[bool, Parameter(negative=())]


@app.command
def get(
    name: str,
    /,
    *,
    out: Annotated[Path, Parameter(["--out", "-o"])] = Path("data"),
    mirror: str = BASE_URL,
    keep_archive: Switch = False,
) -> None:
    """Download a LibriSpeech set, check it, unpack it and print the folder for `--data`.

    Parameters
    ----------
    name
        librispeech:dev-clean, librispeech:dev-other, librispeech:test-clean or librispeech:test-other (0.3 GB each).
    out
        Where the folder LibriSpeech is made. An interrupted download lies here as .part and is resumed.
    mirror
        Address of the folder that holds the archives, for instance https://us.openslr.org/resources/12
    keep_archive
        Keep the .tar.gz after unpacking.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    import wattscribe

    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True)) as bar:
        task = bar.add_task(name, total=None, visible=False)
        folder = wattscribe.data(
            name,
            out,
            mirror=mirror,
            keep_archive=keep_archive,
            progress=lambda held, total: bar.update(task, completed=held, total=total, visible=True),
        )
    print(folder)
