"""`wattscribe bench EXPERIMENT.toml`, or flags: measure, print the table, write the page."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from wattscribe.bench.experiment import Experiment, check, load, split_list, split_numbers, split_options
from wattscribe.bench.progress import Bars, Silent, Watcher
from wattscribe.bench.runner import REPORT_NAME, recorded_experiment, run
from wattscribe.errors import InputError

app = cyclopts.App(
    name="wattscribe bench", help="Measure recognizers × precisions × corpora × conditions on this device."
)

Repeatable = Annotated[list[str] | None, Parameter(negative=(), consume_multiple=False)]
Switch = Annotated[bool | None, Parameter(negative=())]


@app.default
def bench(
    experiment: Path | None = None,
    /,
    *,
    model: Repeatable = None,
    precision: str | None = None,
    data: Repeatable = None,
    noise: Repeatable = None,
    snr: str | None = None,
    rir: Repeatable = None,
    longform: float | None = None,
    clean: bool | None = None,
    repeats: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
    latency: Switch = None,
    device: str | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    option: Repeatable = None,
    timeout: float | None = None,
    memory_limit: int | None = None,
    idle: float | None = None,
    normaliser: str | None = None,
    strict: Switch = None,
    out: Path = Path("runs/bench"),
    mark: Switch = None,
    mark_unit: float | None = None,
    resume: Switch = None,
    retry_failed: Switch = None,
    overwrite: Switch = None,
) -> int:
    """Run an experiment from a TOML file, from flags, or from both: a flag overrides the file's key.

    Exit status 0: every trial is done. 1: a trial failed, the table says why. 2: the input is at fault.

    Parameters
    ----------
    experiment
        The experiment's TOML file. Its keys and an example are in docs/bench.md.
    model
        runtime:model, for instance hf:openai/whisper-tiny.en, ct2:tiny.en, sherpa:DIR, pocketsphinx:en-us, onnx:DIR.
    precision
        One or more, by comma: fp32,fp16,bf16,int8. Left out: what the runtime or the model directory has.
    data
        A LibriSpeech folder, a manifest.jsonl or its folder, hub:NAME, or bundled.
    noise
        A folder of audio files, or white or pink; needs --snr.
    snr
        Signal-to-noise ratios in dB, by comma: 20,10,5,0.
    rir
        A room impulse response, or a folder of them.
    longform
        Also join utterances with pauses into recordings of up to this many minutes.
    clean
        Whether clean speech is heard as well.
    repeats
        How often each combination is measured.
    seed
        Of the noise, the pauses and the order of the trials.
    limit
        Only the first so many usable utterances of each corpus.
    latency
        Feed streaming recognizers piece by piece and measure their delays.
    device
        cpu, cuda or cuda:N.
    threads
        Threads of each recognizer.
    batch_size
        Utterances given to the recognizer at once.
    option
        key=value for the recognizers, for instance beam=4.
    timeout
        Seconds after which an utterance without an answer ends its trial.
    memory_limit
        Bytes of address space that a recognizer may take.
    idle
        Seconds of idle baseline before and after each trial.
    normaliser
        whisper, basic or none: the text rule of the score.
    strict
        Stop at the first bad input instead of counting it.
    out
        The run's directory.
    mark
        Busy and idle pulses before the first trial and after the last, for the recording of an external meter; start that
        first. Afterwards: wattscribe meters attach.
    mark_unit
        Seconds of the shortest pulse, 1 unless the meter takes fewer than four samples in that time.
    resume
        Go on with the run in --out; without an experiment, with the one that it began with.
    retry_failed
        With --resume: also measure trials again that failed; their earlier verdicts are kept and never count.
    overwrite
        Replace the run in --out.
    """
    flags: dict[str, Any] = {
        "models": model,
        "precision": None if precision is None else split_list(precision),
        "data": data,
        "noise": noise,
        "snr": None if snr is None else split_numbers(snr, flag="--snr"),
        "rir": rir,
        "longform_minutes": longform,
        "clean": clean,
        "repeats": repeats,
        "seed": seed,
        "limit": limit,
        "latency": latency,
        "device": device,
        "threads": threads,
        "batch_size": batch_size,
        "options": None if option is None else split_options(option),
        "timeout_s": timeout,
        "memory_limit_bytes": memory_limit,
        "idle_s": idle,
        "normaliser": normaliser,
        "strict": strict,
        "mark": mark,
        "mark_unit_s": mark_unit,
    }
    given = {key: value for key, value in flags.items() if value is not None}
    plan = _experiment(experiment, given, out, resume=bool(resume))
    with _watcher() as watcher:
        run(
            plan,
            out,
            resume=bool(resume),
            overwrite=bool(overwrite),
            retry_failed=bool(retry_failed),
            watcher=watcher,
        )
    return _conclude(out)


def _experiment(path: Path | None, flags: dict[str, Any], out: Path, *, resume: bool) -> Experiment:
    if path is not None:
        return load(path, flags)
    if resume and not flags:
        return recorded_experiment(out)
    if not flags:
        raise InputError("there is nothing to measure", fix="Name an experiment's TOML file, or --model and --data")
    return check(flags)


@contextlib.contextmanager
def _watcher() -> Iterator[Watcher]:
    """Bars for a terminal, silence for a pipe or a log."""
    if sys.stderr.isatty():
        with Bars() as bars:
            yield bars
    else:
        yield Silent()


def _conclude(out: Path) -> int:
    """The table on standard output, the page beside the journal, the exit status."""
    from wattscribe.journal import read_run
    from wattscribe.report import to_markdown, write_html

    facts = read_run(out)
    page = out / REPORT_NAME
    write_html(facts, page)
    print(to_markdown(facts))
    print(f"report: {page}")
    return 0 if all(trial.status == "done" for trial in facts.trials) else 1
