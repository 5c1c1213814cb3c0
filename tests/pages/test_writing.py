"""A report is written whole or not at all; what is in the way is one line, and the run stays."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run, store_run
from wattscribe import whole_file
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.pages import formats


def folder(path: Path) -> None:
    path.mkdir()


def link(path: Path) -> None:
    path.with_name("precious").write_text("mine", encoding="utf-8")
    path.symlink_to(path.with_name("precious"))


def pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("obstacle", [folder, link, pipe])
def test_a_measured_run_survives_what_is_in_the_page_s_way(
    obstacle: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is out before the page is tried, the error is one line, the journal is whole."""
    out = tmp_path / "r"
    out.mkdir()
    obstacle(out / "report.html")
    assert (
        main(["bench", "--model", "fake:a?text=x", "--data", "bundled", "--limit", "1", "--idle", "0", "-o", str(out)])
        == 1
    )
    said = capsys.readouterr()
    assert "| fake:a" in said.out
    assert "the run is measured and kept, but its page was not written" in said.err
    assert said.err.count("\n") == 1
    assert [trial.status for trial in read_run(out).trials] == ["done"]
    if obstacle is link:
        assert (out / "precious").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("kind", ["md", "csv", "json", "html", "parquet"])
def test_a_disk_that_fills_keeps_the_old_report(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=2))
    path = tmp_path / f"report.{kind}"
    path.write_text("old", encoding="utf-8")

    def full(_: Path, target: Path) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded", str(target))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="Disk quota exceeded"):
        formats.write(facts, kind, path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path], "nothing half-written is left"


KILLED = """
import os, pathlib, signal, sys
from wattscribe.cli import main
def half(path, text, **options):
    with path.open("w", encoding="utf-8") as file:
        file.write(text[: len(text) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.write_text = half
main(sys.argv[1:])
"""
"""The command, whose first text file gets half of its text before the process is killed."""


@pytest.mark.parametrize("command", ["report", "profile"])
def test_a_kill_in_mid_write_keeps_the_old_page(command: str, tmp_path: Path) -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=2))
    page = tmp_path / "page.html"
    page.write_text("old", encoding="utf-8")
    asked = {
        "report": ["report", str(store_run(facts, tmp_path / "r")), "--out", str(page)],
        "profile": ["profile", "reference", "--page", str(page)],
    }
    done = subprocess.run([sys.executable, "-c", KILLED, *asked[command]], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert page.read_text(encoding="utf-8") == "old"


def test_a_file_keeps_its_mode_and_a_new_one_gets_the_usual(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for mode in (0o644, 0o600):
        path.touch()
        path.chmod(mode)
        whole_file.write_text(path, "\ud800x")
        assert path.stat().st_mode & 0o777 == mode
    assert path.read_text(encoding="utf-8") == "?x"
    whole_file.write_text(tmp_path / "b", "x")
    (tmp_path / "c").touch()
    assert (tmp_path / "b").stat().st_mode == (tmp_path / "c").stat().st_mode


def test_a_folder_in_the_way_of_the_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r"
    (out / "worker.log").mkdir(parents=True)
    command = ["bench", "--model", "fake:a?text=x", "--data", "bundled", "--limit", "1", "--idle", "0", "-o", str(out)]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "worker.log: the run cannot be written: Is a directory" in said
    assert said.count("\n") == 1
