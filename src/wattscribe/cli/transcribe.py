"""`wattscribe transcribe MODEL FILE… | - | --mic`: text as it is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Group, Parameter

from wattscribe.cli.follow import Interrupts, Printer
from wattscribe.cli.output import Json, Quiet
from wattscribe.errors import InputError

app = cyclopts.App(
    name="wattscribe transcribe",
    help="Text as it is recognised: audio files, raw 16 kHz 16-bit mono PCM on standard input (-), or the microphone.",
)

MODEL = Group("The recognizer", sort_key=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """How the recognizer is opened: by the options that `?option=value` names, the usual ones as flags."""

    precision: Annotated[str | None, Parameter(group=MODEL)] = None
    """Which of several files of a component to take, or what to load: stored, fp32, fp16, bf16, int8."""
    device: Annotated[str, Parameter(group=MODEL)] = "cpu"
    """cpu, cuda or cuda:N."""
    threads: Annotated[int, Parameter(group=MODEL)] = 1
    """Threads of one operator."""
    decoding: Annotated[Literal["greedy", "beam"] | None, Parameter(group=MODEL)] = None
    """greedy, or modified beam search."""
    beam: Annotated[int | None, Parameter(group=MODEL)] = None
    """Hypotheses kept by beam search."""
    blank_penalty: Annotated[float | None, Parameter(group=MODEL)] = None
    """Subtracted from the blank's score."""
    frame_by_frame: Annotated[bool, Parameter(negative="", group=MODEL)] = False
    """Ask the joiner frame by frame, for comparison."""
    phrase: Annotated[tuple[str, ...], Parameter(negative="", group=MODEL)] = ()
    """Words that beam search favours, `TEXT` or `TEXT :SCORE`; may be repeated."""
    phrases: Annotated[Path | None, Parameter(group=MODEL)] = None
    """A file with one such phrase per line."""
    tail_s: Annotated[float | None, Parameter(group=MODEL)] = None
    """Seconds of silence appended at the end, at most 60 (what the segments of the model need)."""
    options: Annotated[tuple[str, ...], Parameter("--option", negative="", group=MODEL)] = ()
    """key=value for the recognizer, for instance language=de."""

    def asked(self) -> dict[str, str]:
        """The recognizer's options, those that were given. Raises InputError."""
        from wattscribe.runs.experiment import split_options

        given = {
            "decoding": self.decoding,
            "beam": self.beam,
            "blank_penalty": self.blank_penalty,
            "frame_by_frame": "true" if self.frame_by_frame else None,
            "phrase": "\n".join(self.phrase) or None,
            "phrases": self.phrases,
            "tail_s": self.tail_s,
        }
        return {
            **{name: str(value) for name, value in given.items() if value is not None},
            **split_options(list(self.options)),
        }


@app.default
def transcribe(
    model: str,
    /,
    *sources: Annotated[str, Parameter(allow_leading_hyphen=True)],
    mic: Annotated[bool, Parameter(negative="")] = False,
    vad: Annotated[bool, Parameter(negative="")] = False,
    endpoints: bool = True,
    flags: Annotated[Flags, Parameter("*")] = Flags(),
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Transcribe with MODEL, named as in bench: runtime:model, or a local directory. Recognizers that stream give text as it is
    recognised, the others when a source has ended. --json: one line per utterance, with times, and one with what the source cost.

    Parameters
    ----------
    model
        hf:openai/whisper-tiny.en, ct2:tiny.en, sherpa:DIR, onnx:DIR, reference, or a directory, recognised by its files.
    sources
        Audio files, or - for raw PCM on standard input.
    mic
        Listen to the default microphone until Ctrl-C (extra mic).
    vad
        Decode speech only: no encoder call in silence (extra vad; streaming transducers).
    endpoints
        Start a new line after a pause, or after 20 s (streaming transducers).
    """
    import wattscribe

    unknown = [name for name in sources if name.startswith("-") and name != "-"]
    if unknown:
        raise InputError(f"there is no option {unknown[0]!r}", fix="See wattscribe transcribe --help")
    if bool(sources) == mic:
        raise InputError("nothing to transcribe" if not mic else "both files and --mic", fix="Give FILE…, - or --mic")
    with Interrupts() as interrupts:
        live = flags.decoding != "beam" and not json_output
        printer = Printer(interrupts, json_lines=json_output, live=live, titled=len(sources) > 1, quiet=quiet)
        wattscribe.transcribe(
            model,
            ["microphone"] if mic else sources,
            precision=flags.precision,
            device=flags.device,
            threads=flags.threads,
            options=flags.asked(),
            vad=vad,
            endpoints=endpoints,
            follow=printer,
        )
    return printer.status
