"""What Dask takes of a board during a trial: at most 0.3 % of a core and 5 wake-ups a second, worker and nanny together.

Run as `python -m benchmarks.fleet`. A fleet of one board, this machine, runs a trial whose recognizer only waits, longer than the
slowest of the worker's clocks; the figures are those that the trial recorded. Beside them a worker with Dask's defaults, waiting.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

CORE_SHARE, WAKEUPS_PER_S = 0.003, 5.0
WAITING = 0.4
"""Seconds that the recognizer waits per second of audio: 80 s for the bundled speech, more than a minute."""
DEFAULTS_S = 20.0


def quiet() -> dict[str, Any]:
    """What the trial recorded."""
    import wattscribe
    from wattscribe.journal import read_run

    with tempfile.TemporaryDirectory() as name:
        hosts = Path(name) / "boards.toml"
        hosts.write_text('[[boards]]\nlabel = "here"\n', encoding="utf-8")
        experiment = {"models": [f"fake:waiting?latency={WAITING}&text=x"], "data": ["bundled"], "idle_s": 0.0}
        ended = wattscribe.fleet(experiment, Path(name) / "run", hosts=hosts)
        if ended.errors:
            raise RuntimeError(ended.errors[0])
        trial = read_run(Path(name) / "run" / "here").trials[0]
        if trial.window is None or trial.surroundings is None:
            raise RuntimeError(f"the trial failed: {trial.reason}")
        return {"trial_s": round(trial.window.duration_s, 1), **trial.surroundings["bystanders"]}


def with_defaults() -> dict[str, Any]:
    """A nanny and its worker as Dask starts them, while a task waits."""
    from distributed import Client, LocalCluster

    from wattscribe.metering.processes import Bystanders, descendants

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        pids = client.run(os.getpid).values()
        task = client.submit(time.sleep, DEFAULTS_S + 2)
        time.sleep(1)
        workers = Bystanders(sorted({*pids} & set(descendants())))
        time.sleep(DEFAULTS_S)
        found = workers.so_far()
        task.result()
    return found


def main() -> dict[str, Any]:
    ours = quiet()
    share, woken = ours["core_share"], ours["wakeups_per_s"]
    return {
        "worker_and_nanny": ours,
        "worker_alone_with_dask_defaults": with_defaults(),
        "limits": {"core_share": CORE_SHARE, "wakeups_per_s": WAKEUPS_PER_S},
        "within": share is not None and woken is not None and share <= CORE_SHARE and woken <= WAKEUPS_PER_S,
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
