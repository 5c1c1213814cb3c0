"""A transcription server as a recognizer, on servers that behave and that do not."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import closing
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recognizers.documented import files
from wattscribe.errors import InputError, RecognizerError
from wattscribe.recognizers import endpoint, open_recognizer, parse_model
from wattscribe.recognizers.address import KEY, read
from wattscribe.testing.contracts import babble

CLIP = babble(0.5, 1)


class Served(BaseHTTPRequestHandler):
    """Answers what `Server.answers` says, the last of it again and again, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts: Any = BytesParser().parsebytes(head + body).get_payload()
        form = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}
        self.server.asked.append((self.path, dict(self.headers), form, self.client_address))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


Handling = Callable[[Served], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Served)
        self.answers: list[Handling] = [text("hello")]
        self.asked: list[tuple[str, dict[str, str], dict[str, bytes], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what some tests are about."""


def text(words: str, **more: str) -> Handling:
    return lambda handler: handler.say(200, json.dumps({"text": words, **more}).encode())


def status(code: int, body: bytes = b"", **headers: str) -> Handling:
    return lambda handler: handler.say(code, body, **headers)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.setattr(endpoint, "FIRST_WAIT_S", 0.01)
    with Server() as served:
        threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
        yield served
        served.shutdown()


def heard(model: str, clip: Any = CLIP) -> str:
    with closing(open_recognizer(parse_model(model))) as recognizer:
        return recognizer.transcribe([clip])[0].text


def test_what_is_asked_is_what_the_api_defines(server: Server) -> None:
    server.answers = [text(" hallo ", language="german")]
    with closing(open_recognizer(parse_model(f"{server.url}?model=base&language=de&prompt=a%20b"))) as recognizer:
        first, second = recognizer.transcribe([CLIP, CLIP[:800]])
    assert (first.text, first.language) == ("hallo", "german")
    path, headers, form, _ = server.asked[0]
    assert path == "/v1/audio/transcriptions"
    assert "Authorization" not in headers
    fields = {name: value.decode() for name, value in form.items() if name != "file"}
    assert fields == {
        "model": "base", "response_format": "json", "temperature": "0", "language": "de", "prompt": "a%20b",
    }  # fmt: skip
    with wave.open(io.BytesIO(form["file"])) as sent:
        assert (sent.getframerate(), sent.getnchannels(), sent.getsampwidth()) == (16_000, 1, 2)
        samples = np.frombuffer(sent.readframes(sent.getnframes()), "<i2")
    np.testing.assert_allclose(samples / 32768, CLIP, atol=1 / 32768)
    with wave.open(io.BytesIO(server.asked[1][2]["file"])) as sent:
        assert sent.getnframes() == 1600, "0.05 s are padded to 0.1 s"
    assert server.asked[0][3] == server.asked[1][3], "one connection is kept"
    assert second.text == "hallo"


def test_plain_text_is_read_as_it_is(server: Server) -> None:
    server.answers = [status(200, '"grün"\n'.encode())]
    assert heard(f"{server.url}?response_format=text") == '"grün"'


def test_a_server_that_closes_each_connection_serves_all(server: Server) -> None:
    """Between two requests, without a word: the request is sent again, which is no retry."""

    def once(handler: Served) -> None:
        handler.say(200, b'{"text": "x"}')
        handler.close_connection = True

    server.answers = [once]
    with closing(open_recognizer(parse_model(f"{server.url}?retries=0"))) as recognizer:
        assert [each.text for each in recognizer.transcribe([CLIP] * 3)] == ["x"] * 3
        assert "repeated" not in str(recognizer.audit().note)


def test_what_the_server_could_not_take_is_repeated_and_counted(server: Server) -> None:
    server.answers = [status(503), status(429, Retry_After="0"), text("at last")]
    with closing(open_recognizer(parse_model(server.url))) as recognizer:
        assert recognizer.transcribe([CLIP])[0].text == "at last"
        assert "2 requests were repeated" in str(recognizer.audit().note)


REFUSALS = {
    400: ("answered 400: too short", b'{"error": {"message": "too short", "type": "x"}}'),
    401: ("refuses the key (401: no key)", b'{"error": "no key"}'),
    404: ("no endpoint or no such model (404: model m does not exist)", b'{"detail": "model m does not exist"}'),
    500: ("answered 500: <html> down", b"<html>\ndown"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_is_one_line_with_the_servers_reason(code: int, server: Server) -> None:
    words, body = REFUSALS[code]
    server.answers = [status(code, body)]
    with pytest.raises(RecognizerError) as caught:
        heard(f"{server.url}?retries=1")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == (2 if code == 500 else 1)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirections_are_named_and_not_followed(code: int, server: Server) -> None:
    with Server() as elsewhere:
        server.answers = [status(code, Location=elsewhere.url)]
        with pytest.raises(RecognizerError, match=f"redirects to {elsewhere.url}"):
            heard(server.url)
        assert not elsewhere.asked


@pytest.mark.parametrize(
    ("body", "why"),
    [(b"hello", "no transcript: hello"), (b'{"words": 1}', "no transcript"), (b'{"text": null}', "no transcript"),
     (b'["a"]', "no transcript"), (b'{"text": "\\ud800"}', "no transcript"), (b"\xff", "no transcript"),
     (b"x" * 5_000_000, "longer than 4 MiB")],
)  # fmt: skip
def test_an_answer_that_is_none(body: bytes, why: str, server: Server) -> None:
    server.answers = [status(200, body)]
    with pytest.raises(RecognizerError, match=why):
        heard(f"{server.url}?retries=0")


def hang(handler: Served) -> None:
    time.sleep(30)


def dribble(handler: Served) -> None:
    """A byte now and then is not silence, and takes too long all the same."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(300):
        handler.wfile.write(b" ")
        time.sleep(0.1)


@pytest.mark.parametrize("handling", [hang, dribble])
def test_one_that_takes_too_long_is_not_asked_again(handling: Handling, server: Server) -> None:
    server.answers = [handling]
    before_s = time.monotonic()
    with pytest.raises(RecognizerError, match=r"no answer for 0\.5 s"):
        heard(f"{server.url}?timeout_s=0.5")
    assert time.monotonic() - before_s < 20
    assert len(server.asked) == 1


def test_longer_audio_has_more_time_on_the_same_connection(server: Server) -> None:
    def slow(handler: Served) -> None:
        time.sleep(0.0 if len(server.asked) == 1 else 2.0)
        handler.say(200, b'{"text": "x"}')

    server.answers = [slow]
    with closing(open_recognizer(parse_model(f"{server.url}?timeout_s=1"))) as recognizer:
        assert len(recognizer.transcribe([CLIP, np.zeros(16_000 * 300, np.float32)])) == 2


def test_nothing_there_is_said(server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(RecognizerError, match="nothing answers at this address"):
        heard(f"{server.url}?retries=1")


def test_the_key_comes_from_the_environment_and_shows_nowhere(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    spec = parse_model(f"{server.url}?key_env=MY_KEY")
    server.answers = [text("x"), status(401, b"denied")]
    with closing(open_recognizer(spec)) as recognizer:
        recognizer.transcribe([CLIP])
        assert server.asked[0][1]["Authorization"] == "Bearer sk-secret"
        with pytest.raises(RecognizerError) as caught:
            recognizer.transcribe([CLIP])
        assert "sk-secret" not in f"{caught.value} {spec} {recognizer.audit()}"
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(InputError, match="MY_KEY is not set"):
        open_recognizer(spec)


@pytest.mark.parametrize("address", ["http://192.0.2.1/v1", "http://asr.example/v1"])
def test_a_key_is_not_sent_in_the_clear(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-secret")
    with pytest.raises(InputError, match="unencrypted") as caught:
        open_recognizer(parse_model(address))
    assert "sk-secret" not in str(caught.value)
    open_recognizer(parse_model(address.replace("http:", "https:"))).close()
    monkeypatch.delenv(KEY)
    open_recognizer(parse_model(address)).close()


ADDRESSES = {
    "http://localhost:8000/v1": "http://localhost:8000/v1/audio/transcriptions",
    "http://localhost": "http://localhost:80/audio/transcriptions",
    "https://api.openai.com/v1/": "https://api.openai.com:443/v1/audio/transcriptions",
    "http:localhost:8000": "http://localhost:8000/audio/transcriptions",
    "http:https://a.example/v1/audio/transcriptions": "https://a.example:443/v1/audio/transcriptions",
    "http://[::1]:8000": "http://[::1]:8000/audio/transcriptions",
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_is_named_as_clients_name_it(name: str) -> None:
    spec = parse_model(name)
    assert str(read(spec.runtime, spec.model)) == ADDRESSES[name]


@pytest.mark.parametrize(
    ("name", "why"),
    [("http://", "no address"), ("http://:80", "no address"), ("http://a:99999", "no address"), ("http:ftp://a", "no address"),
     ("http://user:s3cret@a/v1", "journal"),
     ("http://user:s3cret@a:99999", "no address"),
     ("http://a b/", "no address"), ("http:", "no model"), ("http://[::1", "no address")],
)  # fmt: skip
def test_what_is_no_address_is_refused_before(name: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        parse_model(name)
    assert "s3cret" not in str(caught.value)


def test_the_documented_server_answers(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(files("docs/any-recognizer.md")["server.py"].replace("8137", "8138"))
    with subprocess.Popen([sys.executable, "server.py"], cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            assert heard("http://127.0.0.1:8138/v1?retries=8").endswith(" bytes")
        finally:
            process.kill()
