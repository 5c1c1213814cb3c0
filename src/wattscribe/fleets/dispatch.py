"""Jobs to boards through Dask, whatever becomes of the boards: what is lost is said, waits, and goes on when it is back."""

from __future__ import annotations

import contextlib
import queue
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distributed import Future, KilledWorker
from distributed import TimeoutError as TookTooLong

from wattscribe.fleets import on_board
from wattscribe.fleets.cluster import Cluster
from wattscribe.fleets.jobs import Job, Outcome
from wattscribe.fleets.quiet import ANY, resource

LOOK_S = 0.5
MAX_LOSSES = 3
"""A job that was lost this often in a row, with no trial finished in between, is given up: it takes its board down."""
FETCH_S = 10.0
"""An outcome is a few kilobytes; one that has not come after so long has gone with its worker."""
GIVEN_UP = f"lost {MAX_LOSSES} times without a finished trial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A job that Dask has."""

    future: Future
    address: str
    """Of the worker that has it."""


@dataclass(slots=True, kw_only=True)
class Attendance:
    """Which boards are there, with their addresses, since somebody looked last."""

    cluster: Cluster
    say: Callable[[str], None]
    lost: str = "lost; what it has finished is kept, the rest waits for it"
    present: Mapping[str, str] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def free(self, taken: Collection[str], label: str | None = None) -> Iterator[str]:
        """The labels of those at no address that is taken; `label`: of this one alone."""
        return (one for one, address in self.present.items() if label in (None, one) and address not in taken)

    def look(self) -> None:
        """Say who went and who came, and have started what is missing."""
        present = self.cluster.present()
        gone = {label for label, address in self.present.items() if present.get(label) != address}
        for label in sorted(gone):
            self.say(f"{label}: {self.lost}")
        for label in sorted(set(present) - (set(self.present) - gone)):
            self.say(f"{label}: {'back' if label in self._seen else 'there'}")
        self.present = present
        self._seen |= set(present)
        for line in self.cluster.tend(present):
            self.say(line)


@dataclass(slots=True, kw_only=True)
class Dispatch:
    """Jobs on a cluster, one at a time on each board; `say` is given a line for whatever happens."""

    cluster: Cluster
    say: Callable[[str], None]
    patience_s: float = 600.0
    """How long lost boards are waited for once nothing else is going on."""
    _events: queue.SimpleQueue[Mapping[str, Any]] = field(default_factory=queue.SimpleQueue)
    _boards: Attendance = field(init=False)
    _losses: Counter[str] = field(default_factory=Counter)
    """By board, since the last trial that ended there; by shard where any board may take it."""

    def __post_init__(self) -> None:
        self._boards = Attendance(cluster=self.cluster, say=self.say)

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome | None]]:
        """Each job with its outcome as they come; None: its board stayed away. Interrupted, it stops the boards."""
        client = self.cluster.client
        client.subscribe_topic(on_board.TOPIC, lambda event: self._events.put(event[1]))
        waiting = dict(enumerate(jobs))
        futures: dict[int, Submitted] = {}
        since_s = time.monotonic()
        try:
            while waiting:
                self._boards.look()
                self._place(waiting, futures)
                for at in [at for at, job in waiting.items() if at not in futures and self._given_up(job)]:
                    yield waiting[at], Outcome(label=waiting.pop(at).label or "a shard", run_dir="", error=GIVEN_UP)
                since_s = time.monotonic() if futures else since_s
                for at in [at for at, one in futures.items() if one.future.status != "pending"]:
                    outcome = self._outcome(futures.pop(at).future, waiting[at])
                    if outcome is not None:
                        yield waiting.pop(at), outcome
                if time.monotonic() - since_s > self.patience_s:
                    yield from ((job, None) for job in waiting.values())
                    return
                self._hear()
        finally:
            client.unsubscribe_topic(on_board.TOPIC)
            if futures:
                client.cancel([one.future for one in futures.values()], force=True)
                for fleet in {job.fleet for job in jobs}:
                    with contextlib.suppress(Exception):
                        client.run(on_board.stop, fleet, on_error="ignore")

    def _place(self, waiting: Mapping[int, Job], futures: dict[int, Submitted]) -> None:
        """Submit what has a free board, and take back what has lost its own.

        Never more than boards can begin: Dask places a job as it is submitted, and boards that come later would stay idle. A
        worker that its nanny has started again is another one, at another address, also where nobody saw it missing.
        """
        for at in [at for at, one in futures.items() if one.address not in self._boards.present.values()]:
            futures.pop(at).future.cancel(force=True)
            self._losses[_key(waiting[at])] += 1
        taken = {one.address for one in futures.values()}
        for at, job in waiting.items():
            label = next(self._boards.free(taken, job.label), None)
            if label is not None and at not in futures and not self._given_up(job):
                wanted = {ANY: 1, resource(label): 1}
                key = f"{job.fleet}-{at}-{time.monotonic_ns()}"
                future = self.cluster.client.submit(on_board.measure, job, key=key, resources=wanted, pure=False)
                futures[at] = Submitted(future=future, address=self._boards.present[label])
                taken.add(futures[at].address)

    def _hear(self) -> None:
        """What boards tell, as it comes, until it is time to look again."""
        until_s = time.monotonic() + LOOK_S
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left_s)
            except queue.Empty:
                return
            if event["event"] == "ended":
                self._losses.pop(event["label"], None)
                for key in [key for key in self._losses if event["trial"] in key.split(",")]:
                    del self._losses[key]
            if line := _line(event):
                self.say(f"{event['label']}: {line}")

    def _given_up(self, job: Job) -> bool:
        return self._losses[_key(job)] >= MAX_LOSSES

    def _outcome(self, future: Future, job: Job) -> Outcome | None:
        """What came of it; None: to be tried again."""
        if future.status == "finished" and (outcome := fetched(future)) is not None:
            return outcome  # type: ignore[no-any-return]
        error = future.exception() if future.status == "error" else None
        label = job.label or "a shard"
        if error is not None and not isinstance(error, (KilledWorker, ChildProcessError)):
            words = " ".join(str(error).split())[:300]
            return Outcome(label=label, run_dir="", error=f"{type(error).__name__}: {words}")
        why = "Dask forgot it" if error is None else str(error).splitlines()[0]
        self._losses[_key(job)] += 1
        self.say(f"{label}: {why}")
        return None


def fetched(future: Future) -> Any | None:
    """What a finished one holds; None: its worker is gone with it, and Dask would wait for that one to do it again."""
    try:
        return future.result(timeout=FETCH_S)
    except TookTooLong:
        future.cancel(force=True)
        return None


def _key(job: Job) -> str:
    """Whose losses are counted together."""
    return job.label or ",".join(job.only or ())


def _line(event: Mapping[str, Any]) -> str | None:
    """An event in words, as `runs.progress.Lines` has them."""
    kind = event["event"]
    if kind == "noted":
        return f"note: {event['text']}"
    if kind == "planned":
        count = event["trials"]
        return f"{count} trial{'' if count == 1 else 's'}, {event['audio_s']:.0f} s of speech to transcribe"
    if kind == "started":
        return f"{event['title']}: started"
    if kind == "ended":
        return f"{event['title']}: {event['status']}" + ("" if event["reason"] is None else f": {event['reason']}")
    return None
