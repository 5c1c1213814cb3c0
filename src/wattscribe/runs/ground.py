"""What a run stands on while it measures: its folder, its prepared speech, its models.

What somebody removes meanwhile ends the run with that reason. A trial that met the gap gets no verdict: it would say something
about the recognizer that is not so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import WattscribeError
from wattscribe.journal import FILE_NAME
from wattscribe.records import Trial
from wattscribe.runs.spool import Spool
from wattscribe.units import SAMPLE_BYTES

PUT_BACK = "Restore it, then continue with `resume`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """As it was when the run began or went on."""

    out_dir: Path
    journal: tuple[int, int]
    """Device and inode."""
    models: Mapping[Path, frozenset[str]]
    """Those that lie in files here, with the names in their folders; none for a single file."""

    @classmethod
    def of(cls, out_dir: Path, trials: Iterable[Trial]) -> Ground:
        named = {Path(trial.recognizer.model).expanduser() for trial in trials}
        models = {path: names for path in named if (names := _names(path)) is not None}
        return cls(out_dir=out_dir, journal=_identity(out_dir / FILE_NAME) or (0, 0), models=models)

    def check_folder(self) -> None:
        """Raises WattscribeError where the run's own folder or journal is not there any more."""
        if _identity(self.out_dir / FILE_NAME) != self.journal:
            raise WattscribeError(
                "the run's folder was removed while it was being measured", where=self.out_dir, fix="Start again"
            )

    def check(self, spool: Spool, model: str) -> None:
        """Raises WattscribeError where folder, speech or model are not there any more."""
        self.check_folder()
        wanted_bytes = sum(piece.samples for piece in spool.pieces) * SAMPLE_BYTES
        if not spool.path.is_file() or spool.path.stat().st_size < wanted_bytes:
            raise WattscribeError(
                "the prepared speech was removed during the run",
                where=spool.path,
                fix="Continue with `resume`, which prepares it again",
            )
        path = Path(model).expanduser()
        lost = self.models.get(path, frozenset()) - (_names(path) or frozenset())
        if path in self.models and _names(path) is None:
            raise WattscribeError("the model was removed during the run", where=path, fix=PUT_BACK)
        if lost:
            gone = path / min(lost)
            raise WattscribeError("this file was removed during the run", where=gone, fix=PUT_BACK)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _names(path: Path) -> frozenset[str] | None:
    """What lies in a folder, nothing for a file; None where there is neither, as for a model that is a name."""
    try:
        return (
            frozenset(entry.name for entry in path.iterdir())
            if path.is_dir()
            else frozenset()
            if path.is_file()
            else None
        )
    except OSError:
        return None
