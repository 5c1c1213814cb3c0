"""`wattscribe bench EXPERIMENT.toml`, or flags: measure, print the table, write the page."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Group, Parameter

import wattscribe
from wattscribe.errors import InputError, WattscribeError
from wattscribe.records import RunFacts
from wattscribe.runs.beginning import REPORT_NAME
from wattscribe.runs.experiment import Experiment, check, load, split_list, split_numbers, split_options
from wattscribe.runs.progress import Bars, Silent, Watcher

app = cyclopts.App(
    name="wattscribe bench", help="Measure recognizers × precisions × corpora × conditions on this device."
)

Switch = Parameter(negative=(), show_default=False)
Repeatable = Parameter(negative=(), consume_multiple=False)

WHAT = Group("What is measured", sort_key=1)
HOW = Group("How", sort_key=2)
RUN = Group("The run", sort_key=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The experiment's keys as flags: each field is called after its key. None: not given, the file or the default holds."""

    models: Annotated[list[str] | None, Parameter("--model", group=WHAT), Repeatable] = None
    """runtime:model, for instance hf:openai/whisper-tiny.en, ct2:tiny.en, sherpa:DIR, pocketsphinx:en-us, onnx:DIR."""
    precision: Annotated[str | None, Parameter(group=WHAT)] = None
    """One or more, by comma: fp32,fp16,bf16,int8. Left out: what the runtime or the model directory has."""
    data: Annotated[list[str] | None, Parameter(group=WHAT), Repeatable] = None
    """A LibriSpeech folder, a manifest.jsonl or its folder, hub:NAME, or bundled."""
    clean: Annotated[bool | None, Parameter(group=WHAT)] = None
    """Whether clean speech is heard as well."""
    noise: Annotated[list[str] | None, Parameter(group=WHAT), Repeatable] = None
    """A folder of audio files, or white or pink; needs --snr."""
    snr: Annotated[str | None, Parameter(group=WHAT)] = None
    """Signal-to-noise ratios in dB, from -200 to 200, by comma: 20,10,5,0."""
    rir: Annotated[list[str] | None, Parameter(group=WHAT), Repeatable] = None
    """A room impulse response, or a folder of them."""
    longform_minutes: Annotated[float | None, Parameter("--longform", group=WHAT)] = None
    """Also join utterances with pauses into recordings of up to this many minutes."""
    limit: Annotated[int | None, Parameter(group=WHAT)] = None
    """Only the first so many usable utterances of each corpus."""
    repeats: Annotated[int | None, Parameter(group=HOW)] = None
    """How often each combination is measured."""
    seed: Annotated[int | None, Parameter(group=HOW)] = None
    """Of the noise, the pauses and the order of the trials."""
    device: Annotated[str | None, Parameter(group=HOW)] = None
    """cpu, cuda or cuda:N."""
    threads: Annotated[int | None, Parameter(group=HOW)] = None
    """Threads of each recognizer."""
    batch_size: Annotated[int | None, Parameter(group=HOW)] = None
    """Utterances given to the recognizer at once."""
    options: Annotated[list[str] | None, Parameter("--option", group=HOW), Repeatable] = None
    """key=value for the recognizers, for instance beam=4."""
    latency: Annotated[bool | None, Parameter(group=HOW), Switch] = None
    """Feed streaming recognizers piece by piece and measure their delays."""
    timeout_s: Annotated[float | None, Parameter("--timeout", group=HOW)] = None
    """Seconds after which an utterance without an answer ends its trial; over 30 s of audio, so many per 30 s."""
    load_timeout_s: Annotated[float | None, Parameter("--load-timeout", group=HOW)] = None
    """The same for preparing, loading and warming up."""
    memory_limit_bytes: Annotated[int | None, Parameter("--memory-limit", group=HOW)] = None
    """Bytes of address space that a recognizer may take."""
    idle_s: Annotated[float | None, Parameter("--idle", group=HOW)] = None
    """Seconds of idle baseline before and after each trial."""
    mark: Annotated[bool | None, Parameter(group=HOW), Switch] = None
    """Busy and idle pulses before the first trial and after the last, for the recording of an external meter; start that
    first. Afterwards: wattscribe meters attach."""
    mark_unit_s: Annotated[float | None, Parameter("--mark-unit", group=HOW)] = None
    """Seconds of the shortest pulse, 1 unless the meter takes fewer than four samples in that time."""
    normaliser: Annotated[str | None, Parameter(group=HOW)] = None
    """whisper, basic or none: the text rule of the score."""
    strict: Annotated[bool | None, Parameter(group=HOW), Switch] = None
    """Stop at the first bad input instead of counting it."""

    def given(self) -> dict[str, Any]:
        """The keys that were said, with lists taken apart. Raises InputError for a list that cannot be read."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: _READ.get(key, _as_is)(value) for key, value in values.items() if value is not None}


def _as_is(value: Any) -> Any:
    return value


_READ: dict[str, Callable[[Any], Any]] = {
    "precision": split_list,
    "snr": partial(split_numbers, flag="--snr"),
    "options": split_options,
}


@app.default
def bench(
    experiment: Path | None = None,
    /,
    *,
    flags: Annotated[Flags, Parameter("*")] = Flags(),
    out: Annotated[Path, Parameter(["--out", "-o"], group=RUN)] = Path("runs/bench"),
    resume: Annotated[bool, Parameter(group=RUN), Switch] = False,
    retry_failed: Annotated[bool, Parameter(group=RUN), Switch] = False,
    overwrite: Annotated[bool, Parameter(group=RUN), Switch] = False,
    grid_gco2_per_kwh: Annotated[float | None, Parameter(group=RUN)] = None,
    simulated_board: Annotated[str | None, Parameter(group=RUN)] = None,
) -> int:
    """Run an experiment from a TOML file, from flags, or from both: a flag overrides the file's key.

    Exit status 0: every trial is done. 1: a trial failed, the table says why. 2: the input is at fault. 130: interrupted;
    what is finished is kept, go on with --resume.

    Parameters
    ----------
    experiment
        The experiment's TOML file. Its keys and an example are in docs/bench.md.
    out
        The run's directory.
    resume
        Go on with the run in --out; without an experiment, with the one that it began with.
    retry_failed
        With --resume: also measure trials again that failed; their earlier verdicts are kept and never count.
    overwrite
        Replace the run in --out, once the new one can begin.
    grid_gco2_per_kwh
        Grams of CO2 that the grid emits per kWh: table and page then show CO2 per hour of audio. Not part of the run.
    simulated_board
        Measure nothing: the recognizers run, the watts are played (docs/simulated-board.md). A wrong name lists what there is.
    """
    from wattscribe.results.energy_columns import check_grid

    check_grid(grid_gco2_per_kwh)
    plan = _experiment(experiment, flags.given(), resume=resume)
    with _writing(out), _watcher() as watcher:
        facts = wattscribe.bench(
            plan,
            out,
            resume=resume,
            overwrite=overwrite,
            retry_failed=retry_failed,
            simulated_board=simulated_board,
            watcher=watcher,
        )
    return _conclude(facts, out, grid_gco2_per_kwh)


def _experiment(path: Path | None, flags: dict[str, Any], *, resume: bool) -> Experiment | None:
    if path is not None:
        return load(path, flags)
    if resume and not flags:
        return None
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


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What stops the run from being written (permission, quota, a folder in the way) is one line."""
    try:
        yield
    except BrokenPipeError:  # whoever read what we say has gone
        raise
    except OSError as error:
        if error.filename is not None and not Path(os.fsdecode(error.filename)).absolute().is_relative_to(
            out.absolute()
        ):
            raise  # not of the run: an input
        raise WattscribeError(
            f"the run cannot be written: {error.strerror or error}",
            where=error.filename or out,
            fix="Fix that; what is finished is kept, go on with --resume",
        ) from error


def _conclude(facts: RunFacts, out: Path, grid_gco2_per_kwh: float | None = None) -> int:
    """The table on standard output, then the page beside the journal; the exit status."""
    page = out / REPORT_NAME
    try:
        print(wattscribe.report(facts, format="md", grid_gco2_per_kwh=grid_gco2_per_kwh), flush=True)
    finally:  # a reader who closed the pipe still finds the page
        _page(partial(wattscribe.report, facts, page, grid_gco2_per_kwh=grid_gco2_per_kwh), out)
    print(f"report: {page}")
    return 0 if all(trial.status == "done" for trial in facts.trials) else 1


def _page(write: Callable[[], Path], out: Path) -> None:
    try:
        write()
    except InputError as error:
        raise WattscribeError(
            f"the run is measured and kept, its page is not written: {error.what}",
            where=error.where,
            fix=f"Make it elsewhere: wattscribe report {out} --out FILE",
        ) from error
