"""`bench --live`: what it shows, on terminals of every size, and that it leaves the run and the terminal alone."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run, store_run
from wattscribe.cli import main
from wattscribe.cli.live import HEADER, MAX_SHARE, Growing, LiveLines, LiveView, live_watcher, pause_after, sparks
from wattscribe.journal import Journal, read_run
from wattscribe.journal_tail import Rail, Tail
from wattscribe.records import Paced
from wattscribe.results.table import rows

FACTS = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN, *NOISY[:2]), shape=Shape(utterances=5))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return store_run(FACTS, tmp_path / "run")


def test_a_row_is_the_report_s_own(stored: Path) -> None:
    growing = Growing(stored)
    for each in FACTS.trials:
        growing.ended(each.trial)
    wanted = {(row["model"], row["condition"]): row for row in rows(FACTS)}
    assert len(growing.rows) == len(wanted) == 6
    for row in growing.rows.values():
        final = wanted[row.model, row.condition]
        assert (row.wer, row.rtf, row.j_per_audio_s) == (final["wer"], final["rtf"], final["j_per_audio_s"])


def test_repeats_are_one_row(tmp_path: Path) -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(repeats=3))
    growing = Growing(store_run(facts, tmp_path / "run"))
    for each in facts.trials:
        row = growing.ended(each.trial)
    assert row is not None
    assert (len(growing.rows), row.repeats) == (1, 3)


def test_trials_can_be_read_alone(stored: Path) -> None:
    wanted = FACTS.trials[2].trial.id
    whole, alone = read_run(stored), read_run(stored, only=[wanted])
    for one, other in zip(whole.trials, alone.trials, strict=True):
        assert one.trial == other.trial
        if one.trial.id == wanted:
            assert one == other
        else:
            assert (other.utterances, other.traces) == ((), ())


def test_the_tail_counts_what_comes_in(tmp_path: Path) -> None:
    first, second = (each.trial for each in FACTS.trials[:2])
    answers, (trace,) = FACTS.trials[0].utterances, FACTS.trials[0].traces
    waiting = tuple(replace(each, status="pending", utterances=(), traces=()) for each in FACTS.trials)
    run = store_run(replace(FACTS, trials=waiting), tmp_path / "run")
    tail = Tail(run, samples=8)
    tail.look()
    assert tail.trial is None
    with Journal.resume(run) as journal:
        attempt = journal.begin(first.id)
        half = replace(trace, t_s=trace.t_s[:6], power_w=trace.power_w[:6])
        rest = replace(trace, t_s=trace.t_s[6:], power_w=trace.power_w[6:])
        for at, pieces in ((0, answers[:2]), (2, answers[2:])):
            journal.append(first.id, attempt, first_ordinal=at, utterances=pieces, traces=[half if at == 0 else rest])
            tail.look()
            tail.look()
            known = answers[: at + len(pieces)]
            assert tail.utterances == len(known)
            assert tail.audio_s == pytest.approx(sum(each.audio_s for each in known))
            assert tail.took_s == pytest.approx(sum(each.end_s - each.start_s for each in known))
        assert tail.rails["VDD_IN"].power_w == list(trace.power_w[-8:])
        assert tail.rails["VDD_IN"].total
        journal.finish(attempt, replace(FACTS.trials[0], utterances=(), traces=()))
        tail.look()
        assert (tail.trial, tail.utterances, tail.rails) == (None, 0, {})
        attempt = journal.begin(second.id)
        batch = [replace(each, start_s=1.0, end_s=3.0) for each in answers[:3]]
        paced = replace(
            answers[3], paced=Paced(spoken_from_s=3.0, spoken_to_s=8.0, compute_s=0.5), start_s=3.0, end_s=8.0
        )
        journal.append(second.id, attempt, utterances=[*batch, paced])
        tail.look()
        assert tail.took_s == pytest.approx(2.5), "a batch shares its time, and waiting for speech is no work"


@given(st.lists(st.floats(0, 1e4), max_size=700), st.integers(0, 80))
def test_sparks_fit_and_end_with_the_newest(watts: list[float], width: int) -> None:
    shown = sparks(Rail(total=True, evidence="measured", power_w=watts), width)
    assert len(shown) <= width
    if watts and width >= len(watts) and max(watts) > 0:
        assert len(shown) == len(watts)
        assert shown[watts.index(max(watts))] == "█"


def test_drawing_keeps_to_its_share() -> None:
    for spent_s in (0.0, 0.001, 0.02, 3.0):
        pause_s = pause_after(spent_s)
        assert pause_s >= 1.0
        assert spent_s <= MAX_SHARE * pause_s * (1 + 1e-9)


@pytest.mark.parametrize("height", [1, 5, 8, 12, 40])
@pytest.mark.parametrize("width", [40, 55, 80, 130, 1000])
def test_a_picture_fits_every_terminal(width: int, height: int, stored: Path) -> None:
    view = LiveView(stored)
    view.planned(600.0, 6)
    for each in FACTS.trials:
        view.started(each.trial)
        view.transcribed(50.0)
        view.ended(each.trial, "done", None, 0.0)
    view._tail.trial, view._tail.utterances, view._tail.audio_s, view._tail.took_s = ("t", 1), 3, 30.0, 3.0
    view._tail.rails = {"ina3221.VDD_IN": Rail(total=True, evidence="measured", power_w=[5.0, 6.25] * 300)}
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=False)
    console.print(view.picture(width, height))
    lines = out.getvalue().rstrip("\n").split("\n")
    assert max(map(len, lines)) <= width
    assert len(lines) <= max(4, height)
    assert lines[0].startswith("fake:small fp32") or lines[0].startswith("fake:base fp32")
    if height >= 12:
        assert any(line.startswith("recognizer") for line in lines)
        assert ("energy of" in out.getvalue()) == (width >= 110)
    if width >= 80:
        assert "power 6.25 W  ina3221.VDD_IN, measured" in out.getvalue()
        assert "RTF 0.100  3 utterances, 30 s of speech" in out.getvalue()
    if height == 8:
        assert "5 rows above" in out.getvalue()


def test_without_a_terminal_each_trial_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(live_watcher(tmp_path), LiveLines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(live_watcher(tmp_path), LiveLines)
    monkeypatch.undo()
    arguments = ["bench", "--model", "reference", "--precision", "int8", "--data", "bundled", "--limit", "2", "--live"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert re.search(
        r"onnx:reference int8 · clean · repeat 1: done\n  WER % [\d.]+, RTF [\d.]+, memory .*, energy of ", err
    )
    assert all(name in err for name in HEADER[2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    status: int
    text: str


def on_a_terminal(
    arguments: list[str], steps: list[tuple[str, Callable[[int, int], object]]], **environment: str
) -> Shown:
    """Run the command on a terminal of 100 × 30; each step waits for its text, then is given the process and the terminal."""
    process, terminal = pty.fork()
    if process == 0:  # pragma: no cover
        wanted = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm-256color", **environment}
        os.execve(sys.executable, [sys.executable, "-m", "wattscribe", *arguments], wanted)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    text, since, deadline_s = "", 0, time.monotonic() + 200
    while time.monotonic() < deadline_s:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                text += os.read(terminal, 65536).decode("utf-8", "replace")
            except OSError:
                break
        if steps and steps[0][0] in text[since:]:
            since = len(text)
            steps.pop(0)[1](process, terminal)
    else:
        os.kill(process, signal.SIGKILL)
    os.close(terminal)
    return Shown(status=os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), text=text)


def resized(columns: int, lines: int) -> Callable[[int, int], object]:
    return lambda _, terminal: fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def interrupted(_: int, terminal: int) -> None:
    """As somebody presses it: the terminal sends it to the whole group."""
    os.write(terminal, b"\x03")


@pytest.mark.timeout(240)
def test_on_a_terminal_through_a_resize_to_ctrl_c(tmp_path: Path) -> None:
    what = ["--model", "reference", "--precision", "int8", "--data", "bundled", "--limit", "9", "--pace", "realtime"]
    shown = on_a_terminal(
        ["bench", *what, "--simulated-board", "orin-nano", "--live", "--out", str(tmp_path / "run")],
        [("W  ina3221.VDD_IN, simulated", resized(46, 12)), ("utterances", interrupted)],
        NO_COLOR="1",
    )
    assert shown.status == 130
    assert "Traceback" not in shown.text
    assert re.search(r"live view: \d+ pictures took [\d.]+ s of processor time, [\d.]+ % of a core", shown.text)
    assert "interrupted. What is finished is kept" in shown.text
    assert shown.text.rindex("\x1b[?25h") > shown.text.rindex("\x1b[?25l"), "the cursor is shown again"
    assert not re.search(r"\x1b\[[\d;]*3\d[;m]", shown.text), "NO_COLOR holds"
    assert "\x1b[2J" in shown.text, "what was drawn for another width is cleared"
