"""A server on the loopback that can be told to break off, ignore ranges or lie, and what it offers."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Literal

import soundfile

from tests.corpora.conftest import tone

TEXTS = {
    "1089-134686-0000": "HE HOPED THERE WOULD BE STEW",
    "1089-134686-0001": "STUFF IT INTO YOU",
    "61-70968-0000": "HE BEGAN",
}


@dataclass
class Site:
    """What the server holds, how it behaves, and what it was asked."""

    body: bytes
    break_at: list[int] = field(default_factory=list)
    """Bytes after which each coming answer breaks off."""
    ranges: bool = True
    status: int | None = None
    shift: int = 0
    """Answer with a range that begins this many bytes too late."""
    requests: list[str | None] = field(default_factory=list)
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        asked = self.headers.get("Range")
        site.requests.append(asked)
        if site.status is not None:
            self.send_error(site.status)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and site.ranges else 0
        if start and start >= len(site.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(site.body)}")
            self.end_headers()
            return
        start += site.shift if asked else 0
        part = site.body[start:]
        self.send_response(206 if asked and site.ranges else 200)
        if asked and site.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: site.break_at.pop(0)] if site.break_at else part)

    def log_message(self, format: str, *args: object) -> None:
        pass


def archive(members: Mapping[str, bytes | tarfile.TarInfo], packed: Literal["gz", "bz2"] = "gz") -> bytes:
    """A .tar.gz or .tar.bz2 of files, or of members made by hand."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if packed == "gz" else "w:bz2") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content, io.BytesIO(b"\0" * content.size))
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def librispeech(subset: str = "test-clean") -> bytes:
    """Three utterances of two speakers, laid out as a LibriSpeech archive is."""
    members: dict[str, bytes | tarfile.TarInfo] = {"LibriSpeech/SPEAKERS.TXT": b"; ID | SEX\n61 | M\n1089 | M\n"}
    transcripts: dict[str, str] = {}
    for index, (id_, text) in enumerate(TEXTS.items()):
        speaker, book, _ = id_.split("-")
        sound = io.BytesIO()
        soundfile.write(sound, tone(1.0 + index, hz=180.0 + 50 * index), 16_000, format="FLAC")
        members[f"LibriSpeech/{subset}/{speaker}/{book}/{id_}.flac"] = sound.getvalue()
        name = f"LibriSpeech/{subset}/{speaker}/{book}/{speaker}-{book}.trans.txt"
        transcripts[name] = transcripts.get(name, "") + f"{id_} {text}\n"
    return archive(members | {name: text.encode() for name, text in transcripts.items()})


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()
