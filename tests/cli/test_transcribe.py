"""`wattscribe transcribe` where something goes wrong: what was heard is printed, then one line and an exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wattscribe
from tests.streaming import models
from wattscribe.cli import main
from wattscribe.records import RecognizerSpec, Transcript
from wattscribe.streaming import open_transducer
from wattscribe.transcribing import Follower, Heard

DEV_FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.build(tmp_path_factory.mktemp("toy") / "model", seed=1)


def transcribe(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wattscribe", "transcribe", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=60)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_half_a_sample_at_the_end_costs_no_word(directory: Path) -> None:
    whole = (models.sound(3, 48000) * 32767).astype("<i2")
    cut = whole.tobytes() + b"x"
    text = open_transducer(directory).transcribe([whole.astype(np.float32) / np.float32(32768)])[0].text
    done = transcribe(directory, "-", stdin=cut)
    assert done.returncode == 2
    assert done.stdout == f"{text}\n"
    assert done.stderr.startswith("wattscribe transcribe: standard input: ends in the middle")
    done = transcribe(directory, "-", "--json", stdin=cut)
    assert done.returncode == 2
    said, cost = map(json.loads, done.stdout.splitlines())
    assert said["text"] == text
    assert cost["audio_s"] == 3.0


def test_a_bad_file_does_not_keep_the_others_from_being_heard(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / f"{name}.flac" for name in ("first", "last")]
    for seed, file in enumerate(files):
        soundfile.write(file, models.sound(seed, 40000), 16000)
    assert main(["transcribe", str(directory), str(files[0]), "missing.wav", str(tmp_path), str(files[1])]) == 2
    shown = capsys.readouterr()
    transducer = open_transducer(directory)
    texts = [transducer.transcribe([soundfile.read(file, dtype="float32")[0]])[0].text for file in files]
    assert shown.out.split("\n") == [f"{files[0]}:", texts[0], f"{files[1]}:", texts[1], ""]
    first, second = shown.err.splitlines()
    assert first.startswith("wattscribe transcribe: missing.wav: there is no such file")
    assert second.startswith(f"wattscribe transcribe: {tmp_path}: is a directory")


def test_an_utterance_lasts_from_its_first_token_to_its_end_in_the_audio(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = np.concatenate(
        [np.concatenate([models.sound(seed, 24001), np.zeros(32000, np.float32)]) for seed in (3, 4, 5)]
    )
    soundfile.write(tmp_path / "a.wav", audio, 16000)
    for options in ([], ["--tail-s", "5"], ["--decoding", "beam"]):
        assert main(["transcribe", str(directory), str(tmp_path / "a.wav"), "--json", *options]) == 0
        *said, cost = map(json.loads, capsys.readouterr().out.splitlines())
        assert said
        assert cost["audio_s"] == round(len(audio) / 16000, 3)
        for line in said:
            times = [token["start_s"] for token in line["tokens"]]
            assert line["start_s"] == times[0]
            assert times[-1] <= line["end_s"] <= max(cost["audio_s"], times[-1])


@pytest.mark.parametrize("tail_s", ["1e9", "60.1", "nan", "-1", "inf"])
def test_a_tail_that_would_fill_the_memory_is_refused(
    directory: Path, tail_s: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", str(directory), "x.wav", f"--tail-s={tail_s}"]) == 2
    said = capsys.readouterr().err
    assert "Give 0 to 60" in said or "give a finite number" in said


def test_a_closed_standard_input_is_named(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["transcribe", str(directory), "-"]) == 2
    assert capsys.readouterr().err.startswith("wattscribe transcribe: standard input is closed. Pipe")


@pytest.mark.skipif(not DEV_FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["transcribe"], ["--help"]])
def test_a_full_output_is_one_line(directory: Path, tmp_path: Path, arguments: list[str]) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, models.sound(3, 48000), 16000)
    command = [sys.executable, "-m", "wattscribe", *arguments]
    command += [str(directory), str(file)] if arguments == ["transcribe"] else []
    with DEV_FULL.open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith(": the output: No space left on device. Make room")


def test_an_interruption_while_a_compiled_module_loads_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loads(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interruption:
            raise ImportError("initialization failed") from interruption

    def missing(*_: object) -> None:
        raise ImportError("no such module")

    monkeypatch.setattr("wattscribe.cli.run_verb", loads)
    assert main(["transcribe", "x", "-"]) == 130
    assert capsys.readouterr().err == "wattscribe transcribe: interrupted\n"
    monkeypatch.setattr("wattscribe.cli.run_verb", missing)
    with pytest.raises(ImportError, match="no such module"):
        main(["transcribe", "x", "-"])


def test_an_interruption_while_the_verb_loads_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    assert main(["transcribe", "x", "-"]) == 130
    assert capsys.readouterr().err == "wattscribe transcribe: interrupted\n"


# --- recognizers of every kind --------------------------------------------------------------------------------------
class Batch:
    """A recognizer that hears whole files and times nothing."""

    def __init__(self, spec: RecognizerSpec) -> None:
        self.word = spec.options.get("word", "samples")

    def transcribe(self, batch: list[np.ndarray]) -> list[Transcript]:
        return [Transcript(text=f"{len(audio)} {self.word}") for audio in batch]

    def close(self) -> None: ...


def test_a_recognizer_that_does_not_stream_is_printed_when_its_source_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / f"{name}.wav" for name in "ab"]
    for file in files:
        soundfile.write(file, models.sound(1, 32000), 16000)
    model = f"python:{__name__}:Batch"
    assert main(["transcribe", model, *map(str, files)]) == 0
    assert capsys.readouterr().out == f"{files[0]}:\n32000 samples\n{files[1]}:\n32000 samples\n"
    assert main(["transcribe", model, "--option", "word=values", str(files[0]), "--json"]) == 0
    said, cost = map(json.loads, capsys.readouterr().out.splitlines())
    assert (said["text"], said["start_s"], said["end_s"], said["tokens"]) == ("32000 values", None, 2.0, [])
    assert (cost["audio_s"], cost["counts"]) == (2.0, None)


def test_what_a_recognizer_does_not_have_is_named_as_in_bench(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, models.sound(1, 16000), 16000)
    for arguments, line in (
        (["fake:a", "--decoding", "beam"], "fake has no option 'decoding'"),
        (["fake:a", "--precision", "int3"], "fake has no precision 'int3'"),
        (["fake:a", "--vad"], "--vad is for streaming transducers"),
        (["nothing:a"], "there is no runtime 'nothing'"),
    ):
        assert main(["transcribe", *arguments, str(file)]) == 2
        assert line in capsys.readouterr().err


class Ear(Follower):
    def __init__(self) -> None:
        self.said: list[tuple[str, ...]] = []

    def began(self, source: str) -> None:
        self.said.append(("began", source))

    def partial(self, source: str, text: str) -> None:
        self.said.append(("partial", text))

    def utterance(self, source: str, transcript: Transcript, end_s: float) -> None:
        self.said.append(("utterance", transcript.text))

    def ended(self, source: str, heard: Heard) -> None:
        self.said.append(("ended", f"{heard.audio_s:g}"))


def test_a_caller_hears_the_words_as_they_come(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, models.sound(3, 48000), 16000)
    ear = Ear()
    (found,) = wattscribe.transcribe(str(directory), [file], follow=ear)
    alone = wattscribe.transcribe(str(directory), [file])[0]
    assert (found.text, found.tokens) == (alone.text, alone.tokens)
    assert ear.said[0] == ("began", str(file))
    assert ear.said[-2:] == [("utterance", found.text), ("ended", "3")]
    partials = [text for what, text in ear.said if what == "partial"]
    assert len(set(partials)) > 2
    assert all(found.text.startswith(text) for text in partials)


def test_phrases_reach_beam_search(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, models.sound(3, 48000), 16000)
    assert main(["transcribe", str(directory), str(file), "--phrase", "A"]) == 2
    assert "phrases need beam search" in capsys.readouterr().err


def test_without_a_follower_say_hears_how_far_it_is(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.wav" for name in "abc"]
    for file in files:
        soundfile.write(file, models.sound(1, 16000), 16000)
    said: list[str] = []
    found = wattscribe.transcribe(f"python:{__name__}:Batch", files, batch_size=2, say=said.append)
    assert [each.text for each in found] == ["16000 samples"] * 3
    assert said == ["2 of 3 files transcribed", "3 of 3 files transcribed"]
