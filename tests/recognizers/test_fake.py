"""The fake does what it is told: answers, errors, costs and failures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattscribe.errors import InputError, RecognizerError
from wattscribe.recognizers import StreamingRecognizer, open_recognizer, parse_model
from wattscribe.scoring import count_errors
from wattscribe.testing import FakeRecognizer, References
from wattscribe.testing.contracts import babble

TEXT = " ".join(["river", "stone", "cloud", "garden"] * 100)


def fake(options: str, **keywords: Any) -> FakeRecognizer:
    return FakeRecognizer(parse_model(f"fake:x?{options}" if options else "fake:x"), **keywords)


def test_answers_are_scripted_or_taken_from_references(clips: Any) -> None:
    references = References(zip(clips, ["one", "two", "three"], strict=True))
    answers = fake("", references=references).transcribe(clips)
    assert [answer.text for answer in answers] == ["one", "two", "three"]
    assert [answer.text for answer in fake("text=hello").transcribe(clips)] == ["hello"] * 3


def test_noisy_audio_is_known_by_its_length_and_silence_is_silent(clips: Any) -> None:
    references = References(zip(clips, ["one", "two", "three"], strict=True))
    recognizer = fake("", references=references)
    noisy = [clip + np.float32(0.01) for clip in clips]
    assert [answer.text for answer in recognizer.transcribe(noisy)] == ["one", "two", "three"]
    assert recognizer.transcribe([np.zeros(100, np.float32)])[0].text == ""


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_error_rate_is_the_one_asked_for(share: float) -> None:
    audio = babble(1.0, 4)
    recognizer = fake(f"wer={share}", references=References([(audio, TEXT)]))
    heard = recognizer.transcribe([audio])[0].text
    assert heard == recognizer.transcribe([audio])[0].text
    counts = count_errors([TEXT], [heard])
    errors = int(counts.substitutions[0] + counts.deletions[0] + counts.insertions[0])
    assert errors == pytest.approx(share * 400, abs=3 * (400 * share * (1 - share)) ** 0.5)
    assert (
        heard != fake(f"wer={share}&seed=1", references=References([(audio, TEXT)])).transcribe([audio])[0].text
        or not share
    )


def test_latency_is_per_second_of_audio() -> None:
    slept: list[float] = []
    recognizer = fake("latency=0.5&load_s=3", sleep=slept.append)
    recognizer.transcribe([np.ones(16_000, np.float32), np.ones(32_000, np.float32)])
    assert slept == [3.0, 0.5, 1.0]


def test_it_raises_once_and_goes_on(clips: Any) -> None:
    recognizer = fake("raise_at=1")
    recognizer.transcribe(clips[:1])
    with pytest.raises(RecognizerError, match="utterance 1"):
        recognizer.transcribe(clips[1:2])
    assert len(recognizer.transcribe(clips[2:])) == 1


def test_it_can_leave_out_an_answer_fail_to_load_and_run_as_something_else(clips: Any) -> None:
    assert len(fake("miscount_at=1").transcribe(clips)) == 2
    with pytest.raises(RecognizerError, match="loading"):
        fake("fail_load=true")
    audit = fake("runs_as=fp16").audit()
    assert (audit.requested, audit.ok, audit.weight_bytes) == ("fp32", False, {"float16": 2000})


def test_memory_is_allocated_and_freed(clips: Any) -> None:
    recognizer = fake("allocate_at=0&allocate_bytes=1000000")
    recognizer.transcribe(clips)
    assert sum(block.nbytes for block in recognizer._hoard) == 3_000_000
    recognizer.close()
    assert not recognizer._hoard


@pytest.mark.parametrize(("option", "status"), [("exit_at", 3), ("kill_at", -9)])
def test_it_ends_the_process(option: str, status: int) -> None:
    code = (
        "import numpy as np; from wattscribe.recognizers import *; "
        f"open_recognizer(parse_model('fake:x?{option}=1')).transcribe([np.ones(9, np.float32)] * 2)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == status


def test_it_hangs() -> None:
    code = (
        "import numpy as np; from wattscribe.recognizers import *; r = open_recognizer(parse_model('fake:x?hang_at=0')); "
        "print('loaded', flush=True); r.transcribe([np.ones(9, np.float32)])"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "loaded\n"
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(0.5)
    worker.kill()
    worker.wait()
    worker.stdout.close()


def test_streaming_reveals_words_as_they_are_heard() -> None:
    audio = babble(2.0, 5)
    recognizer = fake("", references=References([(audio, "a b c d")]))
    assert isinstance(recognizer, StreamingRecognizer)
    stream = recognizer.stream()
    partials = []
    for start in range(0, len(audio), 4000):
        stream.accept(audio[start : start + 4000])
        partials.append(stream.partial().text)
    assert partials == ["a", "a", "a b", "a b", "a b c", "a b c", "a b c d", "a b c d"]
    assert stream.finish() == recognizer.transcribe([audio])[0]
    with pytest.raises(RecognizerError, match="finished"):
        stream.accept(audio)


def test_references_come_from_a_corpus(tmp_path: Path, clips: Any) -> None:
    import json

    import soundfile

    lines = []
    for index, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{index}.flac", clip, 16_000)
        lines.append(
            json.dumps({"audio_filepath": f"{index}.flac", "text": f"text {index}", "speaker": "s", "duration": 1})
        )
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    recognizer = open_recognizer(parse_model(f"fake:x?corpus={tmp_path}"))
    heard = [soundfile.read(tmp_path / f"{index}.flac", dtype="float32")[0] for index in range(3)]
    assert [answer.text for answer in recognizer.transcribe(heard)] == ["text 0", "text 1", "text 2"]


def test_a_bad_option_is_named(clips: Any) -> None:
    with pytest.raises(InputError, match="latency='slow'"):
        fake("latency=slow").transcribe(clips)
