"""The one way to standard output and standard error, for every verb.

What is printed holds words of others: ids of manifests, symbols of tokens.txt, names of folders. A control character in them
could clear a screen, retitle a window or hide a line, so it is shown as its escape. The escape is JSON's own (`\\u001b`): there
a raw one can only stand inside a string, so JSON that is printed means the same. Characters that the encoding of a terminal
lacks are shown alike, since a figure must not be lost for a `×`.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from wattscribe.errors import shortened

if TYPE_CHECKING:
    from rich.console import Console

MIN_WIDTH, MAX_WIDTH = 40, 1000
"""Columns that tables and help are laid out for, whatever COLUMNS says: below and far above, laying out takes all memory."""
MAX_HEIGHT = 1000
ESCAPED = "wattscribe.escaped"
"""The name of the error handler that writes what an encoding lacks as JSON escapes."""
_CONTROL = {code: f"\\u{code:04x}" for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc"}
_SHOWN = {code: text for code, text in _CONTROL.items() if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """The text with control characters, but for ends of lines and tabs, as JSON writes them: no terminal obeys them."""
    return text.translate(_SHOWN)


def say(text: str) -> None:
    """One line on standard error. Where that cannot be written, nothing is said, and the work goes on."""
    try:
        line = shortened(" ".join(text.splitlines()))
        print(visible(line), file=sys.stderr, flush=True)
    except OSError:
        mute(sys.stderr)


def mute(stream: TextIO) -> None:
    """Nothing more can be written: without this, Python tries again when it exits and says that it cannot."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def width(wanted: int | None = None) -> int:
    """Columns to lay out for."""
    return min(max(wanted or shutil.get_terminal_size().columns, MIN_WIDTH), MAX_WIDTH)


def fitted(stream: TextIO) -> tuple[int, int]:
    """Columns and lines of the terminal behind a stream as it is now, within what is laid out for."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, lines = shutil.get_terminal_size()
    return width(columns), min(max(lines, 1), MAX_HEIGHT)


def console(*, stderr: bool = False, columns: int | None = None) -> Console:
    """For tables, colours and bars: what others named is shown with escapes, rich's own control sequences pass."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Guarded(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(visible(segment.text), segment.style)

    height = min(shutil.get_terminal_size().lines, MAX_HEIGHT)
    return Guarded(stderr=stderr, width=width(columns), height=height)  # rich's own reading trusts COLUMNS and LINES


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Inside, standard output shows what it cannot write as escapes, and a stream that is closed is like one to nowhere."""
    _fill_descriptors()
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as opened:
        opened.callback(_restore, *before)
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # as it is where the descriptor was closed when Python began
                setattr(sys, name, opened.enter_context(Path(os.devnull).open("w", encoding="utf-8")))
        if (reconfigure := getattr(sys.stdout, "reconfigure", None)) is not None:
            opened.callback(reconfigure, errors=sys.stdout.errors)
            reconfigure(errors=ESCAPED)
        sys.stdout = cast(TextIO, _Visible(sys.stdout))
        yield


class _Visible:
    """A text stream that is written through `visible`, and otherwise is what it stands for."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # rich writes there: its own control sequences are meant
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _restore(stdout: TextIO, stderr: TextIO) -> None:
    sys.stdout, sys.stderr = stdout, stderr


def _fill_descriptors() -> None:
    """No file of ours may be opened as descriptor 0, 1 or 2: what C code complains of would be written into it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free, so this one


def _escape(error: UnicodeError) -> tuple[str, int]:
    """As JSON does: beyond the first plane, two surrogates."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{lacking[at : at + 2].hex()}" for at in range(0, len(lacking), 2)), error.end


codecs.register_error(ESCAPED, _escape)
