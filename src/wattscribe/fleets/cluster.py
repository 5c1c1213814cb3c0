"""A Dask cluster: boards that are reached by SSH or are this machine, or a cluster that runs already.

Whoever reaches a Dask scheduler or worker has code executed there. So all of ours listen on loopback, or, where boards were
named, at the one address at which these reach this machine; with TLS where Dask's own configuration says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Scheduler, Security, SpecCluster
from distributed.deploy import ssh
from distributed.deploy.subprocess import Subprocess
from distributed.utils import get_ip

from wattscribe.errors import InputError
from wattscribe.fleets.hosts import LABEL, BoardEntry, Hosts
from wattscribe.fleets.quiet import ANY, CONFIG, QuietNanny, Seat

LOOPBACK = "127.0.0.1"
AGAIN_S = 15.0
"""Between two attempts to start what is missing."""
START_S = 180.0
"""A worker that runs and is not connected after so long is started anew; a busy board takes a minute to import Dask."""
CONNECT_S = 10.0
ALONE_S = 60.0
"""A worker that finds no scheduler for so long ends: whoever started it was killed."""
KEEP_ALIVE_S = 30.0


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A client, and which boards should be there."""

    client: Client
    labels: tuple[str, ...]
    boards: Mapping[str, BoardEntry] = field(default_factory=dict)
    """What was said of them."""
    starters: Starters | None = None
    """None: the cluster runs already."""

    def is_here(self, label: str) -> bool:
        """Whether the board is this machine, so that its run is written where it is wanted."""
        return self.starters is not None and self.boards[label].host is None

    def present(self) -> dict[str, str]:
        """The boards that are connected now, with their addresses; a worker is one once `Seat` has made it one."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        return {str(facts["name"]): address for address, facts in workers.items() if ANY in facts["resources"]}

    def tend(self, present: Mapping[str, str]) -> list[str]:
        """Start what is missing; returns what there is to say of it. Never waits."""
        return [] if self.starters is None else self.starters.tend(present)


@contextlib.contextmanager
def of_hosts(hosts: Hosts, logs: Path) -> Iterator[Cluster]:
    """A scheduler in this process, and a worker on each board as far as they can be reached. All are gone in the end."""
    remote = [board.host for board in hosts.boards if board.host is not None]
    address = hosts.address or (get_ip(remote[0]) if remote else LOOPBACK)
    with dask.config.set(CONFIG):
        security = Security()
        options = {
            "host": address,
            "port": 0,
            "protocol": "tls" if security.require_encryption else "tcp",
            "security": security,
            "dashboard": False,
            "dashboard_address": f"{LOOPBACK}:0",
        }
        scheduler = {"cls": Scheduler, "options": options}
        with (
            SpecCluster(scheduler=scheduler, workers={}, security=security, silence_logs=logging.CRITICAL) as cluster,
            _client(cluster, security) as client,
        ):
            starters = Starters(cluster=cluster, boards=hosts.boards, logs=logs)
            try:
                yield Cluster(
                    client=client,
                    labels=tuple(board.label for board in hosts.boards),
                    boards={board.label: board for board in hosts.boards},
                    starters=starters,
                )
            finally:
                starters.close()


@contextlib.contextmanager
def of_scheduler(address: str, hosts: Hosts | None = None, *, known: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """A cluster that runs already. Its boards: those of `hosts`, by the names of its workers; else every worker that it has.

    `known`: those of an earlier part of the run. Raises InputError where nobody answers, and where there is no worker.
    """
    boards = {} if hosts is None else {board.label: board for board in hosts.boards}
    with _client(address, Security()) as client:
        cluster = Cluster(client=client, labels=tuple(boards) or known, boards=boards)
        if not (there := tuple(cluster.present())) and not cluster.labels:
            raise InputError(
                "this scheduler has no workers", where=address, fix=f"Start one on each board: dask worker {address}"
            )
        if not boards:
            cluster.labels = tuple(dict.fromkeys((*known, *there)))
        if strange := [label for label in cluster.labels if re.fullmatch(LABEL, label) is None]:
            fix = "Start it with a --name of letters, digits, dots and dashes"
            raise InputError(f"the worker's name {strange[0]!r} is no board's label", where=address, fix=fix)
        yield cluster


@contextlib.contextmanager
def _client(where: Any, security: Security) -> Iterator[Client]:
    """A client whose cluster's workers are boards, those that come later too. Raises InputError where nobody answers."""
    try:
        client = Client(where, security=security, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        fix = "Start it (dask scheduler), or check the address, and Dask's TLS settings where it wants them"
        raise InputError(f"no Dask scheduler answers: {str(error).splitlines()[0]}", where=where, fix=fix) from error
    try:
        client.register_plugin(QuietNanny())
        client.register_plugin(Seat())
        yield client
    finally:
        with contextlib.suppress(Exception):  # whoever is gone needs nothing undone
            client.unregister_worker_plugin(Seat.name)
            client.unregister_worker_plugin(QuietNanny.name, nanny=True)
        client.close()


# --- boards that we start ---------------------------------------------------------------------------------------------
class LocalBoard(Subprocess):  # type: ignore[misc]
    """A worker on this machine, as Dask's own, with its configuration and a log."""

    def __init__(self, scheduler: str, options: Mapping[str, Any], log: Path) -> None:
        self._scheduler, self._options, self._log = scheduler, options, log
        super().__init__()

    async def _start(self) -> None:
        spec = json.dumps({"cls": "distributed.Nanny", "opts": {**self._options, "host": LOOPBACK}})
        command = [sys.executable, "-m", "distributed.cli.dask_spec", self._scheduler, "--spec", spec]
        environment = {**os.environ, "DASK_INTERNAL_INHERIT_CONFIG": dask.config.serialize(dask.config.global_config)}
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )


