"""`wattscribe transcribe MODEL FILE… | - | --mic`: text as it is recognised."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import cyclopts
from cyclopts import Parameter

from wattscribe.cli import tell
from wattscribe.cli.whole_files import hears_whole_files, transcribe_files
from wattscribe.errors import InputError
from wattscribe.records import Counts, Transcript, json_text, to_json
from wattscribe.terminal import say

if TYPE_CHECKING:
    from wattscribe.streaming.features import Samples
    from wattscribe.streaming.stream import Ended
    from wattscribe.streaming.transducer import Transducer

app = cyclopts.App(
    name="wattscribe transcribe",
    help="Text as it is recognised: audio files, raw 16 kHz 16-bit mono PCM on standard input (-), or the microphone.",
)


MAX_TAIL_S = 60.0
"""More silence than any segment is long; it is decoded at once, so it takes memory."""


class Listener(Protocol):
    """What Stream and GatedStream share."""

    ended: list[Ended]

    def accept(self, samples: Samples) -> None: ...
    def finish(self) -> Transcript: ...
    def partial(self) -> Transcript: ...
    @property
    def text(self) -> str: ...
    @property
    def counts(self) -> Counts: ...
    @property
    def heard_s(self) -> float: ...


@app.default
def transcribe(
    model: str,
    /,
    *sources: Annotated[str, Parameter(allow_leading_hyphen=True)],
    mic: Annotated[bool, Parameter(negative="")] = False,
    json_lines: Annotated[bool, Parameter(name="--json", negative="")] = False,
    vad: Annotated[bool, Parameter(negative="")] = False,
    decoding: Literal["greedy", "beam"] = "greedy",
    beam: int = 4,
    blank_penalty: float = 0.0,
    frame_by_frame: Annotated[bool, Parameter(negative="")] = False,
    phrase: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    phrases: Annotated[Path | None, Parameter(negative="")] = None,
    precision: Literal["stored", "fp32", "fp16", "int8"] = "stored",
    threads: int = 1,
    tail_s: float | None = None,
    endpoints: bool = True,
) -> int:
    """Transcribe with the streaming transducer, or the exported Whisper or Moonshine, in the directory MODEL.

    Parameters
    ----------
    model
        Directory with encoder*.onnx, decoder*.onnx, joiner*.onnx and tokens.txt; or with an encoder and a decoder, which
        hear whole files (options behind a question mark: DIR?language=de).
    sources
        Audio files, or - for raw PCM on standard input.
    mic
        Listen to the default microphone until Ctrl-C (extra mic).
    json_lines
        One JSON line per utterance, with times, and one with what the source cost.
    vad
        Hear only speech: no encoder call in silence (extra vad).
    decoding
        greedy, or modified beam search.
    beam
        Hypotheses kept by beam search.
    blank_penalty
        Subtracted from the blank's score.
    frame_by_frame
        Ask the joiner frame by frame, for comparison.
    phrase
        Words that beam search favours, `TEXT` or `TEXT :SCORE`; may be repeated.
    phrases
        File with one such phrase a line.
    precision
        Which of several files of a component to take.
    threads
        Threads of one operator.
    tail_s
        Seconds of silence appended at the end, at most 60 (what the segments of the model need).
    endpoints
        Start a new line after a pause, or after 20 s.
    """
    from wattscribe.streaming import Endpointing, open_transducer
    from wattscribe.streaming.phrases import Phrase, read_phrases

    unknown = [name for name in sources if name.startswith("-") and name != "-"]
    if unknown:
        raise InputError(f"there is no option {unknown[0]!r}", fix="See wattscribe transcribe --help")
    if bool(sources) == mic:
        raise InputError("nothing to transcribe" if not mic else "both files and --mic", fix="Give FILE…, - or --mic")
    if tail_s is not None and not 0 <= tail_s <= MAX_TAIL_S:
        raise InputError(f"tail_s is {tail_s:g}", fix=f"It must lie between 0 and {MAX_TAIL_S:g} s")
    if hears_whole_files(model):
        if vad or phrase or phrases or mic or tail_s is not None:
            raise InputError(
                "--vad, --phrase, --tail-s and --mic are for transducers", where=model, fix="Leave them out"
            )
        return transcribe_files(
            model, sources, precision=precision, threads=threads, decoding=decoding, beam=beam, json_lines=json_lines
        )
    transducer = open_transducer(
        model.removeprefix("onnx:"),
        precision=precision,
        threads=threads,
        decoding=decoding,
        beam=beam,
        blank_penalty=blank_penalty,
        frame_by_frame=frame_by_frame,
        phrases=[*map(Phrase.parse, phrase), *(read_phrases(phrases) if phrases is not None else ())],
        tail_s=tail_s,
        endpointing=Endpointing() if endpoints else None,
    )
    for note in transducer.notes:
        say(f"wattscribe transcribe: note: {note}")
    names = ["microphone"] if mic else list(sources)
    status = 0
    with Interrupts() as interrupts:
        for name in names:
            printer = _Printer(
                name=name, json_lines=json_lines, live=decoding == "greedy" and not json_lines, titled=len(names) > 1
            )
            try:
                _one(_blocks(name, mic), _listener(transducer, vad), printer, interrupts)
            except InputError as error:
                status = tell("transcribe", error)
            if interrupts.asked:
                break
    return status


def _blocks(name: str, mic: bool) -> Iterator[Samples]:
    from wattscribe.streaming import sources

    if mic:
        return sources.microphone_blocks()
    if name == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed", fix="Pipe raw 16 kHz 16-bit mono PCM into it")
        return sources.pcm_blocks(sys.stdin.buffer)
    return sources.file_blocks(name)


def _listener(transducer: Transducer, vad: bool) -> Listener:
    from wattscribe.streaming.vad import GatedStream

    return GatedStream(transducer) if vad else transducer.stream()


def _one(blocks: Iterator[Samples], listener: Listener, printer: _Printer, interrupts: Interrupts) -> None:
    """Hear one source to its end, to Ctrl-C or to a fault, printing what is recognised. The fault is raised after that."""
    fault: InputError | None = None
    try:
        for block in interrupts.until_asked(blocks):
            printer.begin()
            listener.accept(block)
            printer.show(listener)
    except InputError as error:
        fault = error
    if fault is None or listener.heard_s:
        listener.finish()
        printer.show(listener)
        printer.end(listener)
    if fault is not None:
        raise fault


class Interrupts:
    """Ctrl-C ends the listening, never a computation halfway: what was heard is still decoded and printed."""

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self._waiting:
            raise KeyboardInterrupt

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def until_asked(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        """The blocks until they end or Ctrl-C is pressed."""
        while not self.asked:
            try:
                with self._listening():
                    block = next(blocks, None)
            except KeyboardInterrupt:
                return
            if block is None:
                return
            yield block


@dataclass(slots=True)
class _Printer:
    """Words as they come where they are never revised (greedy), else whole utterances; or JSON lines."""

    name: str
    json_lines: bool
    live: bool
    titled: bool
    shown: str = ""

    def begin(self) -> None:
        """Name the source, once."""
        if self.titled and not self.json_lines:
            print(f"{self.name}:", flush=True)
        self.titled = False

    def show(self, listener: Listener) -> None:
        """Print what is new."""
        while listener.ended:
            self._utterance(listener.ended.pop(0), listener.heard_s)
        if self.live:
            self._grow(listener.text)

    def end(self, listener: Listener) -> None:
        """Print the last utterance and, as JSON, what the source cost."""
        last = listener.partial()
        if last.text:
            if self.json_lines:
                self._line(last, listener.heard_s, listener.heard_s)
            else:
                self._grow(last.text)
                print(flush=True)
        if self.json_lines:
            self._cost(listener)

    def _utterance(self, ended: Ended, heard_s: float) -> None:
        text = ended.transcript.text
        if self.json_lines:
            if text:
                self._line(ended.transcript, ended.end_s, heard_s)
        elif text:
            self._grow(text)
            print(flush=True)
        self.shown = ""

    def _grow(self, text: str) -> None:
        if text.startswith(self.shown) and len(text) > len(self.shown):
            print(text[len(self.shown) :], end="", flush=True)
            self.shown = text

    def _line(self, transcript: Transcript, end_s: float, heard_s: float) -> None:
        """One utterance, from its first token."""
        from wattscribe.streaming.vad import end_within

        found = {
            "type": "utterance",
            "source": self.name,
            "start_s": round(transcript.tokens[0].start_s, 3),
            "end_s": round(end_within(end_s, transcript, heard_s), 3),
            "text": transcript.text,
            "tokens": [{**to_json(token), "start_s": round(token.start_s, 3)} for token in transcript.tokens],
        }
        print(json_text(found), flush=True)

    def _cost(self, listener: Listener) -> None:
        found = {
            "type": "cost",
            "source": self.name,
            "audio_s": round(listener.heard_s, 3),
            "counts": to_json(listener.counts),
        }
        skipped = getattr(listener, "skipped_s", None)
        if skipped is not None:
            found["skipped_s"] = round(skipped, 3)
        print(json_text(found), flush=True)
