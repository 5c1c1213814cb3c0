"""Commands as recognizers: what they are told and answer, how they fail, and that they end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recognizers.documented import written
from wattscribe.errors import InputError, RecognizerError
from wattscribe.recognizers import StreamingRecognizer, open_recognizer, parse_model
from wattscribe.recognizers.latency import hear
from wattscribe.testing.contracts import babble

CLIP = babble(0.5, 1)
Scripted = Callable[..., str]
BEGIN = "import base64, json, os, sys, time\nfor line in sys.stdin:\n    request = json.loads(line)\n    "


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    """A model's name: Python that handles each request, and options."""

    def name(handling: str, query: str = "", *, before: str = BEGIN) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        path.write_text(before + handling + "\n")
        return f"cmd:{sys.executable} {path}{query}"

    return name


def say(answer: str) -> str:
    return f"print(json.dumps({answer}), flush=True)"


SAY_X = say('{"text": "x"}')


def heard(model: str, *clips: Any) -> list[str]:
    with closing(open_recognizer(parse_model(model))) as recognizer:
        return [recognizer.transcribe([clip])[0].text for clip in clips or (CLIP,)]


def running(marker: str) -> bool:
    return any(
        marker in path.read_bytes().decode("utf-8", "replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if _is_readable(path)
    )


def _is_readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def gone(marker: str) -> bool:
    """In time: whoever was killed may take a moment."""
    until_s = time.monotonic() + 20
    while (there := running(marker)) and time.monotonic() < until_s:
        time.sleep(0.05)
    return not there


@pytest.mark.parametrize("command", ["python3 asr.py", "sh asr.sh"])
def test_the_documented_commands_answer(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written("docs/any-recognizer.md", tmp_path))
    wanted = {"python3 asr.py": ["0.5 seconds", "0.2 seconds"], "sh asr.sh": ["16044 bytes", "6444 bytes"]}
    assert heard(f"cmd:{command}", CLIP, CLIP[:3200]) == wanted[command]


def test_samples_arrive_as_they_are(scripted: Scripted, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    keeps = f"open({str(keep)!r}, 'wb').write(base64.b64decode(request['samples'])); "
    handling = keeps + say('{"text": request["audio_s"].hex()}')
    assert heard(scripted(handling, "?audio=samples")) == [(0.5).hex()]
    np.testing.assert_array_equal(np.frombuffer(keep.read_bytes(), "<f4"), CLIP)


def test_a_wav_file_of_16_bit_speech_is_the_same_speech(tmp_path: Path) -> None:
    import soundfile

    from wattscribe.recognizers.wav import wav_file

    whole = np.array([-32768, -1, 0, 1, 32767], np.int16)
    (tmp_path / "a.wav").write_bytes(wav_file((whole / 32768).astype(np.float32)))
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], whole)


def test_language_and_tokens_are_taken_and_partials_passed_over(scripted: Scripted) -> None:
    tokens = '[{"text": "ein", "start_s": 0.1}, {"text": "s", "start_s": 0.2, "log_probability": -1}]'
    answer = f'{{"id": request["id"], "text": " eins ", "language": "de", "tokens": {tokens}}}'
    model = scripted(say('{"partial": "ei"}') + "; " + say(answer))
    with closing(open_recognizer(parse_model(model))) as recognizer:
        (transcript,) = recognizer.transcribe([CLIP])
    assert (transcript.text, transcript.language) == ("eins", "de")
    assert [(token.text, token.start_s, token.log_probability) for token in transcript.tokens] == [
        ("ein", 0.1, None), ("s", 0.2, -1.0),
    ]  # fmt: skip


STREAMED = (
    "import json, sys\nheard = {}\nfor line in sys.stdin:\n    request = json.loads(line)\n"
    "    heard[request['id']] = heard.get(request['id'], 0) + request['audio_s']\n    text = f\"{heard[request['id']]:.1f}\"\n"
    "    print(json.dumps({'text' if request['last'] else 'partial': text}), flush=True)"
)


def test_one_that_takes_pieces_streams(scripted: Scripted) -> None:
    with closing(open_recognizer(parse_model(scripted(STREAMED, "?stream=true", before="")))) as recognizer:
        assert isinstance(recognizer, StreamingRecognizer)
        transcript, latency = hear(recognizer, CLIP, time.monotonic)
        assert transcript.text == "0.5"
        assert latency.partials == 5
        first = recognizer.stream()
        recognizer.stream().accept(CLIP)
        with pytest.raises(RecognizerError, match="another stream"):
            first.accept(CLIP)
        assert recognizer.transcribe([CLIP])[0].text == "0.5"


def test_loading_is_waited_for_where_it_is_announced(scripted: Scripted) -> None:
    ready = "import json, sys\nprint(json.dumps({'ready': True}), flush=True)\n" + BEGIN
    answers = say('{"text": "x"}')
    assert heard(scripted(answers, "?ready=60", before=ready), CLIP, CLIP) == ["x", "x"]
    assert heard(scripted(answers, before=ready)) == ["x"]
    with pytest.raises(RecognizerError, match=r"nothing for 0\.2 s"):
        heard(scripted(answers, "?ready=0.2"))


