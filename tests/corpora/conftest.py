"""Small pieces of sound and the folder of real recordings, shared by this room's tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tests.corpora.site import Site


def tone(seconds: float = 1.0, rate_hz: int = 16_000, hz: float = 440.0, level: float = 0.3) -> NDArray[np.float64]:
    """A sine, shape (samples,)."""
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.fixture
def chapter(tmp_path: Path) -> Callable[..., Path]:
    """Builds a LibriSpeech-layout folder of tones: {id: text}."""

    def build(texts: dict[str, str], folder: str = "corpus") -> Path:
        root = tmp_path / folder
        for index, (id_, text) in enumerate(texts.items()):
            speaker, book, _ = id_.split("-")
            place = root / speaker / book
            place.mkdir(parents=True, exist_ok=True)
            soundfile.write(place / f"{id_}.flac", tone(0.5 + 0.1 * index, hz=200.0 + 40 * index), 16_000)
            with (place / f"{speaker}-{book}.trans.txt").open("a", encoding="utf-8") as out:
                out.write(f"{id_} {text}\n")
        return root

    return build


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    """Starts a server for a body; its Site says how it behaves and records what it was asked."""
    from tests.corpora.site import Handler, Site  # which makes its speech with `tone`

    servers: list[ThreadingHTTPServer] = []

    def start(body: bytes, **behaviour: object) -> Site:
        site = Site(body=body, **behaviour)  # type: ignore[arg-type]
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"site": site}))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        site.address = f"http://127.0.0.1:{server.server_address[1]}"
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
