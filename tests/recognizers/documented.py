"""What the documentation tells others to write, so that just that is tested."""

from __future__ import annotations

from pathlib import Path

from tests.docs.blocks import blocks


def files(page: str) -> dict[str, str]:
    """The files that a page shows, by name."""
    return {block.file: block.text + "\n" for block in blocks(page) if block.file is not None}


def written(page: str, folder: Path) -> Path:
    """All of them, in a folder."""
    for name, text in files(page).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
