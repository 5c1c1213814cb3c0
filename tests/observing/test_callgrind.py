"""callgrind's dumps, as version 3.19 writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattscribe.errors import InputError
from wattscribe.observing.callgrind import LINE_BYTES, Crossed, read_dump
from wattscribe.observing.memory import LEAST_BYTES, cache_of, options_for

RECORDED = Path(__file__).parent / "data/callgrind-dump.txt"
"""Of `/bin/true` between two calls of the dynamic loader: caches of 1 kB and 4 kB, --dump-line=no --compress-strings=no."""


def test_own_costs_add_up_to_the_totals_of_the_file() -> None:
    text = RECORDED.read_text(encoding="utf-8")
    events = next(line.split()[1:] for line in text.splitlines() if line.startswith("events:"))
    totals = next(map(int, line.split()[1:]) for line in text.splitlines() if line.startswith("totals:"))
    stated = dict(zip(events, totals, strict=True))
    found = read_dump(text, RECORDED)
    assert found.instructions == stated["Ir"] > 0
    assert found.runtime.read_bytes == LINE_BYTES * stated["DLmr"] > 0
    assert found.runtime.allocated_bytes == LINE_BYTES * stated["DLmw"] > 0
    assert found.runtime.written_bytes == LINE_BYTES * (stated["ILdmr"] + stated["DLdmr"] + stated["DLdmw"]) > 0
    assert found.interpreter == Crossed()


DUMP = """# callgrind format
version: 1
events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw ILdmr DLdmr DLdmw

ob={python}
fn=call
1 10 5 2 0 1 1 0 3 1 0 2
cob={runtime}
cfn=work
calls=1 1
1 1000 0 0 0 0 0 0 900 0 0 0
ob={again}
fn=work
1 500 0 0 0 0 0 0 600
+4 500 0 0 0 0 0 0 300 7 1 2 4
"""


@pytest.mark.parametrize(
    "names",
    [
        {"python": "/usr/bin/python3.11", "runtime": "/x/onnxruntime.so", "again": "/x/onnxruntime.so"},
        {"python": "(1) /lib/libpython3.12.so.1.0", "runtime": "(2) /x/onnxruntime.so", "again": "(2)"},
    ],
)
def test_the_interpreter_is_told_from_what_it_calls(names: dict[str, str]) -> None:
    """What a callee cost stands in the caller's lines once more, and is not counted there."""
    found = read_dump(DUMP.format(**names), "dump.2")
    assert found.runtime == Crossed(read_bytes=900 * 64, allocated_bytes=7 * 64, written_bytes=7 * 64)
    assert found.interpreter == Crossed(read_bytes=3 * 64, allocated_bytes=64, written_bytes=2 * 64)
    assert found.instructions == 1010


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no callgrind dump"),
        ("# callgrind format\nevents: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\n", "has no counts of ILdmr"),
        (DUMP.format(python="(7)", runtime="/x.so", again="/x.so"), "--compress-strings=no"),
    ],
)
def test_what_is_no_such_dump_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_dump(text, "dump.2")


@pytest.mark.parametrize("capacity", [LEAST_BYTES, 65_536, 256_000, 1_000_000, 8_000_000, 32_000_000])
def test_any_size_is_simulated_nearly(capacity: int) -> None:
    cache = cache_of(capacity)
    assert cache.sets.bit_count() == 1
    assert cache.size_bytes == pytest.approx(capacity, rel=0.017)
    _, near, far = (option.split("=")[1].split(",") for option in options_for(cache))
    assert int(near[0]) < int(far[0]) == cache.size_bytes


def test_less_than_a_page_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be observed"):
        cache_of(LEAST_BYTES - 1)
