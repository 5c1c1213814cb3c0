"""The vocabulary in two steps as a lever: `seq2seq.two_step` changes the graph; here, what a step may ask for and reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.candidate import Candidate
from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.levers.weights import in_sixteen_bits
from wattscribe.compression.linears import Index
from wattscribe.compression.step import Step, Value
from wattscribe.errors import InputError, ModelError
from wattscribe.seq2seq.two_step import BITS, CANDIDATES, rows_of, two_step

USUAL = {"candidates": CANDIDATES, "bits": BITS}


def in_two_steps(asked: Asked) -> None:
    """Options: candidates, the rows that are scored exactly; bits of the codes that pick them. The table may be float or that of
    `table-int8`; other forms are refused, and none of them can follow. Rows that lose nothing in 16 bits stand in the file so:
    a Whisper's were published in 16 bits, and an export has them in 32."""
    if asked.component != "vocabulary":
        raise asked.nothing("is not what scores the vocabulary")
    try:
        two_step(asked.model, *(int(asked.options.get(name, usual)) for name, usual in USUAL.items()))
    except ModelError as error:
        raise InputError(f"the vocabulary cannot be scored in two steps: {error.what}", fix=error.fix) from error
    table = rows_of(asked.model)
    values = Index(asked.model).constant(table)
    if values is not None and values.dtype == np.float32 and _are_halves(values):
        in_sixteen_bits(asked.model, [table])


def _are_halves(values: NDArray[np.float32]) -> bool:
    """Whether each is a number of 16 bits."""
    with np.errstate(over="ignore"):
        return all(np.array_equal(part.astype(np.float16), part) for part in np.array_split(values, 64))


def reads(before: Candidate, after: Candidate, step: Step) -> Mapping[str, Value]:
    """Bytes of weights that a token reads, counted from the graphs: of the codes of all rows, and of single rows (the
    candidates' and the embedding's)."""
    whole, parted = (each.workload(()).component("vocabulary") for each in (before, after))
    return {
        "bytes_per_token_before": round(whole.call_bytes + whole.row_bytes), "cheap_bytes_per_token": round(parted.call_bytes),
        "rows_bytes_per_token": round(parted.row_bytes),
    }  # fmt: skip
