"""The conversation between runner and worker: whole messages, nothing else on the pipe, no survivor."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from dataclasses import replace
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattscribe.errors import exit_in_words
from wattscribe.records import Condition, Counts, PrecisionAudit, RecognizerSpec, StreamingLatency, Trial
from wattscribe.runs import worker as worker_module
from wattscribe.runs.plan import trial_of
from wattscribe.runs.process import WorkerGoneError, WorkerProcess, last_line
from wattscribe.runs.protocol import (
    Answer,
    Answered,
    Begin,
    Done,
    Failed,
    Go,
    Hello,
    Job,
    Loaded,
    Place,
    Warm,
    decode,
    encode,
)

AUDIT = PrecisionAudit(requested="int8", ok=True, reason=None, weight_bytes={"int8": 3}, operators={}, device="cpu")


def job(tmp_path: Path, samples: np.ndarray, model: str = "a", **options: str) -> Job:
    path = tmp_path / "speech.f32"
    path.write_bytes(samples.astype("<f4").tobytes())
    spec = RecognizerSpec(runtime="fake", model=model, options=options)
    trial = trial_of(Trial(id="", recognizer=spec, corpus="c", condition=Condition()))
    places = tuple(Place(id=f"u{n}", offset_bytes=n * 6400, samples=1600) for n in range(len(samples) // 1600))
    return Job(trial=trial, spool=str(path), pieces=places, warmup=1)


@settings(deadline=None, max_examples=30)
@given(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_messages_come_back(text: str, number: float, flag: bool) -> None:
    latency = StreamingLatency(
        first_partial_s=None if flag else number,
        emission_delay_p50_s=number,
        emission_delay_p99_s=None,
        segment_compute_p50_s=number,
        segment_compute_p99_s=number,
        finalisation_s=number,
        partials=1,
        partials_revised=0,
    )
    answer = Answer(id=text, text=text, counts=Counts(blanks=3) if flag else None, latency=latency, language=text)
    for message in (
        Go(),
        Hello(baseline_bytes=None if flag else 5),
        Loaded(load_s=number, streaming=flag, batch_size=3),
        Warm(warmup_s=number),
        Begin(ids=(text, "b"), start_s=number),
        Answered(answers=(answer, answer), start_s=number, end_s=number, cpu_s=number),
        Done(
            start_s=number,
            end_s=number,
            cpu_s=number,
            starved_s=None,
            peak_memory_bytes=1,
            gpu_memory_bytes=None,
            children_peak_bytes=2,
            audit=AUDIT,
        ),
        Failed(reason=text, out_of_memory=flag),
    ):
        line = encode(message)
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1, "one line, whatever the text holds"
        assert decode(line) == message


@pytest.mark.parametrize(
    "line", [b"hello\n", b"[1]\n", b'{"kind": "Nobody"}\n', b'{"kind": "Go", "extra": 1}\n', b"\xff\n"]
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


def test_the_order_of_a_conversation(tmp_path: Path) -> None:
    samples = np.arange(4800, dtype=np.float32) / 4800
    with (tmp_path / "log").open("wb") as log:
        worker = WorkerProcess(log, threads=1)
        worker.send(job(tmp_path, samples, text="x"))
        said: list[object] = []
        while not said or not isinstance(said[-1], (Done, Failed)):
            message = worker.receive(30.0)
            assert message is not None
            said.append(message)
            if isinstance(message, Warm):
                assert worker.receive(0.3) is None, "nothing is measured before the runner says go"
                worker.send(Go())
        status = worker.end(kill=False)
    kinds = [type(message).__name__ for message in said]
    assert kinds == ["Hello", "Loaded", "Warm", *["Begin", "Answered"] * 3, "Done"]
    assert [m.answers[0].id for m in said if isinstance(m, Answered)] == ["u0", "u1", "u2"]
    times = [time_s for m in said if isinstance(m, Answered) for time_s in (m.start_s, m.end_s)]
    assert times == sorted(times)
    assert status == 0


def test_the_worker_is_quiet_after_its_window(tmp_path: Path) -> None:
    """A sensor that averages would count the audit and the end of the process to the window."""
    with (tmp_path / "log").open("wb") as log:
        worker = WorkerProcess(log, threads=1)
        worker.send(replace(job(tmp_path, np.zeros(1600, np.float32), text="x"), quiet_s=0.4))
        message = None
        while not isinstance(message, Done):
            message = worker.receive(30.0)
            assert not isinstance(message, Failed)
            if isinstance(message, Warm):
                worker.send(Go())
        assert time.monotonic() - message.end_s >= 0.4
        assert message.end_s - message.start_s < 0.4, "and the quiet is no part of it"
        worker.end(kill=False)


def test_what_is_heard_alone_shares_its_time_with_none() -> None:
    class Recognizer:
        def alone(self, samples: int) -> bool:
            return samples > 30

    places = [Place(id=str(n), offset_bytes=0, samples=n) for n in (1, 2, 3, 40, 41, 4, 5, 42, 6)]
    batches = worker_module._batches(places, 2, Recognizer())  # type: ignore[arg-type]
    assert [[place.samples for place in batch] for batch in batches] == [[1, 2], [3], [40], [41], [4, 5], [42], [6]]


def test_a_worker_that_is_let_go_ends(tmp_path: Path) -> None:
    """When the runner's pipe closes, a worker that hangs in its recognizer ends all the same."""
    with (tmp_path / "log").open("wb") as log:
        worker = WorkerProcess(log, threads=1)
        worker.send(job(tmp_path, np.zeros(1600, np.float32), hang_at="0"))
        while not isinstance(worker.receive(30.0), Loaded):
            pass
        before_s = time.monotonic()
        assert worker.end(kill=False) == 4
        assert time.monotonic() - before_s < 9, "it was not the kill after the grace"


