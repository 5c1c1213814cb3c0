"""Paths that cannot be followed are one line, and a run writes through no symbolic link."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import wattscribe
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
    assert "name too long" in line.lower() or "there is no device" in line


BENCH = ["bench", "--limit", "1", "--out", "r"]
REFERENCE = str(Path(wattscribe.__file__).parent / "models" / "reference")
ENTRIES: dict[str, Callable[[str], list[str]]] = {
    "experiment": lambda path: ["bench", path],
    "corpus": lambda path: [*BENCH, "--model", "fake:a", "--data", path],
    "noise": lambda path: [*BENCH, "--model", "fake:a", "--data", "bundled", "--noise", path, "--snr", "5"],
    "room": lambda path: [*BENCH, "--model", "fake:a", "--data", "bundled", "--rir", path],
    "model": lambda path: [*BENCH, "--model", f"onnx:{path}", "--data", "bundled"],
    "out": lambda path: ["bench", "--model", "fake:a", "--data", "bundled", "--limit", "1", "--out", path],
    "run": lambda path: ["report", path],
    "runs": lambda path: ["compare", path, path],
    "audio": lambda path: ["transcribe", REFERENCE, path],
    "phrases": lambda path: ["transcribe", REFERENCE, "x.wav", "--phrases", path],
    "transducer": lambda path: ["profile", path],
    "device": lambda path: ["devices", path],
    "fit": lambda path: ["calibrate", path],
    "recording": lambda path: ["meters", "attach", "r", path],
}
KINDS = ["pipe.toml", "pipe.jsonl", "pipe.wav", "pipe.csv", "device", "folder of pipes", "x" * 300, "loop", "a\udcff"]


@pytest.fixture
def traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in KINDS[:4]:
        os.mkfifo(name)
    Path("device").symlink_to("/dev/zero")
    Path("loop").symlink_to("loop")
    Path("folder of pipes").mkdir()
    for name in (
        "manifest.jsonl",
        "journal.sqlite",
        "journal.lock",
        "encoder.onnx",
        "decoder.onnx",
        "joiner.onnx",
        "tokens.txt",
    ):
        os.mkfifo(Path("folder of pipes", name))
    return tmp_path


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.usefixtures("traps")
def test_what_is_no_file_is_one_line_and_no_wait(entry: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever is named where: an error of one line, within the time that a pipe would be waited for for ever."""
    for kind in KINDS:
        if (entry, kind) in {("model", "folder of pipes"), ("out", "a\udcff")}:
            continue  # the one fails in its trial, the other is a good name for a new folder
        signal.alarm(60)
        try:
            status = main(ENTRIES[entry](kind))
        finally:
            signal.alarm(0)
        said = capfd.readouterr().err
        assert status in (1, 2), (kind, said)
        assert said.count("\n") == 1, (kind, said)
        assert said.startswith(f"wattscribe {ENTRIES[entry](kind)[0]}: "), (kind, said)
        if entry != "out":
            assert "the run cannot be written" not in said, (kind, said)


WITHOUT_PRIVILEGE = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # <linux/capability.h>, version 3
assert libc.capset(header, none) == 0
from wattscribe.cli import main
for arguments in sys.argv[1:]:
    assert main(arguments.split(chr(31))) in (1, 2)
"""


def test_what_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    """Root reads everything, so its capabilities are laid down first."""
    closed = tmp_path / "closed"
    (closed / "x").mkdir(parents=True)
    closed.chmod(0)
    commands = [ENTRIES[entry](str(closed / "x")) for entry in ENTRIES]
    try:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_PRIVILEGE, *("\x1f".join(each) for each in commands)],
            capture_output=True, text=True, check=False, timeout=240, cwd=tmp_path,
        )  # fmt: skip
    finally:
        closed.chmod(0o700)
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(commands)
    for line, (verb, *_) in zip(lines, commands, strict=True):
        assert f"wattscribe {verb}: " in line
        assert "denied" in line or verb == "devices"
