"""The vocabulary in two steps as a lever: `seq2seq.two_step` changes the graph; here, what a step may ask for and reads."""

from __future__ import annotations

from collections.abc import Mapping

from wattscribe.compression.candidate import Candidate
from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.step import Step, Value
from wattscribe.errors import InputError, ModelError
from wattscribe.seq2seq.two_step import BITS, CANDIDATES, two_step

USUAL = {"candidates": CANDIDATES, "bits": BITS}


def in_two_steps(asked: Asked) -> None:
    """Options: candidates, the rows that are scored exactly; bits of the codes that pick them. The table may be float or that of
    `table-int8`; other forms are refused, and none of them can follow."""
    if asked.component != "vocabulary":
        raise asked.nothing("is not what scores the vocabulary")
    try:
        two_step(asked.model, *(int(asked.options.get(name, usual)) for name, usual in USUAL.items()))
    except ModelError as error:
        raise InputError(f"the vocabulary cannot be scored in two steps: {error.what}", fix=error.fix) from error


def reads(before: Candidate, after: Candidate, step: Step) -> Mapping[str, Value]:
    """Bytes of weights that a token reads, counted from the graphs: of the codes of all rows, and of single rows (the
    candidates' and the embedding's)."""
    whole, parted = (each.workload(()).component("vocabulary") for each in (before, after))
    return {
        "bytes_per_token_before": round(whole.call_bytes + whole.row_bytes), "cheap_bytes_per_token": round(parted.call_bytes),
        "rows_bytes_per_token": round(parted.row_bytes),
    }  # fmt: skip
