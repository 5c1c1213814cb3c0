"""The verb about several boards: one experiment on all of them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattscribe.verbs.called import Say, silent, verb

if TYPE_CHECKING:
    from wattscribe.fleets.cluster import Cluster
    from wattscribe.fleets.coordinate import Ended
    from wattscribe.fleets.hosts import Hosts
    from wattscribe.fleets.questions import Questions
    from wattscribe.fleets.stages import StageOnBoards
    from wattscribe.runs.experiment import Experiment


@verb
def fleet(
    experiment: Experiment | Mapping[str, Any] | Path | str | None,
    out: Path | str,
    *,
    hosts: Path | str | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    retry_failed: bool = False,
    patience_s: float = 600.0,
    say: Say | None = None,
) -> Ended:
    """Measure an experiment on every board into `out`, a folder with a run per board; where it has `shards`, each on one board.

    `hosts`: a TOML file with the boards, which are reached by SSH or are this machine. `scheduler`: the address of a Dask
    scheduler that runs already, each worker of it a board; with `hosts` too, those of these labels. A board that is lost goes on
    when it is back; `patience_s`: how long that is waited for once the others are through. None as experiment, with `resume`: the
    one that the run began with. What no board did is in `errors` of what is returned. Raises InputError for what cannot be, and
    MissingExtraError without Dask.
    """
    from wattscribe.errors import InputError, MissingExtraError
    from wattscribe.fleets.hosts import load as load_hosts
    from wattscribe.runs.experiment import check, load

    if hosts is None and scheduler is None:
        raise InputError("no boards are named", fix="Give a list of boards (`hosts`) or a Dask `scheduler`")
    try:
        from wattscribe.fleets import coordinate
    except ImportError as error:
        raise MissingExtraError(error.name or "distributed", "fleet", needed_for="a fleet") from error
    if isinstance(experiment, (str, Path)):
        experiment = load(Path(experiment))
    elif isinstance(experiment, Mapping):
        experiment = check(experiment)
    boards = None if hosts is None else load_hosts(Path(hosts))
    asked = coordinate.Asked(resume=resume, overwrite=overwrite, retry_failed=retry_failed, patience_s=patience_s)
    folder = Path(out)
    with (
        coordinate.opened(experiment, folder, asked) as record,
        _cluster(boards, scheduler, folder, record.boards) as cluster,
    ):
        if overwrite:
            coordinate.clear(folder)
        record = replace(record, boards=tuple(dict.fromkeys((*record.boards, *cluster.labels))))
        coordinate.keep(record, folder)
        return coordinate.measure(record, cluster, folder, asked, say or silent)


@contextlib.contextmanager
def workers_of(hosts: Path | str | None, scheduler: str | None, say: Say) -> Iterator[Questions | None]:
    """What answers questions on these machines; None where none are named."""
    if hosts is None and scheduler is None:
        yield None
        return
    with _cluster_of(hosts, scheduler) as cluster:
        from wattscribe.fleets.questions import Questions

        yield Questions(cluster=cluster, say=say)


@contextlib.contextmanager
def stages_of(hosts: Path | str | None, scheduler: str | None, say: Say) -> Iterator[StageOnBoards]:
    """What runs the stages of a tuning on these boards."""
    with _cluster_of(hosts, scheduler) as cluster:
        from wattscribe.fleets.stages import StageOnBoards

        yield StageOnBoards(cluster=cluster, say=say)


@contextlib.contextmanager
def _cluster_of(hosts: Path | str | None, scheduler: str | None) -> Iterator[Cluster]:
    """Machines that are named. Raises InputError, and MissingExtraError without Dask."""
    from wattscribe.errors import MissingExtraError
    from wattscribe.fleets.hosts import load as load_hosts

    boards = None if hosts is None else load_hosts(Path(hosts))
    with contextlib.ExitStack() as stack:
        logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="wattscribe-workers-"))
        try:
            cluster = _cluster(boards, scheduler, Path(logs), ())
        except ImportError as error:
            raise MissingExtraError(error.name or "distributed", "fleet", needed_for="workers") from error
        yield stack.enter_context(cluster)


def _cluster(
    hosts: Hosts | None, scheduler: str | None, out: Path, known: tuple[str, ...]
) -> AbstractContextManager[Cluster]:
    from wattscribe.fleets.cluster import of_hosts, of_scheduler

    if scheduler is not None:
        return of_scheduler(scheduler, hosts, known=known)
    if hosts is None:
        raise ValueError("there are no boards")
    return of_hosts(hosts, out)
