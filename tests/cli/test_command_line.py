"""What every verb promises a user who errs: one line on standard error, exit status 2, and each option explained."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from tests.stored_runs import CLEAN, MODELS, made_up_run, store_run
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


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("data", "fleet")])
def test_every_option_is_explained(verb: str) -> None:
    from importlib import import_module

    app = import_module(f"wattscribe.cli.{verb}").app
    mute = [
        argument.names[0]
        for argument in app.assemble_argument_collection(parse_docstring=True)
        if not argument.parameter.help and argument.parse and argument.names != ("*",)
    ]
    assert mute == []


def test_a_cut_recording_is_not_transcribed_as_if_whole(tmp_path: Path) -> None:
    from wattscribe.errors import InputError
    from wattscribe.transcribing import _blocks

    cut = tmp_path / "cut.wav"
    header = b"RIFF" + struct.pack("<I", 36 + 32000) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + b"data" + struct.pack("<I", 32000)
    cut.write_bytes(header + bytes(8000))
    with pytest.raises(InputError, match="truncated: 8000 of 32000"):
        list(_blocks(str(cut)))
    cut.write_bytes(header + bytes(32000))
    assert sum(map(len, _blocks(str(cut)))) == 16000


def test_an_interrupted_bench_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    begin = ["bench", "--model", "fake:a", "--data", "bundled", "--limit", "1", "--out", str(tmp_path / "r")]
    monkeypatch.setattr("wattscribe.runs.runner._keep_ready", interrupted)
    assert main(begin) == 130
    kept = "wattscribe bench: interrupted. What is finished is kept; continue with --resume\n"
    assert capsys.readouterr().err == kept
    monkeypatch.setattr("wattscribe.runs.beginning.spool_all", interrupted)
    assert main([*begin, "--resume"]) == 130
    assert capsys.readouterr().err == kept


def test_an_interruption_before_there_is_a_run_promises_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wattscribe.runs.runner.open_meters", interrupted)
    assert main(["bench", "--model", "fake:a", "--data", "bundled", "--out", str(tmp_path / "r")]) == 130
    assert capsys.readouterr().err == "wattscribe bench: interrupted\n"
    assert not list(tmp_path.iterdir())


def test_a_bench_interrupted_before_it_measured_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wattscribe.runs.beginning.spool_all", interrupted)
    assert main(["bench", "--model", "fake:a", "--data", "bundled", "--out", str(tmp_path / "r")]) == 130
    assert "Nothing was measured yet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bench", "--model", "fake:a", "--data", "bundled", "--limit", "1", "--out", "taken"], "this is a file"),
        (["bench", "--model", "fake:a", "--data", "bundled", "--limit", "1", "--out", "taken/r"], "this is a file"),
        (["data", "get", "librispeech:test-clean", "--mirror", "http://127.0.0.1:9", "--out", "taken"], "is a file"),
        (["data", "get", "librispeech:test-clean", "--mirror", "http://127.0.0.1:9", "--out", "taken/r"], "is a file"),
        (["data", "get", "librispeech:test-clean", "--mirror", "http://127.0.0.1:9", "--out", "half"], "is a file"),
        (["report", "run", "--out", "."], "this is a directory"),
        (["report", "run", "-o", "nowhere/x.html"], "there is no directory nowhere. Make it"),
        (["report", "run", "--format", "csv", "-o", "taken/x.csv"], "taken is a file"),
        (["meters", "--root", "nowhere"], "there is no such directory"),
        (["meters", "--json", "--root", "taken"], "there is no such directory"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_place_that_cannot_be_used_is_named(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "LibriSpeech").write_text("mine", encoding="utf-8")
    store_run(made_up_run(models=MODELS[:1], conditions=(CLEAN,)), tmp_path / "run")
    assert main(arguments) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.strip().splitlines()
    assert words in line
    assert "disk" not in line
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"


NEGATIVES_THAT_MEAN_SOMETHING = {"--no-clean", "--no-endpoints", "--no-require-proof"}


@pytest.mark.parametrize("verb", [*VERBS, "data get", "fleet run", "meters attach"])
def test_no_flag_is_offered_that_means_nothing(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([*verb.split(), "--help"])
    offered = set(re.findall(r"--(?:no|empty)-[a-z-]+", capsys.readouterr().out))
    assert offered <= NEGATIVES_THAT_MEAN_SOMETHING
