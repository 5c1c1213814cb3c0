"""One trial in a process of its own: load, warm up, transcribe every utterance, say what it took, end.

`python -m wattscribe.runs.worker IN OUT PARENT` with two inherited file descriptors and the runner's process id. The process
holds nothing but its recognizer: speech comes from the spool file, one batch at a time; references, scores, meters and
journal stay with the runner.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

import numpy as np

from wattscribe.errors import RecognizerError, WattscribeError
from wattscribe.metering import memory, processes
from wattscribe.recognizers import open_recognizer
from wattscribe.recognizers.base import (
    Audio,
    Recognizer,
    SettlingRecognizer,
    StreamingRecognizer,
    runs_alone,
    runs_together,
)
from wattscribe.recognizers.latency import hear
from wattscribe.records import Paced, StreamingLatency, Transcript
from wattscribe.runs.pacing import Pace
from wattscribe.runs.process import EXIT_ORPHANED, die_with, ended_by_interrupts
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
    Message,
    Place,
    Warm,
    Whole,
    decode,
    encode,
)
from wattscribe.units import SAMPLE_BYTES, SAMPLE_RATE_HZ, s_from_ns

EXIT_FAILED = 3
M = TypeVar("M", bound=Message)


class Worker:
    """The worker's end of the conversation; `protocol` lists the messages in their order."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._sink = sink
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._ending = threading.Event()
        threading.Thread(target=_listen, args=(source, self._inbox, self._ending), daemon=True).start()

    def run(self) -> None:
        """The whole trial; whatever a recognizer raises goes to `report`."""
        job = self._receive(Job)
        gc.collect()
        footprint = _Footprint(on_gpu=not job.trial.recognizer.device.startswith("cpu"))
        self._send(Hello(baseline_bytes=footprint.baseline_bytes))
        if job.memory_limit_bytes is not None:
            _limit_memory(job.memory_limit_bytes)
        before_s = time.monotonic()
        recognizer = open_recognizer(job.trial.recognizer)
        streaming = job.trial.streams and isinstance(recognizer, StreamingRecognizer)
        if isinstance(recognizer, SettlingRecognizer):
            recognizer.settle(0.0 if streaming else sum(place.samples for place in job.pieces) / SAMPLE_RATE_HZ)
        alone = streaming or job.trial.duty is not None  # what is being spoken waits for nothing else
        together = 1 if alone else runs_together(recognizer, job.trial.recognizer)
        batches = _batches(job.pieces, together, recognizer)
        self._send(Loaded(load_s=time.monotonic() - before_s, streaming=streaming, batch_size=together))
        with contextlib.closing(recognizer), Path(job.spool).open("rb", buffering=0) as spool:
            self._warm_up(batches[: job.warmup], recognizer, spool, streaming)
            self._receive(Go)
            self._transcribe_all(_Work(job, recognizer, spool, streaming, batches), footprint)

    def report(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """`sys.excepthook`: tell the runner why, leave the traceback in the log, end."""
        sys.__excepthook__(kind, error, trace)
        text = str(error) if isinstance(error, WattscribeError) else f"{kind.__name__}: {error}".rstrip(": ")
        memory_words = ("out of memory", "bad_alloc", "can't allocate memory", "cannot allocate memory")
        exhausted = isinstance(error, MemoryError) or any(word in text.lower() for word in memory_words)
        self._send(Failed(reason=" ".join(text.split()), out_of_memory=exhausted))
        sys.stderr.flush()
        os._exit(EXIT_FAILED)

    def _warm_up(
        self, batches: Sequence[Sequence[Place]], recognizer: Recognizer, spool: FileIO, streaming: bool
    ) -> None:
        before_s = time.monotonic()
        for batch in batches:
            _transcribe(recognizer, _read(spool, batch), streaming)
        gc.collect()
        self._send(Warm(warmup_s=time.monotonic() - before_s))

    def _transcribe_all(self, work: _Work, footprint: _Footprint) -> None:
        starved_before_s = _starved_s()
        window_cpu_s, window_start_s = _cpu_s(), time.monotonic()
        if work.pace is not None:
            work.pace.open()
        for index, batch in enumerate(work.batches):
            audio = _read(work.spool, batch)
            if work.pace is not None:
                work.pace.await_utterance(index)
            self._send(Begin(ids=tuple(place.id for place in batch), start_s=time.monotonic()))
            cpu_s, start_s = _cpu_s(), time.monotonic()
            answers: list[tuple[Transcript, StreamingLatency | None, Paced | None]]
            if work.pace is None:
                answers = [(*answer, None) for answer in _transcribe(work.recognizer, audio, work.streaming)]
            else:
                one = work.pace.transcribe(index, work.recognizer, audio[0], streaming=work.streaming)
                answers, start_s = [one[:3]], one[3]
            end_s, cpu_s = time.monotonic(), max(0.0, _cpu_s() - cpu_s)
            named = tuple(_named(place, *answer) for place, answer in zip(batch, answers, strict=True))
            self._send(Answered(answers=named, start_s=start_s, end_s=end_s, cpu_s=cpu_s))
        if work.pace is not None:
            work.pace.await_utterance(len(work.batches))
        window_end_s, window_cpu_s = time.monotonic(), max(0.0, _cpu_s() - window_cpu_s)
        starved_s = _starved_s()
        if starved_s is not None and starved_before_s is not None:
            starved_s = max(0.0, starved_s - starved_before_s)
        time.sleep(work.job.quiet_s)
        # before whole files and the audit take memory of their own
        peak_bytes, gpu_bytes = footprint.peak_bytes(), footprint.gpu_bytes()
        children_bytes = memory.descendants_peak_bytes()
        whole_failed = self._whole_files(work) if work.pace is not None and work.streaming else None
        last = Done(
            start_s=window_start_s,
            end_s=window_end_s,
            cpu_s=window_cpu_s,
            starved_s=starved_s,
            peak_memory_bytes=peak_bytes,
            gpu_memory_bytes=gpu_bytes,
            children_peak_bytes=children_bytes,
            audit=work.recognizer.audit(),
            whole_failed=whole_failed,
        )
        self._ending.set()  # from here on the runner may hang up
        self._send(last)

    def _whole_files(self, work: _Work) -> str | None:
        """Transcribe each utterance as a whole too, so that both texts can be compared; why that failed, or None.

        The measurement is over: whatever a recognizer raises here costs the comparison and nothing else.
        """
        for batch in work.batches:
            try:
                ((answer, _),) = _transcribe(work.recognizer, _read(work.spool, batch), False)
            except Exception as error:  # noqa: BLE001 - any library's own; the trial itself is measured
                return f"{batch[0].id}: {' '.join(str(error).split()) or type(error).__name__}"
            self._send(Whole(id=batch[0].id, text=answer.text))
        return None

    def _send(self, message: Message) -> None:
        self._sink.write(encode(message))
        self._sink.flush()

    def _receive(self, kind: type[M]) -> M:
        message = self._inbox.get()
        if not isinstance(message, kind):
            raise RuntimeError(f"the runner said {type(message).__name__}, {kind.__name__} was due")
        return message


@dataclass(frozen=True, slots=True)
class _Work:
    """What is transcribed inside the window, and with what."""

    job: Job
    recognizer: Recognizer
    spool: FileIO
    streaming: bool
    batches: Sequence[Sequence[Place]]
    pace: Pace | None = field(init=False)
    """None: as fast as the recognizer takes it."""

    def __post_init__(self) -> None:
        duty = self.job.trial.duty
        lengths_s = [batch[0].samples / SAMPLE_RATE_HZ for batch in self.batches]
        object.__setattr__(self, "pace", None if duty is None else Pace(lengths_s, duty))


def _cpu_s() -> float:
    """CPU seconds so far of this process, all threads, and of its children: a recognizer may compute in one."""
    return time.process_time() + processes.descendants_cpu_s()


def _starved_s() -> float | None:
    """Seconds that the threads of this process and of its living children have waited in the run queue so far.

    Source: Linux, Documentation/scheduler/sched-stats.
    """
    waited_ns = []
    for pid in ("self", *processes.descendants()):
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError, ValueError, IndexError):  # a thread that ended meanwhile
                waited_ns.append(int(path.read_text(encoding="ascii").split()[1]))
    return s_from_ns(sum(waited_ns)) if waited_ns else None


