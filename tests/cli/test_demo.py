"""The whole play without a meter, as somebody has it who has installed the package and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import installed
from tests.documents import described
from wattscribe.journal import read_run
from wattscribe.testing.demonstration import SIZES, steps

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)  # 40 s of processor time, on a machine that may be busy
SHORT = (
    "import sys; from wattscribe.testing import demonstration; demonstration.UTTERANCES = 6; "
    "demonstration.MARKS = ('--mark', '--mark-unit', '0.2', '--idle', '0.5'); "
    "from wattscribe.cli import main; sys.exit(main(sys.argv[1:]))"
)
"""The demo on six utterances in place of twenty, with shorter marks and rests."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """In an empty folder, with an empty home, in an environment of `pip install wattscribe` alone."""
    here, home = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("home")
    wheel, _ = installed.build(tmp_path_factory.mktemp("built"))
    programs = installed.install(tmp_path_factory.mktemp("alone") / "venv", wheel)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    command = [str(programs / "python"), "-c", SHORT, "demo"]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=850, check=False)
    return done, here


def test_the_demo_plays_every_step_to_its_end(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, here = demo
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert done.stderr == ""
    out = Path("runs/simulated")
    shown = re.findall(r"^\$ (wattscribe .*)$", done.stdout, re.MULTILINE)
    expected = [
        str(each).replace("--limit 20", "--limit 6").replace("--mark-unit 0.4 --idle 1 ", "--mark-unit 0.2 --idle 0.5 ")
        for each in steps("orin-nano", out)
    ]
    assert shown == expected, "each command as it can be given again"
    for name in (
        "board",
        "models",
        "run/report.html",
        "run/simulated-recorder.csv",
        "sizes/report.html",
        "simulated.toml",
    ):
        assert (here / out / name).exists(), name
    last = re.search(r"^(\d+) of (\d+) intervals hold the truth", done.stdout, re.MULTILINE)
    assert last is not None
    held, all_ = int(last[1]), int(last[2])
    full = (2 + len(SIZES)) * 4 + 3  # three rails and a recorder per trial, three constants
    assert 0.9 * full <= all_ <= full, (
        "on a busy machine a sensor may have too few updates in so short a window, and says so"
    )
    assert held >= 0.7 * all_, done.stdout[-4000:]
    off = re.search(r"the furthest figure is ([\d.]+) % off", done.stdout)
    assert held == all_ or (off is not None and float(off[1]) < 15), done.stdout[-4000:]


def test_nothing_of_the_demo_is_called_measured(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, here = demo
    assert "simulated: whole board at the DC input" in done.stdout
    for bad in ("| measured", "measured: ", "J measured", " is measured"):
        assert bad not in done.stdout
    for name in ("run", "sizes"):
        facts = read_run(here / "runs/simulated" / name)
        assert {trace.evidence for trial in facts.trials for trace in trial.traces} == {"simulated"}
    assert 'evidence = "simulated"' in (here / "runs/simulated/simulated.toml").read_text(encoding="utf-8")


def test_one_of_the_commands_given_again_by_hand(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, here = demo
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "wattscribe", "report", "runs/simulated/run", "--format", "json"]
    again = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=True)
    rows = json.loads(again.stdout)["rows"]
    assert {row["energy_evidence"] for row in rows} == {"simulated"}


def test_a_demo_does_not_write_over_a_run(
    demo: tuple[subprocess.CompletedProcess[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from wattscribe.cli import main

    monkeypatch.chdir(demo[1])
    before = (demo[1] / "runs/simulated/run/journal.sqlite").read_bytes()
    assert main(["demo", "--simulated-board", "orin-nano"]) == 2
    assert "there is a run here" in capsys.readouterr().err
    assert (demo[1] / "runs/simulated/run/journal.sqlite").read_bytes() == before


def test_its_json_says_which_figures_held_the_truth(
    demo: tuple[subprocess.CompletedProcess[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the runs that were played: they are not played once more."""
    from wattscribe.cli import demo as verb
    from wattscribe.cli import main

    monkeypatch.chdir(demo[1])
    monkeypatch.setattr(verb, "play", lambda *_, **__: 0)
    assert main(["demo", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    described("demo", document)
    assert document["board"] == "orin-nano"
    held = [each["holds"] for each in document["checks"] if each["holds"] is not None]
    assert f"{sum(held)} of {len(held)} intervals hold the truth" in demo[0].stdout
