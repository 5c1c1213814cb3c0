"""What Dask runs on a board: start the measuring process and wait for it, stop it, hand its journal over."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distributed import Worker, get_worker

from wattscribe.fleets.jobs import Job, Outcome
from wattscribe.journal_file import FILE_NAME, connect_to_read
from wattscribe.records import to_json

TOPIC = "wattscribe-fleet"
"""Under which boards tell the coordinator what they do, through Dask's own events."""
CHUNK_BYTES = 8 << 20
COPY_NAME = "journal.copy"
_running: dict[str, subprocess.Popen[bytes]] = {}
"""By fleet: what `stop` ends."""
_one_at_a_time = threading.Lock()
"""Of this worker, however many threads it was given."""


def measure(job: Job) -> Outcome:
    """Do the job in a process of its own, telling Dask's events what the runner tells. One at a time.

    An error of the input comes back as an Outcome. Raises ChildProcessError where the runner was killed.
    """
    worker: Worker = get_worker()
    label = job.label or str(worker.name)
    run_dir = _run_dir(job, label)
    with _one_at_a_time:
        last: dict[str, Any] = {}
        for event in _events(job, label, run_dir, _of_dask(worker)):
            last = event
            worker.log_event(TOPIC, {"fleet": job.fleet, "label": label, **event})
    return Outcome(label=label, run_dir=str(run_dir), error=last.get("what"))


def _run_dir(job: Job, label: str) -> Path:
    """Where the board keeps its run."""
    if (named := job.journals.get(label)) is not None:
        return Path(named)
    data = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    return data / "wattscribe" / "fleet" / job.fleet / label


def _of_dask(worker: Worker) -> list[int]:
    """The processes of Dask on this board: the worker, and the nanny that watches it."""
    return [os.getpid(), *([os.getppid()] if worker.nanny else [])]


def _events(job: Job, label: str, run_dir: Path, bystanders: list[int]) -> Iterator[dict[str, Any]]:
    """What the runner says, one dict each; the last one is its end."""
    asked = {
        "job": to_json(job),
        "label": label,
        "run_dir": str(run_dir),
        "folder": job.folders.get(label),
        "bystanders": bystanders,
    }
    with tempfile.TemporaryFile() as log, _started(job.fleet, log) as (process, tell, heard):
        with tell:
            tell.write(json.dumps(asked).encode("ascii"))
        event: dict[str, Any] = {}
        for line in heard:
            event = json.loads(line)
            yield event
        status = process.wait()
        if event.get("event") not in ("over", "error"):
            log.seek(0)
            words = log.read().decode("utf-8", "replace").strip().splitlines()
            raise ChildProcessError(f"the runner on {label} ended with {status}: {words[-1] if words else 'no word'}")


@contextlib.contextmanager
def _started(fleet: str, log: Any) -> Iterator[tuple[subprocess.Popen[bytes], Any, Any]]:
    """The runner with its two pipes; it is gone when this ends."""
    source, tell = os.pipe()
    heard, sink = os.pipe()
    command = [sys.executable, "-m", "wattscribe.fleets.runner", str(source), str(sink), str(os.getpid())]
    with open(tell, "wb") as tell_file, open(heard, "rb") as heard_file:  # noqa: PTH123
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(source, sink),
                start_new_session=True,
            )
        finally:
            os.close(source)
            os.close(sink)
        _running[fleet] = process
        try:
            yield process, tell_file, heard_file
        finally:
            _running.pop(fleet, None)
            process.kill()
            process.wait()


def stop(fleet: str) -> None:
    """End the runner of a fleet's run; what it has finished is in its journal."""
    if (process := _running.get(fleet)) is not None:
        process.terminate()


# --- the journal, handed over as it is ----------------------------------------------------------------------------
def copy_journal(run_dir: str) -> tuple[int, str] | None:
    """A consistent copy of the journal beside it, made by SQLite's own backup: its bytes and its SHA-256. None: there is none."""
    folder = Path(run_dir)
    if not (folder / FILE_NAME).exists():
        return None
    copy = folder / COPY_NAME
    copy.unlink(missing_ok=True)
    with (
        contextlib.closing(connect_to_read(folder / FILE_NAME)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
    with copy.open("rb") as file:
        digest = hashlib.sha256()
        while data := file.read(CHUNK_BYTES):
            digest.update(data)
    return copy.stat().st_size, digest.hexdigest()


def chunk(run_dir: str, offset: int) -> bytes:
    """A piece of the copy; the last one removes it."""
    copy = Path(run_dir) / COPY_NAME
    with copy.open("rb") as file:
        file.seek(offset)
        data = file.read(CHUNK_BYTES)
        over = file.tell() >= copy.stat().st_size
    if over:
        copy.unlink()
    return data
