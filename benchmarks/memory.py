"""Memory of a bench of a large corpus against a small one: the runner's and the worker's peaks, and that of `report`.

Run as `python -m benchmarks.memory [FEW MANY]`, 2,000 and 20,000 utterances unless given. Each command is a process of its own;
the peak of the resident set of it and of each worker is what the system counts (VmHWM), looked at until they end. The recognizer
is a fake that holds nothing of the corpus. The limit: an utterance more takes no more than `LIMIT_BYTES` in any of the three.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.fleet_load import write_corpus
from wattscribe.metering.memory import peak_rss_bytes

FEW, MANY = 2_000, 20_000
LIMIT_BYTES = 8_192
"""A row of the journal as objects, with its texts and alignment; audio of 0.15 s alone would be 9,600 bytes."""
WORKER = "wattscribe.runs.worker"
POLL_S = 0.1


def main(few: int = FEW, many: int = MANY) -> dict[str, Any]:
    small, large = measured(few), measured(many)
    by_utterance = {role: round((large[role] - small[role]) / (many - few)) for role in ("runner", "worker", "report")}
    within = all(grown <= LIMIT_BYTES for grown in by_utterance.values())
    return {
        f"{few} utterances": small, f"{many} utterances": large, "bytes_by_utterance": by_utterance, "within": within,
    }  # fmt: skip


def measured(utterances: int) -> dict[str, int]:
    """Peak bytes of the runner, of its worker and of the report."""
    with tempfile.TemporaryDirectory() as name:
        corpus, run = write_corpus(Path(name) / "corpus", utterances), Path(name) / "run"
        options = ["--model", "fake:a?text=one two three", "--data", str(corpus), "--idle", "0", "--out", str(run)]
        bench = peaks(["bench", *options])
        return {**bench, "report": peaks(["report", str(run)])["runner"]}


def peaks(arguments: list[str]) -> dict[str, int]:
    """Of the command (`runner`) and, where it had one, of its largest worker."""
    process = subprocess.Popen(
        [sys.executable, "-m", "wattscribe", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    found: dict[str, int] = {}
    while process.poll() is None:
        with suppress(psutil.Error):
            own = psutil.Process(process.pid)
            for role, pid in [
                ("runner", own.pid),
                *(("worker", each.pid) for each in own.children() if is_worker(each)),
            ]:
                found[role] = max(found.get(role, 0), peak_rss_bytes(pid) or 0)
        time.sleep(POLL_S)
    if process.returncode:
        raise SystemExit(f"wattscribe {arguments[0]}: {(process.stderr.read() if process.stderr else b'').decode()}")
    return found


def is_worker(process: psutil.Process) -> bool:
    return WORKER in process.cmdline()


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:3])), indent=1))