FAILURES = {
    "import sys; print('no model here', file=sys.stderr); sys.exit(3)": "exit status 3: no model here",
    "os.kill(os.getpid(), 11)": "signal SIGSEGV",
    "print('Loading…', flush=True)": "'Loading…', which is no JSON object",
    "print('[' * 100000, flush=True)": "no JSON object",
    "print('[1]', flush=True)": "no JSON object",
    say('{"texts": 1}'): 'neither "text" nor "partial"',
    say('{"text": 5}'): 'neither "text" nor "partial"',
    say('{"text": "\\ud800"}'): "cannot be read",
    say('{"text": "x", "tokens": [{"text": "x"}]}'): "cannot be read",
    say('{"text": "x", "id": 7}'): "answered request 7, 1 was asked",
    "sys.stdout.write('x' * 2000000); sys.stdout.flush(); time.sleep(60)": "more than 1 MiB",
    "os.close(1); time.sleep(0.1); sys.exit(5)": "exit status 5",
}


@pytest.mark.parametrize("handling", FAILURES)
def test_one_that_fails_is_one_line_with_its_last_words(handling: str, scripted: Scripted) -> None:
    with pytest.raises(RecognizerError) as caught:
        heard(scripted(handling, "?timeout_s=100"))
    assert FAILURES[handling] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_that_hangs_is_ended_and_named_with_its_last_words(scripted: Scripted) -> None:
    busy = "import json, sys\nprint('busy', file=sys.stderr, flush=True)\n" + say('{"ready": True}') + "\n" + BEGIN
    with pytest.raises(RecognizerError, match=r"said nothing for 0\.5 s: busy"):
        heard(scripted("time.sleep(99)", "?ready=100&timeout_s=0.5", before=busy))


def test_an_error_that_it_reports_leaves_it_running(scripted: Scripted) -> None:
    answer = '{"error": "too quiet"} if request["id"] == 1 else {"text": "yes"}'
    with closing(open_recognizer(parse_model(scripted(say(answer))))) as recognizer:
        with pytest.raises(RecognizerError, match="reports: too quiet"):
            recognizer.transcribe([CLIP])
        assert recognizer.transcribe([CLIP])[0].text == "yes"


def test_an_answer_too_many_is_not_taken_for_the_next_one(scripted: Scripted) -> None:
    at_once = """os.write(1, b'{"text": "x"}\\n' * 2)"""  # a pipe takes so few bytes whole
    with pytest.raises(RecognizerError, match="unasked"):
        heard(scripted(at_once), CLIP, CLIP)


def test_one_that_does_not_read_is_not_waited_for_without_end() -> None:
    with pytest.raises(RecognizerError, match=r"did not read its input for 0\.5 s"):
        heard("cmd:sleep 60?audio=samples&timeout_s=0.5", babble(10, 1))


@pytest.mark.parametrize(
    ("command", "why"),
    [("no-such-program-here x", "is no program here"), ("'a", "cannot be read"), ("'' x", "is no program"),
     ("a\nb", "no command")],
)  # fmt: skip
def test_what_cannot_be_started_is_refused_before(command: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_model(f"cmd:{command}")


def test_a_file_that_is_not_executable_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("asr.sh").write_text("")
    with pytest.raises(InputError, match="not executable"):
        parse_model("cmd:./asr.sh")


def test_a_script_finds_the_modules_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker, whose own Python must not: there the folder of a script is left out."""
    (tmp_path / "beside.py").write_text("TEXT = 'found'\n")
    (tmp_path / "main.py").write_text("import beside, json, sys\nfor _ in sys.stdin:\n    print(json.dumps({'text': beside.TEXT}), flush=True)\n")  # fmt: skip  # noqa: E501
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert heard(f"cmd:{sys.executable} {tmp_path / 'main.py'}") == ["found"]


@pytest.fixture
def grandchild(scripted: Scripted) -> Iterator[tuple[str, str]]:
    """A command that starts a sleeper which outlives it, and by which argument that is found."""
    marker = f"1{os.getpid()}{time.monotonic_ns() % 10**6}.5"
    yield (
        scripted(f"import subprocess; subprocess.Popen(['sleep', {marker!r}]); {SAY_X}; time.sleep(99)"),
        marker,
    )
    assert gone(marker)


def test_closing_ends_it_and_what_it_started(grandchild: tuple[str, str]) -> None:
    model, marker = grandchild
    recognizer = open_recognizer(parse_model(model))
    assert recognizer.transcribe([CLIP])[0].text == "x"
    assert running(marker)
    recognizer.close()
    assert gone(marker)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word on the death of a parent")
def test_it_dies_with_a_process_that_is_killed(tmp_path: Path) -> None:
    marker = f"9{os.getpid()}.25"
    script = tmp_path / "killed.py"
    script.write_text(
        "import os\nfrom wattscribe.recognizers import open_recognizer, parse_model\n"
        f"open_recognizer(parse_model('cmd:sleep {marker}'))\nprint('open', flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout == "open\n", done.stderr
    assert gone(marker)


def test_it_lives_on_when_the_thread_that_opened_it_ends(scripted: Scripted) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        recognizer = pool.submit(open_recognizer, parse_model(scripted(say('{"text": "x"}')))).result()
    with closing(recognizer):
        assert recognizer.transcribe([CLIP])[0].text == "x"
