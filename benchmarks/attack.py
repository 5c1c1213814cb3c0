"""Thousands of unsound files for every reader of text: `python -m benchmarks.attack [EXAMPLES]`, 2,000 per reader unless said.

`within`: each was taken or refused in one line, none in a traceback, and none took more than five seconds of processor time.
What is found is printed with the seed that draws it again.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

EXAMPLES = 2000
LONGEST_S = 5.0


def measure(examples: int) -> dict[str, object]:
    """Counts by reader, and what was neither taken nor refused."""
    from tests.attacks import READERS, attack, prepare, unsound

    logging.disable(logging.CRITICAL)
    found: dict[str, object] = {}
    faults: list[str] = []
    for kind, reader in READERS.items():
        counts: Counter[str] = Counter()
        longest_s = 0.0
        with tempfile.TemporaryDirectory() as name:
            prepare(Path(name))
            for seed in range(examples):
                started_s = time.process_time()
                try:
                    said = attack(reader, Path(name), unsound(reader, random.Random(seed), most=4))
                except Exception as error:  # noqa: BLE001 - what is looked for
                    counts["faults"] += 1
                    faults.append(f"{kind}, seed {seed}: {type(error).__name__}: {str(error)[:100]}")
                    continue
                took_s = time.process_time() - started_s
                longest_s = max(longest_s, took_s)
                counts["taken" if said is None else "refused"] += 1
                if took_s > LONGEST_S or (said is not None and "\n" in said):
                    faults.append(f"{kind}, seed {seed}: {took_s:.1f} s, {(said or '')[:60]!r}")
        found[kind] = {**counts, "longest_s": round(longest_s, 3)}
        print(kind, found[kind], file=sys.stderr, flush=True)
    return {"readers": found, "faults": faults[:50], "within": not faults}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES)))
