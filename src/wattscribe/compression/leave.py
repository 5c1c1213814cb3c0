"""What an interrupted run leaves behind, and how to go on from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wattscribe.compression.checked import Placed
from wattscribe.compression.recipe import Recipe, to_toml


@contextmanager
def leaving(options: Placed, recipe: Recipe | None = None) -> Iterator[None]:
    """An interrupt inside says where the measurements lie and leaves the recipe, where one is chosen, beside OUT."""
    try:
        yield
    except KeyboardInterrupt as error:
        sentences = []
        if recipe is not None and options.leave is not None:
            path = _free(options.leave)
            try:
                path.write_text(to_toml(recipe), encoding="utf-8")
                sentences.append(
                    f"The steps that were kept, not yet proven, are in {path}: carry them out with `recipe`"
                )
            except OSError as refused:
                sentences.append(f"The steps that were kept could not be written: {path}: {refused.strerror}")
        if options.journal is not None and options.journal.is_file():
            sentences.append(f"The same command goes on from {options.journal}")
        raise KeyboardInterrupt(". ".join(sentences) or "Nothing was measured yet") from error


def cut_note(why: str, options: Placed) -> str:
    """For the result of a search that ended early."""
    there = "" if options.journal is None else f" from {options.journal}, which knows what was measured"
    again = "" if options.storage is not None else " and `overwrite`"
    return (
        f"The search was cut short {why}: this is the best that held so far. The same command with more `minutes` or none"
        f"{again} goes on{there}."
    )


def _free(path: Path) -> Path:
    """The path, or one like it that nothing lies at."""
    number = 1
    free = path
    while free.exists() or free.is_symlink():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
