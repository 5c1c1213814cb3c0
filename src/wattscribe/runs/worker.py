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
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

import numpy as np

from wattscribe.errors import RecognizerError, WattscribeError
from wattscribe.metering import memory
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
from wattscribe.records import StreamingLatency, Transcript
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
        streaming = job.trial.streaming_latency and isinstance(recognizer, StreamingRecognizer)
        if isinstance(recognizer, SettlingRecognizer):
            recognizer.settle(0.0 if streaming else sum(place.samples for place in job.pieces) / SAMPLE_RATE_HZ)
        together = 1 if streaming else runs_together(recognizer, job.trial.recognizer)
        batches = _batches(job.pieces, together, recognizer)
        self._send(Loaded(load_s=time.monotonic() - before_s, streaming=streaming, batch_size=together))
        with contextlib.closing(recognizer), Path(job.spool).open("rb", buffering=0) as spool:
            self._warm_up(batches[: job.warmup], recognizer, spool, streaming)
            self._receive(Go)
            self._transcribe_all(batches, recognizer, spool, streaming, footprint, job.quiet_s)

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

    def _transcribe_all(
        self,
        batches: Sequence[Sequence[Place]],
        recognizer: Recognizer,
        spool: FileIO,
        streaming: bool,
        footprint: _Footprint,
        quiet_s: float,
    ) -> None:
        starved_before_s = _starved_s()
        window_start_s, window_cpu_s = time.monotonic(), time.process_time()
        for batch in batches:
            audio = _read(spool, batch)
            self._send(Begin(ids=tuple(place.id for place in batch), start_s=time.monotonic()))
            cpu_s, start_s = time.process_time(), time.monotonic()
            answers = _transcribe(recognizer, audio, streaming)
            end_s, cpu_s = time.monotonic(), time.process_time() - cpu_s
            named = tuple(_named(place, *answer) for place, answer in zip(batch, answers, strict=True))
            self._send(Answered(answers=named, start_s=start_s, end_s=end_s, cpu_s=cpu_s))
        window_end_s, window_cpu_s = time.monotonic(), time.process_time() - window_cpu_s
        starved_s = _starved_s()
        if starved_s is not None and starved_before_s is not None:
            starved_s = max(0.0, starved_s - starved_before_s)
        time.sleep(quiet_s)
        peak_bytes, gpu_bytes = (
            footprint.peak_bytes(),
            footprint.gpu_bytes(),
        )  # before the audit takes memory of its own
        last = Done(
            start_s=window_start_s,
            end_s=window_end_s,
            cpu_s=window_cpu_s,
            starved_s=starved_s,
            peak_memory_bytes=peak_bytes,
            gpu_memory_bytes=gpu_bytes,
            audit=recognizer.audit(),
        )
        self._ending.set()  # from here on the runner may hang up
        self._send(last)

    def _send(self, message: Message) -> None:
        self._sink.write(encode(message))
        self._sink.flush()

    def _receive(self, kind: type[M]) -> M:
        message = self._inbox.get()
        if not isinstance(message, kind):
            raise RuntimeError(f"the runner said {type(message).__name__}, {kind.__name__} was due")
        return message


def _starved_s() -> float | None:
    """Seconds that this process's threads have waited in the run queue so far (Linux, Documentation/scheduler/sched-stats)."""
    waited_ns = []
    for path in Path("/proc/self/task").glob("*/schedstat"):
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


def _named(place: Place, answer: Transcript, latency: StreamingLatency | None) -> Answer:
    return Answer(id=place.id, text=answer.text, counts=answer.counts, latency=latency, language=answer.language)


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
