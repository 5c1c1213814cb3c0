"""What every verb promises a user who errs: one line on standard error, exit status 2, and each option explained."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from wattscribe.cli import VERBS, main


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench", "--bogus"],
        ["bench", "--batch-size", "x"],
        ["bench", "--model", "fake:a", "--data", "bundled", "--noise", "white", "--snr", "10,nan"],
        ["bench", "--model", "fake:a", "--data", "bundled", "--noise", "white", "--snr", "1e9"],
        ["report"],
        ["report", "x", "--format", "xml"],
        ["report", "x", "--max-watts", "nan"],
        ["compare", "x"],
        ["transcribe", "x", "y.wav", "--beam", "two"],
        ["transcribe", "x", "y.wav", "--threads", "0"],
        ["data", "get", "librispeech:nothing"],
    ],
    ids=" ".join,
)
def test_a_slip_is_told_in_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.err.strip().startswith(f"wattscribe {arguments[0]}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "data"])
def test_every_option_is_explained(verb: str) -> None:
    from importlib import import_module

    app = import_module(f"wattscribe.cli.{verb}").app
    mute = [
        argument.names[0]
        for argument in app.assemble_argument_collection(parse_docstring=True)
        if not argument.parameter.help and argument.parse
    ]
    assert mute == []


def test_a_cut_recording_is_not_transcribed_as_if_whole(tmp_path: Path) -> None:
    from wattscribe.cli.transcribe import _blocks
    from wattscribe.errors import InputError

    cut = tmp_path / "cut.wav"
    header = b"RIFF" + struct.pack("<I", 36 + 32000) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + b"data" + struct.pack("<I", 32000)
    cut.write_bytes(header + bytes(8000))
    with pytest.raises(InputError, match="truncated: 8000 of 32000"):
        list(_blocks(str(cut), mic=False))
    cut.write_bytes(header + bytes(32000))
    assert sum(map(len, _blocks(str(cut), mic=False))) == 16000


def test_an_interrupted_bench_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wattscribe.cli.bench.run", interrupted)
    assert main(["bench", "--model", "fake:a", "--data", "bundled", "--out", str(tmp_path / "r")]) == 130
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 1
    assert "--resume" in shown.err
