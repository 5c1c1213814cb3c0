"""Runs that end early, are interrupted or killed: the best so far, a recipe beside OUT, and the same result when they go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.compression import builders
from wattscribe.compression import acceptance
from wattscribe.compression import run as run_of
from wattscribe.compression.levels import Uniform
from wattscribe.compression.memo import Memo
from wattscribe.compression.options import Options
from wattscribe.compression.recipe import Recipe, read_recipe
from wattscribe.compression.run import compress_model
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError
from wattscribe.pages.compress_page import html

REPO = Path(__file__).resolve().parents[2]
KEEPS = (0.9, 0.7)
WORKER = """
import sys
from pathlib import Path
from wattscribe.compression import run
from wattscribe.compression.memo import Memo
from wattscribe.compression.levels import Uniform
from wattscribe.compression.workbench import Workbench
model, dev, out, rows = sys.argv[1:]
Workbench._timed = lambda *_: 1.0  # a load on the machine must not decide what this test sees
run.strategy_of = lambda *_: Uniform(keeps=(0.9, 0.7))
append = Memo._append
def and_die(self, kind, key, value):
    append(self, kind, key, value)
    if len(self) == int(rows):
        print("measured", rows, flush=True)
        sys.stdin.readline()  # killed here
Memo._append = and_die
options = run.Options(data=(dev,), max_wer_increase_points=90.0, calibration_s=4.0, probe_s=2.0, strategy="uniform")
run.compress_model(model, out, options)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    root = tmp_path_factory.mktemp("cut")
    model = builders.build(root / "model")
    return root, model, builders.corpus(root / "dev", model, count=4)


