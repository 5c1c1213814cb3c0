"""--overwrite: what was measured is replaced by a run that has heard something, and by no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.runs.conftest import write_corpus
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.journal import FILE_NAME, read_run
from wattscribe.records import RunFacts
from wattscribe.runs.beginning import LOG_NAME, REPORT_NAME
from wattscribe.runs.experiment import check
from wattscribe.runs.previous import DIRECTORY, Previous
from wattscribe.runs.runner import run


@pytest.fixture
def old(corpus: Path, tmp_path: Path) -> tuple[Path, RunFacts]:
    """A run with its page."""
    out = tmp_path / "r"
    run(check({"models": ["fake:old?text=x"], "data": [str(corpus)]}), out, meters=[])
    (out / REPORT_NAME).write_text("page", encoding="utf-8")
    return out, read_run(out)


def stands(out: Path, before: RunFacts) -> bool:
    """The old run is there whole, and nothing of the new one."""
    names = {path.name for path in out.iterdir()} - {"journal.lock"}
    return (
        read_run(out) == before
        and names == {FILE_NAME, LOG_NAME, REPORT_NAME}
        and (out / REPORT_NAME).read_text(encoding="utf-8") == "page"
    )


def test_models_that_cannot_be_loaded_replace_nothing(old: tuple[Path, RunFacts], corpus: Path) -> None:
    out, before = old
    keys = {"models": ["fake:a?fail_load=true", "fake:b?raise_at=0"], "data": [str(corpus)]}
    with pytest.raises(
        InputError, match=r"nothing was transcribed, so the run that was there is kept.*told to fail while loading"
    ):
        run(check(keys), out, overwrite=True, meters=[])
    assert stands(out, before)


def test_files_of_which_none_can_be_used_replace_nothing(old: tuple[Path, RunFacts], tmp_path: Path) -> None:
    out, before = old
    bad = write_corpus(tmp_path / "bad", utterances=2)
    for path in bad.glob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"no usable utterance among 2; u0: empty file"):
        run(check({"models": ["fake:a?text=x"], "data": [str(bad)]}), out, overwrite=True, meters=[])
    assert stands(out, before)


def test_the_command_line_says_so(old: tuple[Path, RunFacts], corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, before = old
    bench = ["bench", "--model", "fake:a?fail_load=true", "--data", str(corpus), "--idle", "0", "--out", str(out)]
    assert main([*bench, "--overwrite"]) == 2
    assert "the run that was there is kept" in capsys.readouterr().err
    assert stands(out, before)


def test_an_interrupted_run_that_heard_nothing_replaces_nothing(
    old: tuple[Path, RunFacts], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before = old

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wattscribe.runs.attempt.Attempt.run", interrupted)
    with pytest.raises(KeyboardInterrupt, match="the run that was there is kept"):
        run(check({"models": ["fake:a?text=x"], "data": [str(corpus)]}), out, overwrite=True, meters=[])
    assert stands(out, before)


def test_one_answer_replaces_it(old: tuple[Path, RunFacts], corpus: Path) -> None:
    out, _ = old
    keys = {"models": ["fake:new?raise_at=2&text=y"], "data": [str(corpus)]}
    facts = read_run(run(check(keys), out, overwrite=True, meters=[]))
    assert [each.hypothesis for each in facts.trials[0].utterances] == ["y", None]
    assert not (out / DIRECTORY).exists()
    assert not (out / REPORT_NAME).exists()


@pytest.mark.parametrize("linked", [True, False])
def test_a_killed_overwrite_leaves_the_old_run_to_be_put_back(
    old: tuple[Path, RunFacts], corpus: Path, linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new journal that has heard nothing lies in its place; the next attempt keeps the older run, not this one."""
    out, before = old
    if not linked:
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    Previous(out, (LOG_NAME, REPORT_NAME)).keep()
    assert read_run(out) == before, "readers see it all the time"
    shutil.copy(out / FILE_NAME, out / "journal.new")
    (out / "journal.new").write_bytes(b"a journal of the killed run")
    (out / "journal.new").replace(out / FILE_NAME)
    keys = {"models": ["fake:a?fail_load=true"], "data": [str(corpus)]}
    with pytest.raises(InputError, match="the run that was there is kept"):
        run(check(keys), out, overwrite=True, meters=[])
    assert stands(out, before)


def test_without_an_old_run_the_failures_are_the_record(corpus: Path, tmp_path: Path) -> None:
    keys = {"models": ["fake:a?fail_load=true"], "data": [str(corpus)]}
    assert read_run(run(check(keys), tmp_path / "r", overwrite=True, meters=[])).trials[0].status == "failed"