class _Footprint:
    """Memory above the empty worker's, in RAM and on the GPU."""

    def __init__(self, *, on_gpu: bool) -> None:
        self._gpu_before = memory.gpu_used_bytes() if on_gpu else None
        self._on_gpu = on_gpu
        self._peak = memory.PeakMemory()
        self.baseline_bytes = self._peak.baseline_bytes

    def peak_bytes(self) -> int | None:
        return self._peak.above_baseline_bytes()

    def gpu_bytes(self) -> int | None:
        """This process's share, or the rise of the whole where the driver cannot tell processes apart."""
        if not self._on_gpu:
            return None
        own = memory.gpu_memory_bytes()
        if own is not None or self._gpu_before is None:
            return own
        now = memory.gpu_used_bytes()
        return None if now is None else max(0, now - self._gpu_before)


def _batches(pieces: Sequence[Place], together: int, recognizer: Recognizer) -> list[list[Place]]:
    """At most `together` in order; what runs alone shares its time with none."""
    batches: list[list[Place]] = []
    closed = True
    for place in pieces:
        alone = runs_alone(recognizer, place.samples)
        if closed or alone or len(batches[-1]) == together:
            batches.append([])
        batches[-1].append(place)
        closed = alone
    return batches


def _read(spool: FileIO, batch: Sequence[Place]) -> list[Audio]:
    """The batch's samples in buffers of their own, so that only they are in memory."""
    audio = []
    for place in batch:
        buffer = bytearray(place.samples * SAMPLE_BYTES)
        spool.seek(place.offset_bytes)
        rest = memoryview(buffer)
        while rest:  # the kernel gives at most 2 GiB at once, 9.3 h of speech
            if not (count := spool.readinto(rest)):
                raise RuntimeError(f"the spool file ends inside {place.id}")
            rest = rest[count:]
        audio.append(np.frombuffer(buffer, dtype="<f4").astype(np.float32, copy=False))
    return audio


