"""Journals to be damaged: a run that every verb can read, its form without checksums, and the verbs that read it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tests.energy.builders import component, workload
from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run, store_run
from wattscribe import api
from wattscribe.errors import WattscribeError
from wattscribe.journal import FILE_NAME, Heard, Journal, read_run
from wattscribe.journal_file import SCHEMA
from wattscribe.journal_rows import COLUMNS
from wattscribe.pages import to_csv, to_markdown
from wattscribe.pages import to_json as report_json
from wattscribe.pages.run_page import run_page
from wattscribe.records import Counts, Rejected, RunFacts
from wattscribe.results import rows
from wattscribe.runs.experiment import Experiment, differences
from wattscribe.runs.runner import recorded_experiment
from wattscribe.testing.recorder import Recorder, load_of, mirrored_marks, span_of


@dataclass(frozen=True, slots=True)
class Sample:
    """The run as it was written, the bytes of its journal, and a recording of it."""

    facts: RunFacts
    content: bytes
    recording: Path
    good: Path

    def put(self, run_dir: Path, content: bytes | None = None) -> Path:
        run_dir.mkdir(exist_ok=True)
        (run_dir / FILE_NAME).write_bytes(self.content if content is None else content)
        return run_dir


def sample(home: Path, *, sealed: bool = True) -> Sample:
    """Three counted transducers under two conditions with power, marks, a rejected input and a trial yet to be measured."""
    shape = Shape(utterances=4, speakers=3, repeats=1, rejected=(Rejected(corpus="bundled", id="x", reason="empty"),))
    models = [replace(model, runtime="onnx") for model in MODELS[:3]]
    facts = made_up_run(models=models, precisions=("fp32",), conditions=(CLEAN, NOISY[1]), shape=shape)
    facts = replace(
        facts,
        experiment=Experiment(models=["onnx:tiny"], data=["bundled"]).model_dump(),
        meters={"probes": [{"name": "made up", "available": True, "covers": "x", "reason": None, "fix": None}]},
        trials=tuple(
            replace(
                each,
                marks=0,
                starved_s=0.1,
                surroundings={"attempt": 1, "before": {"load_1min": 0.1}},
                workload=workload(
                    component("encoder", [1000 + 100 * n], macs=5e3 * (n % 3 + 1)), component("joiner", [100])
                ).to_json(),
                utterances=tuple(
                    replace(
                        one, counts=Counts(encoder_calls=30 + n, encoder_rows=60 + n, joiner_calls=90, joiner_rows=90)
                    )
                    for one in each.utterances
                ),
            )
            for n, each in enumerate(facts.trials)
        ),
    )
    facts = replace(facts, marks=(mirrored_marks(facts),))
    last = replace(facts.trials[-1], status="pending", utterances=(), traces=())
    store_run(replace(facts, trials=(*facts.trials[:-1], last)), home / "good")
    with Journal.resume(home / "good") as journal:
        journal.mark(facts.marks[0])
        journal.note("first_idle_w", {"VDD_IN": 2.0})
        journal.note("directory", "/somewhere")
        journal.record_speech(
            Heard(corpus="bundled", condition="clean", digest="1", utterances=6, audio_s=30.0, scale_min=1)
        )
    path = home / "good" / FILE_NAME
    if not sealed:
        _without_checksums(path)
    recording = Recorder(rate_hz=50.0).write(home / "power.csv", load_of(facts), span_of(facts))
    return Sample(read_run(home / "good"), path.read_bytes(), recording, home / "good")


def _without_checksums(path: Path) -> None:
    """Turn a journal into one of schema 1."""
    old = path.with_suffix(".old")
    with closing(sqlite3.connect(old)) as db:
        db.executescript(re.sub(r",\s*checksum INTEGER", "", SCHEMA))
        db.execute("ATTACH ? AS new", (str(path),))
        for table, columns in COLUMNS.items():
            db.execute(f"INSERT INTO {table} SELECT {', '.join(columns)} FROM new.{table}")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    old.replace(path)


def _report(run: Path, _: Sample) -> None:
    facts = read_run(run)
    for make in (rows, to_markdown, to_csv, report_json, run_page):
        make(facts)


def _compare(run: Path, sample: Sample) -> None:
    api.compare(sample.good, run)
    api.compare(run, sample.good)


def _resume(run: Path, _: Sample) -> None:
    experiment = recorded_experiment(run)
    with Journal.resume(run) as journal:
        differences(journal.experiment(), experiment)
        for trial in journal.unfinished():
            journal.earlier_failures(trial.id)
            journal.begin(trial.id)
    read_run(run)


def _attach(run: Path, sample: Sample) -> None:
    api.attach(run, sample.recording)
    read_run(run)


def _calibrate(run: Path, _: Sample) -> None:
    api.calibrate([run])


USES: dict[str, Callable[[Path, Sample], None]] = {
    "report": _report,
    "compare": _compare,
    "calibrate": _calibrate,
    "attach": _attach,
    "resume": _resume,
}


def said(use: Callable[[Path, Sample], None], run: Path, sample: Sample) -> str | None:
    """What a use of a run was refused with; None: it came to a result. Anything but our own errors passes."""
    try:
        use(run, sample)
    except WattscribeError as error:
        return str(error)
    return None
