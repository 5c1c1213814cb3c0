"""A Dask worker that leaves the board to what is measured: its clocks slow, its watchers off.

With Dask's defaults an idle worker with its nanny wakes up some hundred times a second. All of that serves dashboards and memory
limits, which a board that runs one trial at a time has no use for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distributed import Nanny, Status, Worker
from distributed.diagnostics.plugin import NannyPlugin, WorkerPlugin
from tornado.ioloop import PeriodicCallback

SLOW_S = 60.0
"""Between two signs of life. A scheduler forgets a worker after 300 s without one (distributed.scheduler.worker-ttl)."""
CONFIG: dict[str, Any] = {
    "distributed.admin.tick.interval": f"{SLOW_S:g}s",
    "distributed.admin.tick.limit": f"{3 * SLOW_S:g}s",
    "distributed.admin.tick.cycle": f"{SLOW_S:g}s",
    "distributed.admin.system-monitor.interval": f"{SLOW_S:g}s",
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}
"""For processes that we start; a nanny and its worker read some of it only as they begin."""


def slow_down(server: Any) -> dict[str, float]:
    """Every clock of a running worker or nanny, those of its configuration too; returns what they were, in ms by name."""
    before = {name: callback.callback_time for name, callback in server.periodic_callbacks.items()}
    set_clocks(server, {name: max(time_ms, 1000 * SLOW_S) for name, time_ms in before.items()})
    return before


def set_clocks(server: Any, times_ms: Mapping[str, float]) -> None:
    """Those that are named and differ."""
    for name, time_ms in times_ms.items():
        callback = server.periodic_callbacks.get(name)
        if callback is not None and callback.callback_time != time_ms:
            callback.stop()
            callback.callback_time = time_ms
            callback.start()


class Seat(WorkerPlugin):  # type: ignore[misc]
    """Makes a worker the one of a board: quiet, and a resource under its name that one job at a time can have."""

    name = "wattscribe-seat"

    async def setup(self, worker: Worker) -> None:
        """Called by Dask on each worker, also on one that comes later or comes back."""
        self.before = slow_down(worker)
        # The scheduler's answer to each sign of life sets the clock of the next one to half a second.
        worker.periodic_callbacks["heartbeat"].stop()
        self.heartbeat = PeriodicCallback(worker.heartbeat, 1000 * SLOW_S)
        self.heartbeat.start()
        await worker.set_resources(**{ANY: 1, resource(str(worker.name)): 1})

    def teardown(self, worker: Worker) -> None:
        """As the worker was; it may serve others next."""
        self.heartbeat.stop()
        if worker.status == Status.running:
            set_clocks(worker, self.before)
            worker.periodic_callbacks["heartbeat"].start()


class QuietNanny(NannyPlugin):  # type: ignore[misc]
    """The same for the process that watches a worker."""

    name = "wattscribe-quiet-nanny"

    def setup(self, nanny: Nanny) -> None:
        self.before = slow_down(nanny)

    def teardown(self, nanny: Nanny) -> None:
        set_clocks(nanny, self.before)


ANY = "wattscribe-board"
"""The resource that every board has once."""


def resource(label: str) -> str:
    """The resource that one board alone has."""
    return f"{ANY}:{label}"
