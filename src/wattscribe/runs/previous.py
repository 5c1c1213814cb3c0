"""The run that `--overwrite` replaces, kept aside until the new one has transcribed something: a model that cannot be loaded, or
files of which none can be used, cost no old results.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from wattscribe.journal import FILE_NAME
from wattscribe.journal_file import fold_log, readable_errors

DIRECTORY = "previous"


class Previous:
    """`names` are the files beside the journal that belong to a run. The caller holds the run's lock."""

    def __init__(self, run_dir: Path, names: Sequence[str]) -> None:
        self._run_dir, self._names = run_dir, names
        self._folder = run_dir / DIRECTORY

    @property
    def kept(self) -> bool:
        """Whether an old run waits, also one that a killed runner had set aside."""
        return (self._folder / FILE_NAME).exists()

    def keep(self) -> None:
        """Set the run aside that lies here; its journal stays in place too, until a new one takes it."""
        if self.kept:  # what lies here has transcribed nothing: it replaces nothing
            return
        with readable_errors(self._run_dir):
            self._folder.mkdir(exist_ok=True)
            self._move(self._run_dir, self._folder)
            fold_log(self._run_dir / FILE_NAME)
            _second_name(self._run_dir / FILE_NAME, self._folder / FILE_NAME)

    def restore(self) -> None:
        """As if the new run had never begun; its journal is closed."""
        with readable_errors(self._run_dir):
            for name in self._names:
                (self._run_dir / name).unlink(missing_ok=True)
            self._move(self._folder, self._run_dir)
            fold_log(self._run_dir / FILE_NAME)
            (self._folder / FILE_NAME).replace(self._run_dir / FILE_NAME)
        self.forget()

    def forget(self) -> None:
        """The new run stands."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _move(self, source: Path, target: Path) -> None:
        for name in self._names:
            with contextlib.suppress(FileNotFoundError):
                (source / name).replace(target / name)


def _second_name(path: Path, other: Path) -> None:
    """The file under another name too; a copy where the file system has no links."""
    try:
        os.link(path, other)
    except OSError:
        draft = other.with_suffix(".new")
        shutil.copyfile(path, draft)
        draft.replace(other)
