"""The address of a transcription server, as a model's name holds it, and the key that goes there and nowhere else."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from wattscribe.errors import InputError
from wattscribe.records import RecognizerSpec

PATH = "/audio/transcriptions"
KEY = "WATTSCRIBE_API_KEY"
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where requests go."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def here(self) -> bool:
        """Whether the server is on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def read_address(spec: RecognizerSpec) -> Address:
    """Of a spec named `http://HOST:PORT/v1`. Raises InputError."""
    return read(spec.runtime, spec.model)


def read(scheme: str, model: str) -> Address:
    """The part behind `http:` may be `//host…`, or `host…` or an address of its own. Raises InputError."""
    text = model if "://" in model else f"{scheme}://{model.removeprefix('//')}"
    where = repr(text if "@" not in text else f"{scheme}://…@{text.rpartition('@')[2]}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InputError("this is no address of a server", where=where, fix="Write http://HOST:PORT/v1") from None
    if parts.scheme not in PORTS or not parts.hostname or not text.isprintable() or " " in text:
        raise InputError("this is no address of a server", where=where, fix="Write http://HOST:PORT/v1")
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "a key or a password in an address would be written into the journal",
            where=where,
            fix=f"Put it into the environment variable {KEY}",
        )
    path = parts.path.rstrip("/")
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        path=path if path.endswith(PATH) else path + PATH,
    )


def key_of(spec: RecognizerSpec, address: Address) -> str | None:
    """From the environment alone; None: there is none. Raises InputError where it would cross a network in the clear."""
    name = spec.options.get("key_env", KEY)
    key = os.environ.get(name, "").strip()
    if not key:
        if "key_env" in spec.options:
            raise InputError(f"the environment variable {name} is not set", where=spec.name, fix=f"export {name}=…")
        return None
    if not (key.isascii() and key.isprintable()):
        raise InputError(
            f"the environment variable {name} holds no key", where=spec.name, fix="Set it to the key alone"
        )
    if address.scheme != "https" and not address.here:
        raise InputError(
            f"the key in {name} would go to {address.host} unencrypted",
            where=spec.name,
            fix=f"Take https, or a tunnel to this machine (ssh -L), or unset {name}",
        )
    return key


def require_address(model: str) -> None:
    """Raises InputError where the model's name is no address."""
    read("http", model)
