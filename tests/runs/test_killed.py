"""A run killed at any moment goes on where it was, loses nothing, counts nothing twice and leaves no process behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runs.conftest import write_corpus
from wattscribe.errors import WattscribeError
from wattscribe.journal import FILE_NAME, read_run
from wattscribe.records import RunFacts
from wattscribe.results import rows
from wattscribe.runs.beginning import SPOOL_DIRECTORY

MEASURED = (
    "rtf", "latency", "load", "warmup", "prepare", "peak_memory", "energy", "j_per", "mean_power", "rails", "starved", "wh_per",
    "cpu_",
)  # fmt: skip
"""Columns that time decides; every other must be the same, killed or not."""
PATIENCE_S = 60.0
RUN = """
import signal, sys
from pathlib import Path
from wattscribe.runs.experiment import load
from wattscribe.runs.runner import run
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a worker of a run under nohup ignores it, as it should
path, out, *flags = sys.argv[1:]
seams = {flag.removeprefix("--"): True for flag in flags}
run(load(Path(path)), Path(out), meters=[], **seams)
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model in quiet and in two noises, about 0.5 s each."""
    home = tmp_path_factory.mktemp("experiment")
    corpus = write_corpus(home / "corpus")
    path = home / "e.toml"
    path.write_text(
        f"""
        models = ["fake:a?corpus={corpus}&wer=0.4&latency=0.1"]
        data = ["corpus"]
        noise = ["white"]
        snr = [10, 0]
        """,
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def undisturbed(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed") / "r"
    assert start(experiment, out).wait(PATIENCE_S) == 0
    return table(out)


def start(experiment: Path, out: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", RUN, str(experiment), str(out), *flags]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def table(out: Path) -> dict[str, Any]:
    """What must not depend on a kill: the rows without what was timed, the texts, the trials and the inputs."""
    facts = read_run(out)
    return {
        "rows": [{k: v for k, v in row.items() if not k.startswith(MEASURED)} for row in rows(facts)],
        "trials": [trial.trial for trial in facts.trials],
        "status": [trial.status for trial in facts.trials],
        "texts": [[(u.id, u.reference, u.hypothesis, u.audio_s) for u in trial.utterances] for trial in facts.trials],
        "rejected": facts.rejected,
    }


def goes_on(experiment: Path, out: Path) -> None:
    """Resume, or begin again where the kill came before there was a run."""
    begun = True
    try:
        read_run(out)
    except WattscribeError:
        begun = False
    assert start(experiment, out, "--resume" if begun else "--overwrite").wait(PATIENCE_S) == 0


def kill_and_check_orphans(runner: subprocess.Popen[bytes]) -> None:
    workers = psutil.Process(runner.pid).children(recursive=True) if runner.poll() is None else []
    runner.kill()
    runner.wait(PATIENCE_S)
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive, "a worker outlived its runner"


def workers_of(runner: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return [each for each in psutil.Process(runner.pid).children() if "wattscribe.runs.worker" in each.cmdline()]
    return []


def wait_for(condition: Callable[[], bool], runner: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert runner.poll() is None, "the run ended before the moment to kill it"
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def count(out: Path, query: str) -> int:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{out / FILE_NAME}?mode=ro", uri=True)) as db:
        return int(db.execute(query).fetchone()[0])
    return 0


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "the journal appears": lambda out: (out / FILE_NAME).exists(),
    "speech is prepared": lambda out: (out / SPOOL_DIRECTORY).exists(),
    "the first attempt begins": lambda out: count(out, "SELECT count(*) FROM attempt") > 0,
    "a trial is half written": lambda out: count(out, "SELECT count(*) FROM utterance") % 6 > 0,
    "the second trial is done": lambda out: count(out, "SELECT count(*) FROM attempt WHERE status = 'done'") >= 2,
    "the last trial begins": lambda out: count(out, "SELECT count(*) FROM attempt") >= 3,
}


@pytest.mark.parametrize("moment", [name for name in MOMENTS if name != "a trial is half written"])
def test_runner_killed(experiment: Path, undisturbed: dict[str, Any], tmp_path: Path, moment: str) -> None:
    out = tmp_path / "r"
    runner = start(experiment, out)
    wait_for(lambda: MOMENTS[moment](out), runner)
    kill_and_check_orphans(runner)
    goes_on(experiment, out)
    assert table(out) == undisturbed


def test_runner_killed_with_half_a_trial_in_the_journal(tmp_path: Path) -> None:
    """The half stays under its own attempt, the trial is measured again from its first utterance."""
    corpus = write_corpus(tmp_path / "c")
    path = tmp_path / "e.toml"
    path.write_text(f'models = ["fake:a?corpus={corpus}&latency=2"]\ndata = ["c"]\n', encoding="utf-8")
    out = tmp_path / "r"
    runner = start(path, out)
    wait_for(lambda: MOMENTS["a trial is half written"](out), runner)
    kill_and_check_orphans(runner)
    half = count(out, "SELECT count(*) FROM utterance WHERE attempt = 1")
    goes_on(path, out)
    facts = read_run(out)
    assert [each.id for each in facts.trials[0].utterances] == [f"u{n}" for n in range(6)]
    assert count(out, "SELECT count(*) FROM utterance WHERE attempt = 1") == half > 0
    assert count(out, "SELECT count(*) FROM attempt WHERE status = 'interrupted'") == 1
    starts = [each.start_s for each in facts.trials[0].utterances]
    window = facts.trials[0].window
    assert window is not None
    assert window.start_s <= min(starts)


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(delays_s=st.lists(st.floats(min_value=0.3, max_value=1.6), min_size=1, max_size=2))
def test_runner_killed_at_any_moment(
    experiment: Path, undisturbed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, delays_s: list[float]
) -> None:
    out = tmp_path_factory.mktemp("any") / "r"
    runner = start(experiment, out)
    for delay_s in delays_s:
        time.sleep(delay_s)
        kill_and_check_orphans(runner)
        runner = start(experiment, out, "--resume" if run_is_there(out) else "--overwrite")
    runner.wait(PATIENCE_S)
    goes_on(experiment, out)
    assert table(out) == undisturbed


def run_is_there(out: Path) -> bool:
    with suppress(WattscribeError):
        return isinstance(read_run(out), RunFacts)
    return False


@pytest.mark.parametrize(
    ("trial", "number"),
    [(1, signal.SIGKILL), (3, signal.SIGKILL), (1, signal.SIGTERM), (1, signal.SIGHUP), (1, signal.SIGINT)],
)
def test_worker_killed(
    experiment: Path, undisturbed: dict[str, Any], tmp_path: Path, trial: int, number: signal.Signals
) -> None:
    """Somebody kills a worker once: the runner tries that trial again, whole, and the run is as if nothing had been."""
    out = tmp_path / "r"
    runner = start(experiment, out)
    wait_for(lambda: count(out, "SELECT count(*) FROM attempt") >= trial, runner)
    wait_for(lambda: bool(workers_of(runner)), runner)
    for worker in workers_of(runner):
        worker.send_signal(number)
    assert runner.wait(PATIENCE_S) == 0
    assert table(out) == undisturbed
    assert count(out, "SELECT count(*) FROM attempt WHERE status = 'interrupted'") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_from_outside(
    experiment: Path, undisturbed: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "r"
    code = (
        "import signal, sys; from wattscribe.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and what runs under nohup this\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "bench", str(experiment), "--out", str(out)]
    runner = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for(lambda: count(out, "SELECT count(*) FROM attempt") >= 2, runner)
    workers = psutil.Process(runner.pid).children(recursive=True)
    os.kill(runner.pid, number)
    said = runner.communicate(timeout=PATIENCE_S)[1].decode()
    assert runner.returncode == 128 + number
    assert said.endswith("What is finished is kept; continue with --resume\n")
    assert len(said.splitlines()) == 1
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert not (out / SPOOL_DIRECTORY).exists()
    goes_on(experiment, out)
    assert table(out) == undisturbed


def test_a_second_runner_is_kept_out(experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    runner = start(experiment, out)
    wait_for(lambda: count(out, "SELECT count(*) FROM attempt") >= 1, runner)
    for flag in ("--resume", "--overwrite"):
        command = [sys.executable, "-m", "wattscribe", "bench", str(experiment), "--out", str(out), flag]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert f"process {runner.pid} is writing this run" in second.stderr
    assert runner.wait(PATIENCE_S) == 0
