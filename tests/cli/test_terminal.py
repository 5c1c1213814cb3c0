"""What reaches a terminal: its width, its encoding, its closed streams, and no control character that somebody else wrote."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stored_runs import CLEAN, MODELS, made_up_run, store_run
from wattscribe import terminal
from wattscribe.cli import main
from wattscribe.pages.formats import to_csv
from wattscribe.terminal import guarded, visible

HOSTILE = replace(MODELS[0], name="a\x1b]0;mine\x07\x9b2J\rb")


@pytest.mark.parametrize("columns", ["0", "1", "2", "-5", "1000000000", "²", "9" * 5000])
def test_help_whatever_the_width(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    assert main(["data", "get", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--mirror" in shown
    longest = max(map(len, shown.splitlines()))
    assert terminal.MIN_WIDTH <= longest <= terminal.MAX_WIDTH


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "gbk", "utf-8"])
def test_what_an_encoding_lacks_is_shown_as_json_writes_it(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline=""))
    value = "× … 語 é 😀 \udcff"
    with guarded():
        print(json.dumps(value, ensure_ascii=False), flush=True)
    assert sys.stdout.errors == "strict"
    shown = raw.getvalue().decode(encoding)
    assert json.loads(shown).encode("utf-16-be", "surrogatepass") == value.encode("utf-16-be", "surrogatepass")


def test_no_control_character_of_a_run_reaches_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = store_run(made_up_run(models=[HOSTILE], conditions=(CLEAN,)), tmp_path / "run")
    for kind in ("md", "csv", "json"):
        assert main(["report", str(run), "--format", kind]) == 0
        shown = capsys.readouterr().out
        assert "mine" in shown
        assert shown == visible(shown)
        if kind == "json":
            assert any("a\x1b]0;mine" in str(row) or "\\x1b" in str(row) for row in json.loads(shown)["rows"])


def test_errors_show_no_control_character_and_keep_to_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / "a\x1b[2J\nb")]) == 2
    shown = capsys.readouterr().err
    assert "\\u001b[2J b" in shown
    assert shown == visible(shown)
    assert shown.count("\n") == 1


def test_a_table_shows_escapes_and_keeps_its_own_colours() -> None:
    made = terminal.console(columns=60)
    with made.capture() as capture:
        made.print("a\x1b[31mb", markup=False)
    assert capture.get() == "a\\u001b[31mb\n"


def test_a_closed_or_full_standard_error_stops_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from wattscribe.terminal import guarded, say\n"
        "with guarded():\n"
        "    say('x' * 10); say('y')\n"
        "    os.write(1, bytes([48 + int(sys.stderr.isatty()), 48 + os.open(os.devnull, os.O_RDONLY)]))\n"
    )
    for redirect in ("2>&-", "2>/dev/full"):
        done = subprocess.run(
            ["/bin/sh", "-c", f'"$0" -c "$1" {redirect}', sys.executable, code],
            stdout=subprocess.PIPE,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode == 0
        assert done.stdout.startswith(b"0")
        assert done.stdout[1] - 48 > 2, "a file of ours became standard error"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_an_end_of_line_in_a_name_breaks_no_csv(end: str) -> None:
    model = replace(MODELS[0], name=f"a{end}b,c")
    facts = made_up_run(models=[model], conditions=(CLEAN,))
    rows = list(csv.DictReader(io.StringIO(to_csv(facts), newline="")))
    assert len(rows) == len({(each.trial.recognizer.precision) for each in facts.trials})
    assert all(None not in row and f"a{end}b,c" in row["model"] for row in rows)
