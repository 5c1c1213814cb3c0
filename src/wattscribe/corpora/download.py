"""One file over HTTP, resumed where it broke off, and trusted only once its checksum agrees."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wattscribe.errors import InputError
from wattscribe.text_files import whole

Progress = Callable[[int, int | None], None]
"""Called with bytes held so far and in all (None: the server does not say)."""

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 60.0
ATTEMPTS = 5
"""Attempts in a row that may bring nothing before the download gives up."""

AGAIN = "Run the same command again: it resumes where it stopped"
LARGEST_BYTES = 1 << 32
"""More than any set that is offered: a server that sends on and on fills no disk."""
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")


def fetch(
    url: str,
    target: Path,
    *,
    checksum: str,
    largest_bytes: int = LARGEST_BYTES,
    progress: Progress = lambda held, total: None,
    pause: Callable[[float], None] = time.sleep,
) -> Path:
    """Download `url` to `target`; what has come so far lies in `target` + `.part` and is resumed by an HTTP Range request.

    `checksum` is MD5 or SHA-256 in hexadecimal digits, told apart by its length. Returns at once when `target` is there with the
    right one. A server without Range support is asked from the start. Raises InputError on a refused or interrupted download
    (the part stays), on a wrong checksum and on more than `largest_bytes` (the part is deleted).
    """
    if not url.startswith(("http://", "https://")):
        raise InputError("not an http(s) address", where=url)
    if target.is_file() and digest_of(target, like=checksum) == checksum:
        return target
    part = target.with_name(target.name + ".part")
    _make_folder(target.parent)
    idle = 0
    while True:
        before = _size(part)
        try:
            if _continue(url, part, largest_bytes, progress):
                break
            reason = "the connection closed early"
        except (OSError, http.client.HTTPException) as error:
            reason = _refusal(error, url)
        except ValueError as error:  # an address, here or in a redirection, that is none
            raise InputError(f"cannot be requested ({error})", where=url, fix="Name another `mirror`") from error
        idle = 0 if _size(part) > before else idle + 1
        if idle >= ATTEMPTS:
            raise InputError(f"the download stopped after {_size(part)} bytes ({reason})", where=url, fix=AGAIN)
        pause(min(2.0**idle, 30.0))
    if (actual := digest_of(part, like=checksum)) != checksum:
        part.unlink()
        raise InputError(
            f"wrong checksum: {actual}, not {checksum}", where=url, fix="Try again or name another `mirror`"
        )
    part.replace(target)
    return target


def digest_of(path: Path, *, like: str) -> str:
    """SHA-256, or MD5 where `like` has its 32 digits: OpenSLR and Zenodo publish that, a guard against damage, not malice."""
    digest = hashlib.md5(usedforsecurity=False) if len(like) == 32 else hashlib.sha256()
    with path.open("rb") as data:
        while block := data.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _continue(url: str, part: Path, largest_bytes: int, progress: Progress) -> bool:
    """One request from the part's end on; True when the file is complete."""
    held = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "wattscribe", "Accept-Encoding": "identity"})
    if held:
        request.add_header("Range", f"bytes={held}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and held:
                return _past_the_end(error, part, held)
        raise
    with response:
        start, total = _placed(response, held, url)
        if total is not None and total > largest_bytes:
            raise _too_large(url, part, largest_bytes)
        progress = _limited(progress, url, part, largest_bytes)
        return _append(response, part, start, total, progress)


def _placed(response: http.client.HTTPResponse, held: int, url: str) -> tuple[int, int | None]:
    """Where the answer's first byte belongs, and the size of the whole file."""
    length = response.headers.get("Content-Length")
    if response.status != 206:
        return 0, None if length is None else whole(length)
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or match[1] is None or int(match[1]) != held:
        raise InputError("the server sent another range than the one requested", where=url, fix="Name another `mirror`")
    return held, None if match[2] == "*" else int(match[2])


def _limited(progress: Progress, url: str, part: Path, largest_bytes: int) -> Progress:
    def checked(held: int, total: int | None) -> None:
        if held > largest_bytes:
            raise _too_large(url, part, largest_bytes)
        progress(held, total)

    return checked


def _too_large(url: str, part: Path, largest_bytes: int) -> InputError:
    part.unlink(missing_ok=True)
    return InputError(
        f"the server sends more than the {largest_bytes} bytes that this set may have",
        where=url,
        fix="Name another `mirror`",
    )


def _append(response: http.client.HTTPResponse, part: Path, start: int, total: int | None, progress: Progress) -> bool:
    held = start
    progress(held, total)
    with _writing(part):
        out = part.open("r+b" if part.exists() else "wb")
    with out:
        with _writing(part):
            out.truncate(start)
            out.seek(start)
        while block := response.read(CHUNK_BYTES):
            with _writing(part):
                out.write(block)
                out.flush()
            held += len(block)
            progress(held, total)
        with _writing(part):
            os.fsync(out.fileno())
    return total is None or held >= total


@contextmanager
def _writing(part: Path) -> Iterator[None]:
    """A full or forbidden disk is for the user to fix; a broken connection, also an OSError, is tried again."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", where=part, fix="Make room, then run it again"
        ) from error


def _past_the_end(error: urllib.error.HTTPError, part: Path, held: int) -> bool:
    """416: the part is complete, or it is none of this file's and is thrown away."""
    match = _CONTENT_RANGE.fullmatch(error.headers.get("Content-Range", ""))
    if match is not None and match[2] == str(held):
        return True
    part.unlink()
    return False


def _refusal(error: Exception, url: str) -> str:
    """The reason of a failure that may pass; raises InputError for an answer that will not change."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code < 500 and error.code not in (408, 416, 429):
            raise InputError(f"the server refused: {error.code} {error.reason}", where=url, fix="Name another `mirror`")
        return f"{error.code} {error.reason}"
    return " ".join(str(getattr(error, "reason", error)).split())[:200] or type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _make_folder(folder: Path) -> None:
    """Raises InputError where a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError("this is a file, and a folder is needed", where=folder, fix="Choose another `out`") from error
    except OSError as error:
        raise InputError(
            f"this folder cannot be made: {error.strerror}", where=folder, fix="Choose another `out`"
        ) from error
