"""What callgrind writes: the counts of one dump. Nothing is run here.

Form of the file: https://valgrind.org/docs/manual/cl-format.html. Of a dump's lines only the costs that a function has of its
own count; the line after `calls=` is what its callee cost, which the callee's own lines hold already.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from wattscribe.errors import InputError

LINE_BYTES = 64
"""Of every simulated cache: what moves at a time, as in the processors of phones and desktops."""
_READ, _ALLOCATED, _WRITTEN = ("DLmr",), ("DLmw",), ("ILdmr", "DLdmr", "DLdmw")
_NEEDED = (*_READ, *_ALLOCATED, *_WRITTEN)
_NAME = re.compile(r"\((\d+)\)(?: (.+))?")
_INTERPRETER = re.compile(r"(lib)?python|_multiarray_umath|_ctypes|_posixsubprocess")
"""Shared objects of Python and NumPy: theirs is the calling of the runtime, not its work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """Bytes between a cache of the local memory's size and what lies behind it."""

    read_bytes: int = 0
    """Lines fetched because they were read."""
    allocated_bytes: int = 0
    """Lines that were written without lying there: a cache fetches them first, a placed memory need not."""
    written_bytes: int = 0
    """Changed lines that had to make room."""

    @property
    def moved_bytes(self) -> int:
        """Read and written. What is allocated is not counted twice: it travels once, when it has to make room."""
        return self.read_bytes + self.written_bytes

    def __add__(self, other: Crossed) -> Crossed:
        return Crossed(
            read_bytes=self.read_bytes + other.read_bytes,
            allocated_bytes=self.allocated_bytes + other.allocated_bytes,
            written_bytes=self.written_bytes + other.written_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """One dump: what the runtime moved, and what the interpreter that called it did."""

    runtime: Crossed
    interpreter: Crossed
    instructions: int


def read_dump(text: str, where: object) -> Dump:
    """The counts of a dump by who caused them. Raises InputError for a file that is none, or was not simulated so."""
    lines = text.splitlines()
    if not any(line.startswith("# callgrind format") for line in lines[:3]):
        raise InputError("is no callgrind dump", where=where)
    events = next((line.split()[1:] for line in lines if line.startswith("events:")), [])
    missing = [name for name in _NEEDED if name not in events]
    if missing:
        raise InputError(
            f"has no counts of {missing[0]}", where=where, fix="Simulate with --cache-sim=yes --simulate-wb=yes"
        )
    ours, others, instructions = Counter[str](), Counter[str](), 0
    for shared_object, costs in _own_costs(lines, len(events), where):
        counts = dict(zip(events, costs, strict=False))
        (others if _INTERPRETER.match(PurePath(shared_object).name) else ours).update(counts)
        instructions += counts.get("Ir", 0)
    return Dump(runtime=_crossed(ours), interpreter=_crossed(others), instructions=instructions)


def _crossed(counts: Mapping[str, int]) -> Crossed:
    def total(names: Iterable[str]) -> int:
        return LINE_BYTES * sum(counts.get(name, 0) for name in names)

    return Crossed(read_bytes=total(_READ), allocated_bytes=total(_ALLOCATED), written_bytes=total(_WRITTEN))


def _own_costs(lines: Iterable[str], most: int, where: object) -> Iterator[tuple[str, list[int]]]:
    """(shared object, costs) of each line of costs that a function has of its own. Trailing zeros are left out by callgrind."""
    names: dict[str, str] = {}
    shared_object, called = "", False
    for line in lines:
        if line.startswith(("ob=", "cob=")):
            kind, _, name = line.partition("=")
            name = _name(name, names, where)
            shared_object = name if kind == "ob" else shared_object
        elif line.startswith("calls="):
            called = True
        elif line and (line[0].isdigit() or line[0] in "+-*"):
            if not called:
                yield shared_object, [int(each) for each in line.split()[1 : most + 1]]
            called = False


def _name(written: str, names: dict[str, str], where: object) -> str:
    """`(3) name`, the first time, `(3)` from then on, or the name alone. Raises InputError where another dump had the first."""
    match = _NAME.fullmatch(written)
    if match is None:
        return written
    if match[2] is None and match[1] not in names:
        raise InputError(
            f"names {written} without saying what that is", where=where, fix="Simulate with --compress-strings=no"
        )
    return names.setdefault(match[1], match[2] or "")
