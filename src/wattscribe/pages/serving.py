"""A run's page on the loopback interface while the run goes on; it loads itself anew when a trial has its verdict.

Only this machine can ask, and only under the server's own name: a page of another site whose name was pointed at 127.0.0.1
(DNS rebinding) is refused by its Host header. The page is made when somebody asks for it, once for each state of the run.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from wattscribe.errors import InputError, WattscribeError
from wattscribe.journal import read_run
from wattscribe.journal_tail import Standing, standing
from wattscribe.pages.page import Watched
from wattscribe.pages.run_page import run_page

ADDRESS = "127.0.0.1"
LOWEST_PRIORITY = 19
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageServer(ThreadingHTTPServer):
    """Serves `/`, the page that `make` gives for a state of the run, and `/state`, which the page asks; nothing else."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, run_dir: Path, make: Callable[[Standing], str], *, port: int = 0) -> None:
        """`port` 0: one that is free. Raises InputError for one that cannot be had, and where there is no run."""
        self._run_dir, self._make = run_dir, make
        self._made: tuple[str, bytes] | None = None
        self._making = threading.Lock()
        standing(run_dir)
        if not 0 <= port <= 65535:
            raise InputError(f"there is no port {port}", fix="`port` is 0 to 65535; 0 takes one that is free")
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise InputError(
                f"port {port} cannot be used: {error.strerror}", fix="Give another `port`, or none for one that is free"
            ) from error
        names = (f"{ADDRESS}:{self.server_port}", f"localhost:{self.server_port}")
        self.hosts = frozenset((*names, ADDRESS, "localhost") if self.server_port == 80 else names)

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"

    def page(self) -> bytes:
        """Of the run as it is now."""
        with self._making:
            now = standing(self._run_dir)
            if self._made is None or self._made[0] != now.version:
                _step_back()
                self._made = (now.version, self._make(now).encode("utf-8", "replace"))
            return self._made[1]

    def state(self) -> bytes:
        now = standing(self._run_dir)
        return json.dumps({"version": now.version, "text": in_words(now), "ended": now.ended}).encode()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader who has gone is nothing to tell about."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "wattscribe", ""
    timeout = 30.0
    ROUTES: ClassVar[dict[str, tuple[str, Callable[[PageServer], bytes]]]] = {
        "/": ("text/html; charset=utf-8", PageServer.page),
        "/state": ("application/json", PageServer.state),
    }

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        status, kind, body = HTTPStatus.OK, "text/plain; charset=utf-8", b""
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            status, body = HTTPStatus.FORBIDDEN, f"This page is {self.server.url}\n".encode()
        elif self.path not in self.ROUTES:
            status, body = HTTPStatus.NOT_FOUND, b"There is nothing here.\n"
        else:
            kind, make = self.ROUTES[self.path]
            try:
                body = make(self.server)
            except WattscribeError as error:
                status, kind = HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8"
                body = f"{error}\n".encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal may be that of a run."""


def page_of(run_dir: Path, **options: Any) -> Callable[[Standing], str]:
    """What makes the page of a run, with the options of `run_page`."""

    def make(now: Standing) -> str:
        return run_page(read_run(run_dir), watched=Watched(version=now.version, text=in_words(now)), **options)

    return make


def in_words(now: Standing) -> str:
    """How far the run is, for the page's own line."""
    failed = f", {now.failed} failed" if now.failed else ""
    if now.ended:
        return f"The run is complete: {now.trials} trials{failed}."
    at = time.strftime("%H:%M:%S")
    return f"The run goes on: {now.done + now.failed} of {now.trials} trials{failed}. Looked at {at}."


def _step_back() -> None:
    """This thread alone, where the system has priorities of threads: what is being measured comes first."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