class SshBoard(ssh.Worker):  # type: ignore[misc]
    """Dask's worker by SSH, whose words go to a log: unread they would fill the pipe, and the worker would wait."""

    def __init__(self, log: Path, **options: Any) -> None:
        self._log = log
        super().__init__(**options)

    async def start(self) -> None:
        await super().start()
        self._reading = asyncio.ensure_future(self._keep_log())

    async def _keep_log(self) -> None:
        with self._log.open("a", encoding="utf-8", errors="replace") as log:
            while line := await self.proc.stderr.readline():
                log.write(line)
                log.flush()


@dataclass(slots=True, kw_only=True)
class Starters:
    """Starts each board's worker, and starts it again where it has gone."""

    cluster: Any
    boards: list[BoardEntry]
    logs: Path
    _processes: dict[str, Any] = field(default_factory=dict)
    _attempts: dict[str, tuple[float, Any]] = field(default_factory=dict)
    """By label, when the last one began, and its future."""
    _said: dict[str, str] = field(default_factory=dict)

    def tend(self, present: Mapping[str, str]) -> list[str]:
        words = []
        for board in self.boards:
            if board.label in present:
                self._said.pop(board.label, None)
                continue
            began_s, attempt = self._attempts.get(board.label, (-math.inf, None))
            if attempt is not None and attempt.done() and (error := attempt.exception()) is not None:
                line = f"{board.label}: it cannot be started: {_in_words(error)}"
                if self._said.get(board.label) != line:
                    self._said[board.label] = line
                    words.append(line)
            again_s = START_S if _runs(self._processes.get(board.label)) else AGAIN_S
            if (attempt is None or attempt.done()) and time.monotonic() - began_s >= again_s:
                future = asyncio.run_coroutine_threadsafe(self._start(board), self.cluster.loop.asyncio_loop)
                self._attempts[board.label] = (time.monotonic(), future)
        return words

    async def _start(self, board: BoardEntry) -> None:
        if (old := self._processes.pop(board.label, None)) is not None:
            await old.close()
        scheduler = self.cluster.scheduler_address
        options: dict[str, Any] = {
            "name": board.label,
            "nthreads": 1,
            "memory_limit": 0,
            "death_timeout": ALONE_S,
            "dashboard": False,
            "dashboard_address": f"{LOOPBACK}:0",
        }
        log = self.logs / f"{board.label}.log"
        if board.host is None:
            process: Any = LocalBoard(scheduler, options, log)
        else:
            process = SshBoard(
                log,
                scheduler=scheduler,
                address=board.host,
                connect_options={"connect_timeout": CONNECT_S, "keepalive_interval": KEEP_ALIVE_S, **board.ssh},
                kwargs=options,
                remote_python=shlex.quote(board.python or sys.executable),
            )
        self._processes[board.label] = process
        await process

    def close(self) -> None:
        """End every worker that was started."""
        for _, attempt in self._attempts.values():
            attempt.cancel()
        with contextlib.suppress(Exception):
            self.cluster.sync(self._close_all)

    async def _close_all(self) -> None:
        await asyncio.gather(*(process.close() for process in self._processes.values()), return_exceptions=True)


def _runs(process: Any) -> bool:
    """Whether what was started is still there, as far as this side can see."""
    if isinstance(process, SshBoard):
        return process.proc is not None and not process.proc.is_closing()
    return process is not None and process.process is not None and process.process.returncode is None


def _in_words(error: BaseException) -> str:
    if isinstance(error, (asyncio.CancelledError, TimeoutError)):
        return "no answer"
    return " ".join(str(error).split()) or type(error).__name__
