"""What a board is asked to do, and what it answers: plain records, so that any scheduler can carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXIT_STOPPED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Trials of one experiment for one board, in the journal that the board keeps."""

    fleet: str
    """The id of the fleet's run."""
    experiment: Mapping[str, Any]
    only: tuple[str, ...] | None = None
    """Trials by id; None: all."""
    label: str | None = None
    """The board; None: whichever takes it."""
    salt: str = ""
    retry_failed: bool = False
    folders: Mapping[str, str] = field(default_factory=dict)
    """By label, where relative paths start; elsewhere where the worker started."""
    journals: Mapping[str, str] = field(default_factory=dict)
    """By label, where its run is kept, for boards that are this machine; elsewhere below the user's data folder."""
    simulated: Mapping[str, str] = field(default_factory=dict)
    """By label, which board is played there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a job."""

    label: str
    run_dir: str
    """On the board."""
    error: str | None = None
    """The one line that says what is at fault; None: it ran, and the journal has a verdict on each trial."""
    fix: str | None = None