@pytest.fixture(scope="module")
def options(world: tuple[Path, Path, Path]) -> Options:
    return Options(
        data=(str(world[2]),), max_wer_increase_points=90.0, calibration_s=4.0, probe_s=2.0, strategy="uniform"
    )


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time decides nothing, the search has three levels, and memory is not looked at, which takes a process each time."""
    monkeypatch.setattr(acceptance, "_peak_memory", lambda *_, **__: None)
    monkeypatch.setattr(Workbench, "_timed", lambda *_: 1.0)
    monkeypatch.setattr(run_of, "strategy_of", lambda *_: Uniform(keeps=KEEPS))


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(
    world: tuple[Path, Path, Path], options: Options, steady: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, model, dev = world
    out, journal = root / "killed", root / "killed.journal"
    command = [sys.executable, "-c", WORKER, str(model), str(dev), str(out), "7"]
    environment = {**os.environ, "PYTHONPATH": "src"}
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO, env=environment
    )
    assert worker.stdout is not None
    assert any(line.startswith("measured 7") for line in worker.stdout)
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    rows = journal.read_text().splitlines()
    assert {json.loads(row)["measured"] for row in rows} == {"text", "divergence", "time_ratio"}
    assert len(rows) == 7
    journal.write_text("\n".join([*rows, rows[-1][:30]]))  # the row that it was writing
    asked: list[str] = []
    append = Memo._append

    def heard(memo: Memo, kind: str, key: str, value: Any) -> None:
        asked.append(key)
        append(memo, kind, key, value)

    monkeypatch.setattr(Memo, "_append", heard)
    resumed = compress_model(model, out, options, say=lambda _: None)
    assert not {json.loads(row)["key"] for row in rows} & set(asked), "what was measured is not measured again"
    assert not journal.exists(), "a complete run needs none"
    whole = compress_model(model, root / "whole", options, say=lambda _: None)
    assert resumed.recipe.steps == whole.recipe.steps
    assert resumed.recipe.done == whole.recipe.done
    assert resumed.result.digest == whole.result.digest


def test_an_interrupt_keeps_the_best_so_far_and_the_same_command_goes_on(
    world: tuple[Path, Path, Path], options: Options, steady: None
) -> None:
    root, model, _ = world
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if text.startswith("uniform, 1 of"):
            os.kill(os.getpid(), signal.SIGINT)

    stored = replace(options, storage=root / "stored.journal")
    found = compress_model(model, root / "cut", stored, say=say)
    levels = [line for line in said if line.startswith("uniform, ")]
    assert len(levels) == 1
    assert "the search is cut short by an interrupt: the best so far is kept and proven" in said
    assert any(each.lever == "int8" for each in found.recipe.steps)
    result = json.loads((root / "cut" / "result.json").read_text())
    assert result["cut_short"] == "by an interrupt"
    assert any("goes on from" in note and "stored.journal" in note for note in result["notes"])
    before = (root / "stored.journal").read_text().splitlines()
    whole = compress_model(model, root / "cut", stored, overwrite=True, say=said.append)
    assert whole.cut_short is None
    after = (root / "stored.journal").read_text().splitlines()
    assert after[: len(before)] == before
    assert len(after) > len(before)


def test_no_time_leaves_the_lossless_levers_proven(
    world: tuple[Path, Path, Path], options: Options, steady: None
) -> None:
    root, model, _ = world
    found = compress_model(model, root / "soon", replace(options, minutes=0.0), say=lambda _: None)
    assert found.cut_short == "after 0 minutes"
    assert found.dev.identical_texts == found.dev.utterances
    assert {"place", "batched-joiner"} & {each.lever for each in found.recipe.steps}
    assert (root / "soon.journal").is_file()
    with pytest.raises(InputError, match="`minutes` is -1"):
        compress_model(model, root / "never", replace(options, minutes=-1.0), say=lambda _: None)


def test_an_interrupted_acceptance_leaves_the_recipe_beside_out(
    world: tuple[Path, Path, Path], options: Options, steady: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, model, _ = world

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_of, "accept", interrupted)
    (root / "late.recipe.toml").write_text("mine")
    soon = replace(options, minutes=0.0)
    with pytest.raises(
        KeyboardInterrupt, match=r"not yet proven, are in .*late\.recipe-2\.toml.*goes on from .*late\.journal"
    ):
        compress_model(model, root / "late", soon, say=lambda _: None)
    assert (root / "late.recipe.toml").read_text() == "mine"
    left: Recipe = read_recipe(root / "late.recipe-2.toml")
    assert left.steps
    assert not (root / "late").exists()


# --- speech that shows nothing -------------------------------------------------------------------------------------------
def test_speech_that_shows_nothing_is_refused_or_not_judged(
    world: tuple[Path, Path, Path], options: Options, steady: None
) -> None:
    root, model, _ = world
    tiny = replace(options, max_wer_increase_points=0.2, minutes=0.0)
    with pytest.raises(InputError, match=r"words cannot show a rise of 0.2 points.*it takes about 1,497"):
        compress_model(model, root / "tiny", tiny, say=lambda _: None)
    assert not (root / "tiny.journal").exists()
    found = compress_model(model, root / "tiny", replace(tiny, limit=4), say=lambda _: None, page=html)
    assert (found.dev.non_inferior, found.met) == (None, False)
    result = json.loads((root / "tiny" / "result.json").read_text())
    assert (result["non_inferior"], result["met"], result["max_wer_increase_points"]) == (None, False, 0.2)
    assert "it takes about 1,497" in result["cannot_show"]
    assert "cannot be judged" in (root / "tiny" / "report.html").read_text()

    saturated = root / "saturated"
    builders.corpus(saturated, model, count=4)
    lines = (saturated / "manifest.jsonl").read_text().splitlines()
    other = [json.dumps({**json.loads(line), "text": "what nobody said " * 12}) for line in lines]
    (saturated / "manifest.jsonl").write_text("\n".join(other) + "\n")
    asked = replace(options, data=(str(saturated),), minutes=0.0)
    with pytest.raises(InputError, match=r"the original's WER is \d+ %.*no number of words"):
        compress_model(model, root / "mute", asked, say=lambda _: None)
    found = compress_model(model, root / "mute", replace(asked, limit=4), say=lambda _: None)
    assert (found.dev.non_inferior, found.met) == (None, False)