def test_a_crashed_worker_is_seen_as_gone(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        worker = WorkerProcess(log, threads=1)
        worker.send(job(tmp_path, np.zeros(1600, np.float32), exit_at="0"))
        assert isinstance(worker.receive(30.0), Hello)
        assert isinstance(worker.receive(30.0), Loaded)
        with pytest.raises(WorkerGoneError):
            worker.receive(30.0)
        assert worker.end(kill=False) == 3


def test_a_spool_that_is_cut_short_is_an_error_and_no_silence(tmp_path: Path) -> None:
    cut = job(tmp_path, np.zeros(3200, np.float32), text="x")
    os.truncate(cut.spool, 8000)
    with (tmp_path / "log").open("wb") as log:
        worker = WorkerProcess(log, threads=1)
        worker.send(cut)
        message = None
        while not isinstance(message, (Done, Failed)):
            message = worker.receive(30.0)
            if isinstance(message, Warm):
                worker.send(Go())
        worker.end(kill=False)
    assert isinstance(message, Failed)
    assert "ends inside u1" in message.reason


def test_threads_reach_the_libraries(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        worker = WorkerProcess(log, threads=3)
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
        deadline_s = time.monotonic() + 10
        while b"OMP_NUM_THREADS=3" not in environment and time.monotonic() < deadline_s:
            environment = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
        worker.end(kill=True)
    assert {b"OMP_NUM_THREADS=3", b"MKL_NUM_THREADS=3", b"PYTHONSAFEPATH=1"} <= set(environment)


def test_a_worker_loads_nothing_that_it_does_not_need() -> None:
    """Its empty self is the baseline of every recognizer's memory."""
    code = "import sys, wattscribe.runs.worker; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not {"torch", "transformers", "onnxruntime", "plotly", "pydantic", "sqlite3", "rich", "jiwer"} & loaded


def test_exits_in_words(tmp_path: Path) -> None:
    assert exit_in_words(3) == "exit status 3"
    assert exit_in_words(-11) == "signal SIGSEGV"
    log = tmp_path / "log"
    log.write_bytes(b"old\n--- trial\n")
    assert last_line(log, 14) is None
    log.write_bytes(b"old\n--- trial\nfirst\n  std::bad_alloc \n\n")
    assert last_line(log, 14) == "std::bad_alloc"


def test_a_recording_that_the_kernel_gives_in_parts_is_whole(tmp_path: Path) -> None:
    """One read gives 2 GiB at most, which are 9.3 h of speech: a small one stands for it."""

    class Sparing(FileIO):
        def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
            return super().readinto(buffer[:1000])

    samples = np.arange(3 * 1600, dtype=np.float32)
    asked = job(tmp_path, samples)
    with Sparing(asked.spool) as spool:
        heard = worker_module._read(spool, asked.pieces[1:])
    np.testing.assert_array_equal(np.concatenate(heard), samples[1600:])
    cut_off = dataclasses.replace(asked.pieces[2], samples=1601)
    with Sparing(tmp_path / "speech.f32") as spool, pytest.raises(RuntimeError, match="ends inside u2"):
        worker_module._read(spool, [cut_off])
