"""No file of text that a user can name ends in a traceback, a hang or nonsense: it is taken, or refused in one line."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.attacks import DIGITS, READERS, attack, prepare, unsound
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.runs.process import last_line
from wattscribe.text_files import parse_json, read_toml

LONGEST_S = 5.0
"""For what takes milliseconds, on a machine that does other things too; what is quadratic takes minutes."""
LONGEST_LINE = 6000


def _lines(text: str | None) -> None:
    if text is not None:
        assert "\n" not in text
        assert len(text) < LONGEST_LINE


@pytest.mark.parametrize("kind", READERS)
def test_a_sound_file_is_taken(kind: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    assert attack(READERS[kind], tmp_path, READERS[kind].text) is None


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 30))
def test_an_unsound_file_is_taken_or_refused_in_one_line(kind: str, tmp_path: Path, seed: int) -> None:
    prepare(tmp_path)
    started_s = time.process_time()
    _lines(attack(READERS[kind], tmp_path, unsound(READERS[kind], random.Random(seed))))
    assert time.process_time() - started_s < LONGEST_S


@pytest.mark.parametrize("kind", ["experiment", "recipe", "device", "training"])
@pytest.mark.parametrize(
    "line",
    [f"x = {DIGITS}", "x = 0x" + "f" * 3000, "x = " + "[" * 100_000, 'x = "a\\u0000b"', "x.y" + ".y" * 3000 + " = 1"],
)
def test_toml_that_python_cannot_take_is_named(kind: str, tmp_path: Path, line: str) -> None:
    said = attack(READERS[kind], tmp_path, line + "\n")
    assert said is not None
    assert "too many digits" in said or "nested too deeply" in said or "NUL" in said
    _lines(said)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.toml")
    with pytest.raises(InputError, match="it is a pipe, not a file"):
        read_toml(tmp_path / "x.toml", what="the file")


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "1e999", DIGITS, "-" + "9" * 400, "[" * 100_000, "{", '"', b"\xff", ""]
)
def test_json_that_is_none_is_a_value_error_of_one_line(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_json(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        (["profile", "arch:emformer-rnnt-base"],
         ["--tokens-per-s nan", "--seed -1", "--battery-wh inf", "--local-memory ²", f"--local-memory {DIGITS}", "--vocab 0",
          "--words-per-s -1", "--chunk-ms 0", f"--device {DIGITS}", "--beam 99999999999999999999"]),
        (["transcribe", "reference", "x.wav"],
         ["--threads 100000", "--blank-penalty nan", "--tail-s inf", "--decoding beam --beam 9999999"]),
        (["bench", "--model", "fake:x", "--data", "bundled", "--out", "nowhere"],
         ["--threads 100000", "--idle 1e308", "--timeout inf", "--seed -1", f"--seed {DIGITS}", "--batch-size 0"]),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused_in_one_line(
    option: list[str],
    values: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in values:
        assert main([*option, *value.split()]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert len(said.err) < LONGEST_LINE
    assert not list(tmp_path.iterdir())


def test_a_crash_is_told_by_the_library_s_own_last_words(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    crash = "Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n  File x\n\nExtension modules: a, b\n"
    log.write_text(f"terminate called after throwing\n  what():  vocabulary size is 3\n{crash}")
    assert last_line(log, 0) == "what():  vocabulary size is 3"
    log.write_text(crash)
    assert last_line(log, 0) == "Fatal Python error: Aborted"
