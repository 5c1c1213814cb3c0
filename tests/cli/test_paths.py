"""Paths that cannot be followed are one line, and a run writes through no symbolic link."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattscribe.cli import main


@pytest.mark.parametrize("name", ["journal.lock", "journal.sqlite", "journal.new", "worker.log", "spool", "previous"])
def test_a_run_writes_through_no_link(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious, out = tmp_path / "precious", tmp_path / "r"
    precious.write_text("mine", encoding="utf-8")
    out.mkdir()
    (out / name).symlink_to(precious)
    command = ["bench", "--model", "fake:a", "--data", "bundled", "--limit", "1", "--out", str(out)]
    for flags in ([], ["--overwrite"]):
        assert main([*command, *flags]) == 2
        assert f"{out / name}: this is a symbolic link" in capsys.readouterr().err
    assert precious.read_text(encoding="utf-8") == "mine"
    assert [each.name for each in out.iterdir()] == [name]


@pytest.mark.parametrize("arguments", [["report"], ["devices"], ["bench"]])
def test_a_name_that_is_too_long_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "./" + "x" * 300]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "name too long" in line.lower()
