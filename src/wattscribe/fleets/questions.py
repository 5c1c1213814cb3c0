"""Questions to the workers of a cluster, one at a time each: what a search asks, where nothing is measured by a meter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from distributed import Future, KilledWorker, get_worker

from wattscribe.errors import WattscribeError
from wattscribe.fleets.cluster import Cluster
from wattscribe.fleets.dispatch import LOOK_S, MAX_LOSSES, Attendance, fetched
from wattscribe.fleets.quiet import ANY, resource

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(slots=True, kw_only=True)
class _Open:
    """A question without an answer."""

    question: Any
    losses: int = 0
    future: Future | None = None
    address: str = ""
    """Of the worker that has it."""


@dataclass(slots=True, kw_only=True)
class Questions:
    """Answers on a cluster; `say` is given a line for whatever becomes of its workers."""

    cluster: Cluster
    say: Callable[[str], None]
    patience_s: float = 600.0
    """How long workers are waited for while there is none."""
    _workers: Attendance = field(init=False)

    def __post_init__(self) -> None:
        lost = "lost; what it had in hand goes to another"
        self._workers = Attendance(cluster=self.cluster, say=self.say, lost=lost)

    def answer(
        self, function: Callable[[Q], A], ask: Callable[[], Q | None], told: Callable[[Q, A | None, str], None],
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        """As `compression.elsewhere.Workers` says. Raises WattscribeError where no worker comes, and for errors there."""
        asked: list[_Open] = []
        more, since_s = True, time.monotonic()
        try:
            while more or asked:
                check()
                self._workers.look()
                while more and len(asked) < len(self._workers.present):
                    question = ask()
                    more = question is not None
                    asked += [_Open(question=question)] if question is not None else []
                self._place(function, asked)
                futures = [one.future for one in asked if one.future is not None]
                since_s = time.monotonic() if futures or not asked else since_s
                if not self._workers.present and time.monotonic() - since_s > self.patience_s:
                    fix = "Start workers, and give the same command, which goes on from its `storage`"
                    raise WattscribeError(f"there was no worker for {self.patience_s:g} s", fix=fix)
                _until_one_is_done(futures)
                for one in [one for one in asked if one.future is not None and one.future.status != "pending"]:
                    if (answer := self._answer(one)) is not None:
                        asked.remove(one)
                        told(one.question, *answer)
        finally:
            self.cluster.client.cancel([one.future for one in asked if one.future is not None], force=True)

    def _place(self, function: Callable[[Any], Any], asked: list[_Open]) -> None:
        """Submit what has a free worker, as `Dispatch` does with jobs."""
        there = frozenset(self._workers.present.values())
        folders = {label: board.folder for label, board in self.cluster.boards.items() if board.folder is not None}
        for one in asked:
            if one.future is not None and one.address not in there:
                one.future.cancel(force=True)
                one.future = None
                one.losses += 1
        taken = {one.address for one in asked if one.future is not None}
        for one in [one for one in asked if one.future is None]:
            if (label := next(self._workers.free(taken), None)) is not None:
                one.address = self._workers.present[label]
                taken.add(one.address)
                wanted = {ANY: 1, resource(label): 1}
                one.future = self.cluster.client.submit(
                    _there, function, one.question, folders, resources=wanted, pure=False
                )

    def _answer(self, one: _Open) -> tuple[Any, str] | None:
        """What came of it and where; None: to be asked again."""
        future, one.future = one.future, None
        if future is None:
            return None
        if future.status == "finished" and (found := fetched(future)) is not None:
            where, answer = found
            return answer, where
        error = future.exception() if future.status == "error" else None
        if isinstance(error, KilledWorker):
            return None, error.last_worker.name
        if error is not None:
            words = " ".join(str(error).split())[:300]
            raise WattscribeError(f"a worker could not answer: {type(error).__name__}: {words}") from error
        one.losses += 1
        return (None, "the workers") if one.losses >= MAX_LOSSES else None


def _until_one_is_done(futures: list[Future]) -> None:
    """Or until it is time to look again."""
    until_s = time.monotonic() + LOOK_S
    while time.monotonic() < until_s and all(future.status == "pending" for future in futures):
        time.sleep(LOOK_S / 10)


def _there(function: Callable[[Any], Any], question: Any, folders: Mapping[str, str]) -> tuple[str, Any]:
    """On a worker: its label, and the answer."""
    label = str(get_worker().name)
    with _inside(folders.get(label)):
        return label, function(question)


@contextmanager
def _inside(folder: str | None) -> Iterator[None]:
    """Where relative paths start; without a folder where the worker did."""
    if folder is None:
        yield
        return
    before = Path.cwd()
    os.chdir(Path(folder).expanduser())
    try:
        yield
    finally:
        os.chdir(before)
