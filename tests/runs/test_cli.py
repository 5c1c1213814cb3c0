"""The verb from the outside: flags, the table, the page, the exit status; and the same by the API."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from wattscribe import api
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.results import rows


def test_flags_alone(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r"
    flags = (
        f"--model fake:a?corpus={corpus} --model fake:b?text=x --data {corpus} --precision fp32,int8 --noise white --snr 10 "
        f"--limit 3 --seed 9 --threads 2 --batch-size 2 --timeout 7 --idle 0 --out {out}"
    )
    status = main(["bench", *flags.split()])
    said = capsys.readouterr()
    assert status == 0
    assert said.err == "", "quiet where nobody watches"
    assert "| fake:a" in said.out
    assert f"report: {out / 'report.html'}" in said.out
    assert (out / "report.html").stat().st_size > 10_000
    facts = read_run(out)
    assert len(facts.trials) == 2 * 2 * 2
    spec = facts.trials[0].trial.recognizer
    assert (spec.threads, spec.batch_size, facts.seed) == (2, 2, 9)
    assert facts.trials[0].trial.utterance_timeout_s == 7
    exact = [row for row in rows(facts) if row["model"] == "fake:a" and row["condition"] == "clean"]
    assert [row["wer"] for row in exact] == [0.0, 0.0]


def test_a_file_with_flags_and_resume(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "e.toml", tmp_path / "r"
    path.write_text('models = ["fake:a?text=x"]\ndata = ["corpus"]\nrepeats = 2\n', encoding="utf-8")
    assert main(["bench", str(path), "--repeats", "1", "--out", str(out)]) == 0
    assert len(read_run(out).trials) == 1
    assert main(["bench", str(path), "--out", str(out), "--resume"]) == 2
    assert "repeats is 2 here and 1 in the run" in capsys.readouterr().err
    assert main(["bench", "--out", str(out), "--resume"]) == 0
    assert main(["bench", str(path), "--out", str(out), "--overwrite"]) == 0
    assert len(read_run(out).trials) == 2


def test_a_failed_trial_is_told_by_the_exit_status(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--model", "fake:a?fail_load=true", "--model", "fake:b?text=x"]
    assert main(["bench", *models, "--data", str(corpus), "--out", str(tmp_path / "r")]) == 1
    said = capsys.readouterr()
    assert "failed: raised while loading" in said.err
    assert "failed: raised while loading" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to measure"),
        (["--model", "fake:a"], "the key --data is missing"),
        (["--data", "bundled"], "the key --model is missing"),
        (["--model", "nobody:a", "--data", "bundled"], "there is no runtime 'nobody'"),
        (["--model", "fake:a", "--data", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--model", "fake:a", "--data", "bundled", "--noise", "white"], "noise and snr belong together"),
        (["--model", "fake:a", "--data", "bundled", "--noise", "/nowhere", "--snr", "5"], "/nowhere"),
        (["--model", "fake:a", "--data", "bundled", "--snr", "loud", "--noise", "white"], "--snr 'loud'"),
        (["--model", "fake:a", "--data", "bundled", "--option", "beam"], "key=value"),
        (["--model", "fake:a", "--data", "bundled", "--option", "beam=4"], "no option 'beam'"),
        (["/nowhere/e.toml"], "/nowhere/e.toml"),
        (["--resume"], "no run here"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments, "--out", str(tmp_path / "r")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_an_unknown_flag() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wattscribe", "bench", "--modle", "fake:a"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "--modle" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_api_has_the_same_verb(corpus: Path, tmp_path: Path) -> None:
    experiment = {"models": [f"fake:a?corpus={corpus}"], "data": [str(corpus)]}
    facts = api.bench(experiment, tmp_path / "r")
    assert [trial.status for trial in facts.trials] == ["done"]
    assert json.loads(str(api.report(tmp_path / "r", format="json")))["rows"][0]["wer"] == 0.0
    assert Path(api.report(tmp_path / "r")).name == "report.html"
    with pytest.raises(InputError, match="there is a run already"):
        api.bench(experiment, tmp_path / "r")
    assert {probe.meter for probe in api.meters()}
    (said,) = api.transcribe("fake:a?text=hello", [corpus / "u0.wav"])
    assert said.text == "hello"


def test_the_main_job_on_real_speech(tmp_path: Path) -> None:
    """Three bundled utterances through PocketSphinx: its words are English, near enough, and cost something."""
    pytest.importorskip("pocketsphinx")
    facts = api.bench({"models": ["pocketsphinx:en-us"], "data": ["bundled"], "limit": 3}, tmp_path / "r")
    (row,) = rows(facts)
    assert row["utterances"] == 3
    assert 0 <= row["wer"] < 0.5
    assert row["energy_evidence"] == "modelled"
    assert row["energy_j"] > 0
    assert row["peak_memory_bytes"] > 50e6
    assert row["rtf"] > 0
