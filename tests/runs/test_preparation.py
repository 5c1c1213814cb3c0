"""The first start on a machine and the second are measured alike: what is kept on disk is made before any window opens."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.runs.conftest import write_speech
from wattscribe.journal import read_run
from wattscribe.records import Condition, RecognizerSpec, Trial, TrialFacts
from wattscribe.runs.beginning import LOG_NAME
from wattscribe.runs.experiment import check
from wattscribe.runs.preparation import name_of, prepare_all
from wattscribe.runs.progress import Silent
from wattscribe.runs.runner import run
from wattscribe.runs.spool import Key, Spool


@pytest.fixture
def graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where graphs are kept: nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("WATTSCRIBE_GRAPH_CACHE", raising=False)
    return tmp_path / "cache/wattscribe/graphs"


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Half a minute: enough for the encoder that takes several segments at once, were it there already."""
    folder = tmp_path / "speech"
    folder.mkdir()
    lines = []
    for number in range(3):
        write_speech(folder / f"{number}.wav", 10.0, number)
        lines.append(f'{{"audio_filepath": "{number}.wav", "text": "x", "id": "{number}"}}\n')
    (folder / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def measured(speech: Path, out: Path, *, live: bool, precision: str) -> tuple[TrialFacts, float]:
    """The one trial, and when on the file system's clock its window opened."""
    keys = {
        "models": ["onnx:reference"],
        "data": [str(speech)],
        "precision": [precision],
        "latency": live,
        "idle_s": 0.0,
    }
    (trial,) = read_run(run(check(keys), out, meters=[])).trials
    assert trial.status == "done", trial.reason
    assert trial.window is not None
    return trial, time.time() - (time.monotonic() - trial.window.start_s)


@pytest.mark.parametrize(("live", "precision"), [(False, "fp16"), (True, "int8")])
def test_first_and_second_run_are_measured_alike(
    graphs: Path, speech: Path, tmp_path: Path, live: bool, precision: str
) -> None:
    first, opened = measured(speech, tmp_path / "first", live=live, precision=precision)
    kept = {path.name: path.stat().st_mtime for path in graphs.glob("*.sha256")}
    assert len(kept) == (2 if live else 3), (
        "its predictor is too small to be kept; files are heard with one encoder more"
    )
    assert all(made < opened for made in kept.values()), "prepared inside the window"
    second, _ = measured(speech, tmp_path / "second", live=live, precision=precision)
    assert {path.name: path.stat().st_mtime for path in graphs.glob("*.sha256")} == kept

    assert first.prepare_s is not None
    assert first.prepare_s > 0
    assert second.prepare_s == 0
    assert first.peak_memory_bytes is not None
    assert second.peak_memory_bytes is not None
    assert first.peak_memory_bytes / second.peak_memory_bytes == pytest.approx(1, abs=0.05)
    assert [each.hypothesis for each in first.utterances] == [each.hypothesis for each in second.utterances]
    # The bar of 10 % holds on a quiet machine; preparing inside the window more than doubled them, on any.
    assert first.cpu_s is not None
    assert second.cpu_s is not None
    assert first.cpu_s < 1.9 * second.cpu_s


def trial_of(model: str) -> Trial:
    return Trial(id="t", recognizer=RecognizerSpec(runtime="onnx", model=model), corpus="c", condition=Condition())


def empty_spool(tmp_path: Path) -> Spool:
    return Spool(
        corpus="c", condition=Condition(), name="clean", path=tmp_path / "s", pieces=(), rejected=(), digest=""
    )  # fmt: skip


def test_what_cannot_be_prepared_is_left_to_its_trials(graphs: Path, tmp_path: Path) -> None:
    """A directory without a model, and a cache that is switched off: no figure, and the log says why."""
    trial = trial_of(str(tmp_path))
    spools: dict[Key, Spool] = {("c", Condition(), None, None): empty_spool(tmp_path)}
    made = prepare_all([trial], spools, log=tmp_path / LOG_NAME, limit_s=60, watcher=Silent())
    assert made == {name_of(trial.recognizer): None}
    assert "no model is recognised here" in (tmp_path / LOG_NAME).read_text(encoding="utf-8")
    assert not list(graphs.glob("*.ort"))


def test_nothing_is_prepared_where_nothing_is_kept(
    graphs: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATTSCRIBE_GRAPH_CACHE", "off")
    trial, _ = measured(speech, tmp_path / "r", live=False, precision="int8")
    assert trial.prepare_s is None
    assert not graphs.exists()