def _transcribe(
    recognizer: Recognizer, audio: list[Audio], streaming: bool
) -> list[tuple[Transcript, StreamingLatency | None]]:
    """One answer per piece of audio, whichever way it is fed."""
    if streaming and isinstance(recognizer, StreamingRecognizer):
        return [hear(recognizer, piece, time.monotonic) for piece in audio]
    answers = recognizer.transcribe(audio)
    if len(answers) != len(audio):
        raise RecognizerError(f"the recognizer gave {len(answers)} answers to {len(audio)} utterances")
    return [(answer, None) for answer in answers]


def _named(place: Place, answer: Transcript, latency: StreamingLatency | None, paced: Paced | None) -> Answer:
    return Answer(
        id=place.id, text=answer.text, counts=answer.counts, latency=latency, language=answer.language, paced=paced
    )


def _limit_memory(extra_bytes: int) -> None:
    """Let the address space grow by so much and no more; beyond it an allocation fails instead of the machine.

    Raises RecognizerError where the system has no such limit: a run without it is not the one that was asked for.
    """
    if sys.platform != "linux":
        raise RecognizerError("a memory limit can be set under Linux only", fix="Leave `memory_limit_bytes` out")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit_bytes = pages * resource.getpagesize() + extra_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def _listen(source: BinaryIO, inbox: queue.SimpleQueue[Message], ending: threading.Event) -> None:
    """Pass on what the runner says; when it says nothing more before our last word, it is dead, and so are we."""
    for line in source:
        inbox.put(decode(line))
    if not ending.is_set():
        os._exit(EXIT_ORPHANED)


def main(arguments: Sequence[str]) -> None:
    source, sink, parent = (int(number) for number in arguments)
    die_with(parent)
    ended_by_interrupts()
    faulthandler.enable()
    worker = Worker(os.fdopen(source, "rb"), os.fdopen(sink, "wb"))
    sys.excepthook = worker.report
    worker.run()


if __name__ == "__main__":
    main(sys.argv[1:])
