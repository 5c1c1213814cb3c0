"""What the page of a large run takes: 50 models × 8 conditions, and 20,000 utterances against 2,000.

Limits: 10 s of processor time for 400 trials of 70 utterances; 20,000 utterances take at most three times the memory of 2,000.
Each report is made by `wattscribe report` in a process of its own, whose processor time (imports included) and peak memory the
system counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run, store_run

from wattscribe.records import Condition, RunFacts

LIMIT_S = 10.0
LIMIT_MEMORY = 3.0
CONDITIONS = (CLEAN, *NOISY, *(Condition(noise="babble", snr_db=snr) for snr in (10.0, 5.0, 0.0)))
FIFTY = [replace(MODELS[at % 4], name=f"model-{at:02d}", rtf=0.03 * 1.06**at) for at in range(50)]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        many = reported(
            made_up_run(models=FIFTY, precisions=("fp32",), conditions=CONDITIONS, shape=Shape(utterances=70)),
            Path(folder) / "many",
        )
        few, long = (reported(one_model(count), Path(folder) / str(count)) for count in (2_000, 20_000))
    grows = round(long["peak_bytes"] / few["peak_bytes"], 2)
    within = many["cpu_s"] <= LIMIT_S and grows <= LIMIT_MEMORY
    result = {
        "50 models, 8 conditions": many,
        "2,000 utterances": few,
        "20,000 utterances": long,
        "memory_grows": grows,
    }
    print(json.dumps({**result, "within": within}))


def one_model(utterances: int) -> RunFacts:
    shape = Shape(utterances=utterances, speakers=200)
    return made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN,), shape=shape)


def reported(facts: RunFacts, run: Path) -> dict[str, Any]:
    """Processor seconds, seconds, the peak of the resident set and the page's size."""
    store_run(facts, run)
    begun_s = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "wattscribe", "report", str(run)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"wattscribe report {run}: exit status {process.returncode}")
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "seconds": round(time.monotonic() - begun_s, 2),
        "peak_bytes": used.ru_maxrss * 1024,
        "page_bytes": (run / "report.html").stat().st_size,
    }


if __name__ == "__main__":
    main()
