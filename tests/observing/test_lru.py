"""The cache that works on runs of lines does what one that works line by line does."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattscribe.observing.lru import Lru

Access = tuple[int, int, bool]
"""(first line, end, written)."""


def counted(lines: int, accesses: Sequence[Access]) -> tuple[int, int, int]:
    """(read, allocated, written) lines."""
    found = [0, 0, 0]

    def counter(place: int) -> Callable[[int, int], None]:
        def count(start: int, number: int) -> None:
            found[place] += number

        return count

    cache = Lru(lines, counter(0), counter(1), counter(2))
    for start, end, written in accesses:
        (cache.write if written else cache.read)(start, end)
    return found[0], found[1], found[2]


def line_by_line(lines: int, accesses: Sequence[Access]) -> tuple[int, int, int]:
    held: OrderedDict[int, bool] = OrderedDict()
    read = allocated = written_back = 0
    for start, end, written in accesses:
        for line in range(start, end):
            if line in held:
                held[line] = held.pop(line) or written
                continue
            read, allocated = read + (not written), allocated + written
            if len(held) >= lines:
                written_back += held.popitem(last=False)[1]
            held[line] = written
    return read, allocated, written_back


@pytest.mark.parametrize(
    ("accesses", "moved"),
    [
        ([(0, 8, False), (0, 8, False)], (8, 0, 0)),  # it fits: read once
        ([(0, 12, False), (0, 12, False)], (24, 0, 0)),  # larger than the cache: streams through, every time
        ([(0, 4, True), (10, 18, False)], (8, 4, 4)),  # what was changed makes room, and is written back
        ([(0, 4, True), (0, 4, True)], (0, 4, 0)),  # written again where it lies
        (
            [(0, 8, False), (2, 4, False), (20, 26, False), (2, 4, False)],
            (14, 0, 0),
        ),  # 2 and 3 were used last but for 20
        ([(0, 20, True)], (0, 20, 12)),  # what is written through a cache of eight leaves twelve behind
        ([(0, 8, True), (8, 12, False), (0, 8, False)], (12, 8, 8)),  # each line is pushed out just before it is read
    ],
)
def test_sequences_counted_by_hand(accesses: Sequence[Access], moved: tuple[int, int, int]) -> None:
    assert counted(8, accesses) == moved


ACCESS = st.builds(
    lambda start, length, written: (start, start + length, written),
    st.integers(0, 60),
    st.integers(0, 25),
    st.booleans(),
)


@given(st.integers(1, 30), st.lists(ACCESS, max_size=30))
def test_runs_of_lines_are_lines(lines: int, accesses: list[Access]) -> None:
    assert counted(lines, accesses) == line_by_line(lines, accesses)
