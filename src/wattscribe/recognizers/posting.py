"""One connection to a server, kept open between requests, each of which has one time limit from its first byte to its last."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from dataclasses import dataclass

from wattscribe.recognizers.address import Address

LARGEST_REPLY_BYTES = 4 << 20
"""An hour of speech is 60 kB of text."""


class Lost(Exception):
    """No reply came, with the reason; `timed_out`: because it took too long."""

    def __init__(self, why: str, *, timed_out: bool = False) -> None:
        super().__init__(why)
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the server answered, whatever its status."""

    status: int
    body: bytes
    location: str | None
    """Where a redirection leads to; it is never followed."""
    retry_after_s: float | None
    """When the server wants to be asked again, if it says so in seconds."""


class Connection:
    """To one address; proxies of the environment are not used."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._open: http.client.HTTPConnection | None = None

    def post(self, body: bytes, headers: dict[str, str], within_s: float) -> Reply:
        """Raises Lost where no reply came. A connection that the server closed since the request before is opened anew."""
        reused = self._open is not None
        try:
            return self._post(body, headers, within_s)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            if not reused:
                raise Lost(_in_words(error)) from None
        try:
            return self._post(body, headers, within_s)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            raise Lost(_in_words(error)) from None

    def _post(self, body: bytes, headers: dict[str, str], within_s: float) -> Reply:
        late = threading.Event()
        connection = self._open = self._open or self._connect()
        connection.timeout = within_s  # of connecting; the timer's is the whole request's
        if connection.sock is not None:
            connection.sock.settimeout(within_s)
        timer = threading.Timer(within_s, _cut, (connection, late))
        timer.daemon = True
        timer.start()
        try:
            connection.request("POST", self._address.path, body=body, headers=headers)
            response = connection.getresponse()
            reply = response.read(LARGEST_REPLY_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if late.is_set() or isinstance(error, TimeoutError):
                raise Lost(f"no answer for {within_s:g} s", timed_out=True) from None
            if isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
                raise
            raise Lost(_in_words(error)) from None
        finally:
            timer.cancel()
        if len(reply) > LARGEST_REPLY_BYTES or response.will_close or late.is_set():
            self.close()
        if late.is_set():
            raise Lost(f"no answer for {within_s:g} s", timed_out=True)
        if len(reply) > LARGEST_REPLY_BYTES:
            raise Lost(f"the answer is longer than {LARGEST_REPLY_BYTES >> 20} MiB")
        after = response.getheader("Retry-After", "")
        return Reply(
            status=response.status,
            body=reply,
            location=response.getheader("Location"),
            retry_after_s=float(after) if after.isascii() and after.isdigit() else None,
        )

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.host, self._address.port
        if self._address.scheme == "http":
            return http.client.HTTPConnection(host, port)
        return http.client.HTTPSConnection(host, port, context=ssl.create_default_context())

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def _cut(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    """End a request that is over its time, wherever it is: a server that sends a byte now and then is never silent."""
    late.set()
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def _in_words(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing answers at this address"
    if isinstance(error, socket.gaierror):
        return f"there is no such host ({error.strerror})"
    if isinstance(error, ssl.SSLError):
        return f"the encrypted connection fails ({error.reason or error})"
    if isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
        return "the server closed the connection without an answer"
    return f"no answer came ({type(error).__name__}: {error})"
