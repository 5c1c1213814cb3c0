"""A crash of a library, signals to the command and to its child: one line, the right status, and nobody is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wattscribe.cli.ending import Ending, in_order

CHILD = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and what runs under nohup this
import wattscribe.cli as cli
def work(verb, arguments):
    print("at work", os.getpid(), flush=True)
    {work}
    return 7
cli.run_verb = work
sys.argv = ["wattscribe", "{verb}", "x"]
sys.exit(cli.main())
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="no child elsewhere")


@contextlib.contextmanager
def command(work: str, verb: str = "profile") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command, and the process that works for it."""
    code = CHILD.format(work=work, verb=verb)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdout is not None
            yield run, int(run.stdout.readline().split()[-1])
        finally:
            run.kill()


def lines(run: subprocess.Popen[str]) -> list[str]:
    return run.communicate(timeout=60)[1].splitlines()


@linux
@pytest.mark.parametrize(
    ("work", "status", "words"),
    [
        ("pass", 7, None),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 1, "a library crashed on this model (signal SIGSEGV)"),
        ("os.abort()", 1, "a library crashed on this model (signal SIGABRT)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "most likely for the memory"),
        (
            "raise MemoryError('Unable to allocate 8.00 TiB')",
            1,
            "out of memory (Unable to allocate 8.00 TiB)",
        ),
    ],
)
def test_a_crash_is_one_line(work: str, status: int, words: str | None) -> None:
    with command(work) as (run, child):
        said = lines(run)
        assert run.returncode == status
        assert child != run.pid
    assert len(said) == (words is not None)
    assert words is None or (words in said[0] and said[0].startswith("wattscribe profile: "))


def test_verbs_that_run_no_model_of_others_have_no_child() -> None:
    with command("pass", verb="report") as (run, child):
        assert child == run.pid


@linux
@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")]
)
def test_a_signal_to_the_command_reaches_what_works_for_it(number: signal.Signals, words: str) -> None:
    with command("time.sleep(60)") as (run, _):
        run.send_signal(number)
        said = lines(run)
        assert run.returncode == 128 + number
    assert len(said) == 1
    assert words in said[0]


@linux
def test_who_works_ends_with_the_command() -> None:
    with command("time.sleep(60)") as (run, child):
        run.kill()
        run.communicate(timeout=60)
        assert gone(lambda: Path(f"/proc/{child}/stat").read_text().split(")")[-1].split()[0] == "Z")


@linux
def test_who_hears_no_signal_is_killed_by_the_third() -> None:
    """As a library that computes without end: Python's handlers wait until it comes back."""
    deaf = "import wattscribe.cli.apart as apart; apart.CLEARING_S = 0.5\n"
    work = "signal.pthread_sigmask(signal.SIG_BLOCK, {2, 15}); print('deaf', flush=True); time.sleep(60)"
    code = deaf + CHILD.format(work=work, verb="transcribe")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert [run.stdout.readline()[:4] for _ in range(2)] == ["at w", "deaf"]
        for _ in range(3):
            assert run.poll() is None
            run.send_signal(signal.SIGINT)
            time.sleep(0.6)
        assert lines(run) == ["wattscribe transcribe: interrupted: it did not answer and was killed"]
        assert run.returncode == 130


def gone(dead: Callable[[], bool]) -> bool:
    for _ in range(600):
        try:
            if dead():
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("verb", ["profile", "bench"])
def test_a_second_interrupt_does_not_break_into_clearing_up(verb: str, tmp_path: Path) -> None:
    clear = f"open({str(tmp_path / 'cleared')!r}, 'w').close()"
    work = f"""
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("clearing", flush=True)
        time.sleep(1)
        {clear}"""
    with command(work, verb) as (run, child):
        assert run.stdout is not None
        run.stdout.readline()
        os.kill(child, signal.SIGINT)
        run.stdout.readline()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(child, number)
        said = lines(run)
        assert run.returncode == 130
    assert said == [f"wattscribe {verb}: interrupted"]
    assert (tmp_path / "cleared").exists()


def test_what_hangs_while_it_clears_up_may_be_interrupted_again() -> None:
    ending = Ending()
    with pytest.raises(KeyboardInterrupt):
        ending.on_signal(signal.SIGTERM)
    ending.on_signal(signal.SIGINT)
    assert ending.since_s is not None
    ending.since_s -= 60
    with pytest.raises(KeyboardInterrupt):
        ending.on_signal(signal.SIGINT)
    assert ending.status == 128 + signal.SIGTERM


def test_signals_that_others_handle_stay_theirs() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with in_order():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
