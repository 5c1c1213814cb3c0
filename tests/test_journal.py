"""The journal keeps what it was told, counts nothing twice, lets one writer in and any reader."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattscribe.errors import InputError, WattscribeError
from wattscribe.journal import FILE_NAME, LOCK_NAME, Heard, Journal, read_run
from wattscribe.journal_file import make_directory
from wattscribe.records import (
    Condition,
    Counts,
    PowerTrace,
    PrecisionAudit,
    RecognizerSpec,
    Rejected,
    StreamingLatency,
    Trial,
    TrialFacts,
    UtteranceResult,
    Window,
)

TRIALS = tuple(
    Trial(id=f"t{n}", recognizer=RecognizerSpec(runtime="fake", model="a"), corpus="c", condition=Condition())
    for n in range(3)
)
TRACE = PowerTrace(
    channel="board",
    covers="module total",
    total=True,
    update_interval_s=0.1,
    evidence="measured",
    t_s=(1.0, 1.1),
    power_w=(5.0, 5.5),
    failed_t_s=(1.05,),
)


def create(run_dir: Path, trials: tuple[Trial, ...] = TRIALS, *, replace_old: bool = False) -> Journal:
    return Journal.create(
        run_dir,
        name="r",
        created="2026-01-01T00:00:00+00:00",
        seed=7,
        machine={"cpu": "x"},
        experiment={"repeats": 1},
        meters={"probes": []},
        trials=trials,
        replace_old=replace_old,
    )


def result(name: str, hypothesis: str | None = "hello") -> UtteranceResult:
    return UtteranceResult(
        id=name, speaker="s", reference="hello", hypothesis=hypothesis, audio_s=1.0, start_s=1.0, end_s=1.5
    )


def finish(journal: Journal, trial: Trial, names: tuple[str, ...] = ("a", "b"), text: str = "hello") -> None:
    attempt = journal.begin(trial.id)
    journal.append(trial.id, attempt, utterances=[result(name, text) for name in names])
    journal.finish(attempt, TrialFacts(trial=trial, status="done"))


def test_everything_comes_back(tmp_path: Path) -> None:
    rich = replace(
        result("a", 'quote " newline \n nul \x00 lone \ud800 ☃'),
        counts=Counts(encoder_calls=3, blanks=9),
        latency=StreamingLatency(
            first_partial_s=0.5,
            emission_delay_p50_s=None,
            emission_delay_p99_s=0.1,
            segment_compute_p50_s=0.01,
            segment_compute_p99_s=0.02,
            finalisation_s=0.3,
            partials=4,
            partials_revised=1,
        ),
        cpu_s=0.25,
    )
    audit = PrecisionAudit(
        requested="int8", ok=False, reason="float", weight_bytes={"float32": 9}, operators={}, device="cpu"
    )
    facts = TrialFacts(
        trial=TRIALS[1],
        status="done",
        load_s=0.1,
        cpu_s=2.0,
        peak_memory_bytes=123,
        window=Window(start_s=1.0, end_s=9.0),
        idle_before=Window(start_s=0.0, end_s=1.0),
        audit=audit,
        workload={"components": [1, 2]},
        surroundings={"attempt": 1},
    )
    later = replace(TRACE, t_s=(1.2,), power_w=(6.0,), failed_t_s=())
    with create(tmp_path / "r") as journal:
        attempt = journal.begin("t1")
        journal.append("t1", attempt, utterances=[rich], traces=[TRACE])
        journal.append("t1", attempt, first_ordinal=1, utterances=[result("b", None)], traces=[later])
        journal.finish(attempt, facts)
        journal.reject("c", "clean", [Rejected(corpus="c", id="x", reason="empty", where="/f")])
    run = read_run(tmp_path / "r")
    whole = replace(TRACE, t_s=(1.0, 1.1, 1.2), power_w=(5.0, 5.5, 6.0))
    assert run.trials[1] == replace(facts, utterances=(rich, result("b", None)), traces=(whole,))
    assert [trial.status for trial in run.trials] == ["pending", "done", "pending"]
    assert run.rejected == (Rejected(corpus="c", id="x", reason="empty", where="/f", condition="clean"),)
    assert (run.name, run.seed, run.machine, run.experiment) == ("r", 7, {"cpu": "x"}, {"repeats": 1})


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
@settings(max_examples=20, deadline=None)
def test_power_samples_are_kept_to_the_bit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    run_dir = tmp_path_factory.mktemp("run")
    trace = replace(TRACE, t_s=tuple(values), power_w=tuple(reversed(values)))
    with create(run_dir) as journal:
        attempt = journal.begin("t0")
        journal.append("t0", attempt, traces=[trace])
        journal.finish(attempt, TrialFacts(trial=TRIALS[0], status="done"))
    assert read_run(run_dir).trials[0].traces == (trace,)


def test_a_trial_gets_one_verdict(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        finish(journal, TRIALS[0])
        with pytest.raises(ValueError, match="not running"):
            journal.append("t0", 1, utterances=[result("c")])
        again = journal.begin("t0")
        with pytest.raises(sqlite3.IntegrityError):
            journal.finish(again, TrialFacts(trial=TRIALS[0], status="done"))
        assert [trial.id for trial in journal.unfinished()] == ["t1", "t2"]


def test_an_utterance_counts_once(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        attempt = journal.begin("t0")
        journal.append("t0", attempt, utterances=[result("a")])
        with pytest.raises(sqlite3.IntegrityError):
            journal.append("t0", attempt, first_ordinal=1, utterances=[result("b"), result("a")])
        journal.append("t0", attempt, first_ordinal=1, utterances=[result("b")])
        journal.finish(attempt, TrialFacts(trial=TRIALS[0], status="done"))
    assert [each.id for each in read_run(tmp_path).trials[0].utterances] == ["a", "b"]


def test_an_interrupted_attempt_is_kept_and_not_counted(tmp_path: Path) -> None:
    journal = create(tmp_path)
    attempt = journal.begin("t0")
    journal.append("t0", attempt, utterances=[result("a", "half")])
    journal.close()
    with Journal.resume(tmp_path) as resumed:
        assert [trial.id for trial in resumed.unfinished()] == ["t0", "t1", "t2"]
        finish(resumed, TRIALS[0], text="whole")
    assert [each.hypothesis for each in read_run(tmp_path).trials[0].utterances] == ["whole", "whole"]
    rows = sqlite3.connect(tmp_path / FILE_NAME).execute("SELECT attempt, status FROM attempt ORDER BY 1").fetchall()
    assert rows == [(1, "interrupted"), (2, "done")]


def test_a_running_trial_is_seen_as_running_without_its_half(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.append("t0", journal.begin("t0"), utterances=[result("a")])
        run = read_run(tmp_path)
        assert [(trial.status, len(trial.utterances)) for trial in run.trials] == [
            ("running", 0),
            ("pending", 0),
            ("pending", 0),
        ]


def test_reading_while_writing(tmp_path: Path) -> None:
    """A reader never waits for the writer, never sees half of a trial, and does not keep the writer out."""
    with create(tmp_path) as journal:
        seen = []
        for trial in TRIALS:
            attempt = journal.begin(trial.id)
            for ordinal in range(20):
                journal.append(trial.id, attempt, first_ordinal=ordinal, utterances=[result(f"u{ordinal}")])
                seen.append([len(each.utterances) for each in read_run(tmp_path).trials])
            journal.finish(attempt, TrialFacts(trial=trial, status="done"))
            seen.append([len(each.utterances) for each in read_run(tmp_path).trials])
    assert {count for row in seen for count in row} == {0, 20}
    assert seen[-1] == [20, 20, 20]


def test_the_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    with create(tmp_path), pytest.raises(InputError, match=f"process {os.getpid()} is writing this run"):
        Journal.resume(tmp_path)
    Journal.resume(tmp_path).close()


def test_a_dead_writers_lock_is_taken_over(tmp_path: Path) -> None:
    create(tmp_path).close()
    code = (
        f"from wattscribe.journal import Journal; from pathlib import Path; import os, signal\n"
        f"j = Journal.resume(Path({str(tmp_path)!r})); j.begin('t0'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert (tmp_path / LOCK_NAME).read_text(encoding="ascii").strip().isdigit(), "the dead one's name is still there"
    with Journal.resume(tmp_path) as journal:
        assert (tmp_path / LOCK_NAME).read_text(encoding="ascii").strip() == str(os.getpid())
        assert [trial.id for trial in journal.unfinished()] == ["t0", "t1", "t2"]


def test_a_run_that_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        finish(journal, TRIALS[0])
    with pytest.raises(InputError, match=r"`resume`.*`overwrite`"):
        create(tmp_path)
    assert read_run(tmp_path).trials[0].status == "done"
    create(tmp_path, replace_old=True).close()
    assert [trial.status for trial in read_run(tmp_path).trials] == ["pending"] * 3


def test_a_plan_that_cannot_be_written_leaves_the_old_run(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        finish(journal, TRIALS[0])
    with pytest.raises(ValueError, match="JSON"):
        create(tmp_path, replace_old=True, trials=(replace(TRIALS[0], utterance_timeout_s=float("nan")),))
    assert read_run(tmp_path).trials[0].status == "done"
    create(tmp_path, replace_old=True).close()


def test_a_live_run_is_not_replaced(tmp_path: Path) -> None:
    with create(tmp_path), pytest.raises(InputError, match="is writing this run"):
        create(tmp_path, replace_old=True)
    assert read_run(tmp_path).name == "r"


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    for out in (tmp_path / "taken", tmp_path / "taken" / "r"):
        with pytest.raises(InputError, match="this is a file"):
            create(out)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="/proc takes no new directory, and is Linux's")
def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/proc/run: this directory cannot be made: .* Choose another `out`"):
        make_directory(Path("/proc/run"))


def test_changed_speech_is_refused(tmp_path: Path) -> None:
    heard = Heard(corpus="c", condition="clean", digest="1", utterances=2, audio_s=3.0)
    with create(tmp_path) as journal:
        journal.record_speech(heard)
        journal.record_speech(heard)
        with pytest.raises(InputError, match="changed since this run began"):
            journal.record_speech(replace(heard, digest="2"))


def test_rejected_inputs_keep_their_condition_and_are_recorded_once(tmp_path: Path) -> None:
    bad = [Rejected(corpus="c", id="x", reason="empty"), Rejected(corpus="c", id="x", reason="duplicate id")]
    with create(tmp_path) as journal:
        for condition in ("clean", "white@10dB", "clean"):
            journal.reject("c", condition, bad)
    there = [replace(each, condition=name) for name in ("clean", "white@10dB") for each in bad]
    assert read_run(tmp_path).rejected == tuple(there)


def test_no_run(tmp_path: Path) -> None:
    for read in (read_run, Journal.resume):
        with pytest.raises(InputError, match="no run here"):
            read(tmp_path)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    create(tmp_path).close()
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InputError, match="schema 99"):
        read_run(tmp_path)


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database, but long enough to be read as one" * 30)
    with pytest.raises(WattscribeError, match="the journal is damaged: file is not a database"):
        read_run(tmp_path)


def test_a_full_disk_is_said_and_the_journal_survives(tmp_path: Path) -> None:
    journal = create(tmp_path)
    finish(journal, TRIALS[0])
    journal._db.execute("PRAGMA max_page_count = 1")  # the same error as a disk without room
    attempt = journal.begin("t1")
    with pytest.raises(WattscribeError, match=r"full.*`resume`"):
        journal.append("t1", attempt, traces=[replace(TRACE, t_s=(0.0,) * 100_000, power_w=(0.0,) * 100_000)])
    journal.close()
    run = read_run(tmp_path)
    assert [len(trial.utterances) for trial in run.trials] == [2, 0, 0]


def test_reading_where_nothing_may_be_written() -> None:
    """A finished run is read where SQLite may lay no file beside it; by a child without root's rights if need be."""
    code = (
        "import os, sys; from pathlib import Path; from wattscribe.journal import read_run\n"
        "os.geteuid() or os.setuid(65534)\n"
        "print(len(read_run(Path(sys.argv[1])).trials[0].utterances), os.access(sys.argv[1], os.W_OK))"
    )
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name)
        with create(run_dir) as journal:
            finish(journal, TRIALS[0])
        for path in run_dir.iterdir():
            path.chmod(0o444)
        run_dir.chmod(0o555)
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=False)
        run_dir.chmod(0o755)
    assert done.stdout.split() == ["2", "False"], done.stderr
