"""The commands on an encoder–decoder: export, transcribe, bench."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from tests.seq2seq.test_runtime import texts
from wattscribe.cli import main
from wattscribe.journal import read_run
from wattscribe.recognizers import Audio


@pytest.fixture
def files(clips: list[Audio], tmp_path: Path) -> list[str]:
    for place, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{place}.wav", clip, 16000, subtype="FLOAT")
    return [str(tmp_path / f"{place}.wav") for place in range(len(clips))]


def test_export_says_what_it_wrote(english: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", f"hf:{english}", "-o", str(tmp_path / "out"), "--precision", "int8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line.split()[0]).name for line in lines] == ["encoder.int8.onnx", "decoder.int8.onnx", "tokens.txt"]
    written = [(tmp_path / "out" / Path(line.split()[0]).name).read_bytes() for line in lines]
    assert main(["export", str(english), "-o", str(tmp_path / "again"), "--precision", "int8"]) == 0, (
        "told by its files"
    )
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line.split()[0]).read_bytes() for line in lines] == written
    assert main(["export", "openai/whisper-tiny.en", "-o", str(tmp_path / "out")]) == 2
    assert "hf:MODEL" in capsys.readouterr().err
    assert main(["export", "hf:./nowhere", "-o", str(tmp_path / "out")]) == 2
    assert "no such directory" in capsys.readouterr().err


def test_files_are_transcribed_one_by_one(
    exported: Path, files: list[str], clips: list[Audio], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", str(exported), files[0]]) == 0
    assert capsys.readouterr().out.strip() == texts(exported, clips[:1])[0]
    assert main(["transcribe", f"onnx:{exported}?max_new_tokens=5", *files[:2], "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["utterance", "cost"] * 2
    assert lines[1]["counts"]["predictor_calls"] == 5
    assert lines[1]["counts"]["vocabulary_rows"] > 0
    assert main(["transcribe", str(exported), files[0], "--vad"]) == 2
    assert "is for streaming transducers" in capsys.readouterr().err


def test_a_bench_counts_and_models_it(exported: Path, files: list[str], tmp_path: Path) -> None:
    """Counts in the journal's JSON, and the device's energy modelled from them, as of a transducer."""
    folder = Path(files[0]).parent
    lines = (json.dumps({"audio_filepath": Path(file).name, "text": "a b"}) + "\n" for file in files)
    (folder / "manifest.jsonl").write_text("".join(lines))
    out = tmp_path / "run"
    data = str(folder / "manifest.jsonl")
    assert main(["bench", "--model", f"onnx:{exported}", "--data", data, "-o", str(out), "--idle", "0.1"]) == 0
    (trial,) = read_run(out).trials
    assert all(each.counts is not None and each.counts.vocabulary_rows > 0 for each in trial.utterances)
    assert trial.workload is not None
    assert [each["name"] for each in trial.workload["components"]] == [
        "encoder", "cross_attention", "decoder", "vocabulary",
    ]  # fmt: skip
