"""`report --watch`: the page on the loopback interface, for this machine and under its own name alone, anew with each verdict."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pages.browser import MISSING, Browser
from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run, store_run
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.journal import FILE_NAME, Journal
from wattscribe.journal_tail import standing
from wattscribe.pages.serving import PageServer, page_of
from wattscribe.records import TrialFacts

WHOLE = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=6))
FIRST, SECOND = WHOLE.trials


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """One of two trials has its verdict."""
    waiting = replace(SECOND, status="pending", utterances=(), traces=())
    return store_run(replace(WHOLE, trials=(FIRST, waiting)), tmp_path / "run")


def finish(run: Path, facts: TrialFacts = SECOND) -> None:
    with Journal.resume(run) as journal:
        attempt = journal.begin(facts.trial.id)
        journal.append(facts.trial.id, attempt, utterances=facts.utterances, traces=facts.traces)
        journal.finish(attempt, facts)


@contextlib.contextmanager
def served(run: Path) -> Iterator[PageServer]:
    with PageServer(run, page_of(run)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(
    server: PageServer, path: str = "/", *, host: str | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_host=host is not None)
        if host:
            connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def test_the_page_follows_the_run(run: Path) -> None:
    with served(run) as server:
        status, headers, before = ask(server)
        assert status == 200
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert b"The run goes on: 1 of 2 trials" in before
        assert b"connect-src 'self'" in before
        state = json.loads(ask(server, "/state")[2])
        assert not state["ended"]
        assert f'data-version="{state["version"]}"'.encode() in before
        assert ask(server)[2] == before, "it is made once for each state"
        finish(run)
        after = ask(server)[2]
        assert b"The run is complete: 2 trials." in after
        assert json.loads(ask(server, "/state")[2])["version"] != state["version"]
        assert ask(server, method="HEAD")[2] == b""


def test_a_failed_trial_is_another_state(run: Path) -> None:
    before = standing(run)
    assert (before.trials, before.done, before.failed, before.ended) == (2, 1, 0, False)
    finish(run, replace(SECOND, status="failed", reason="hung", utterances=(), traces=()))
    after = standing(run)
    assert (after.done, after.failed, after.ended) == (1, 1, True)
    assert after.version != before.version


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_another_name_is_refused(host: str, run: Path) -> None:
    """As it comes from a page of another site whose name was pointed at this machine."""
    with served(run) as server:
        for path in ("/", "/state"):
            status, _, body = ask(server, path, host=host.format(port=server.server_port))
            assert status == 403
            assert b"wattscribe" not in body
        assert ask(server, host=f"LocalHost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "path", ["/x", "/?a", "/../journal.sqlite", "/journal.sqlite", "/state/", "/report.html", "/%2e%2e/"]
)
def test_there_is_nothing_else(path: str, run: Path) -> None:
    with served(run) as server:
        assert ask(server, path)[0] == 404
        assert ask(server, method="POST")[0] == 501


def test_it_listens_on_loopback_alone(run: Path) -> None:
    with served(run) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_a_run_that_cannot_be_read_for_a_moment_is_said_and_served_again(run: Path) -> None:
    with served(run) as server:
        (run / FILE_NAME).rename(run / "away")
        status, headers, body = ask(server)
        assert status == 503
        assert headers["Content-Type"].startswith("text/plain")
        assert b"there is no run here" in body
        (run / "away").rename(run / FILE_NAME)
        assert ask(server)[0] == 200


def test_what_cannot_be_served_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(run) as server, pytest.raises(InputError, match=f"port {server.server_port} cannot be used"):
        PageServer(run, page_of(run), port=server.server_port)
    for arguments, said in {
        ("--watch", "--port", "70000"): "no port 70000",
        ("--watch", "--format", "md"): "writes nothing",
        ("--watch", "--out", "x.html"): "writes nothing",
        ("--port", "8000"): "Add --watch",
    }.items():
        assert main(["report", str(run), *arguments]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert main(["report", str(tmp_path / "none"), "--watch"]) == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_order(number: signal.Signals, status: int, run: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "wattscribe", "report", str(run), "--watch"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=60)
    connection.request("GET", "/state")
    assert connection.getresponse().status == 200
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err.count("\n") == 1
    assert "Traceback" not in err
    with pytest.raises(ConnectionError):
        http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=5).request("GET", "/")


def test_a_page_that_is_not_served_asks_nobody(run: Path) -> None:
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "connect-src" not in page
    assert 'fetch("/state"' not in page


@pytest.mark.browser
@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_a_browser_shows_the_next_trial_by_itself(run: Path, tmp_path: Path) -> None:
    rows = "return document.querySelectorAll('#table tbody tr').length"
    said = "return document.querySelector('#watch').textContent"
    with served(run) as server, Browser(tmp_path / "profile") as browser:
        browser.open(server.url)
        assert browser.logs() == []
        assert "1 of 2 trials" in browser.run(said)
        before = browser.run(rows)
        finish(run)
        deadline_s = time.monotonic() + 60
        while "complete" not in browser.run(said):
            assert time.monotonic() < deadline_s, "the page did not follow"
            time.sleep(0.3)
        assert browser.run(rows) >= before
        assert browser.run("return document.querySelectorAll('#wer-bars .point path').length") == 2
        assert browser.logs() == []
        server.shutdown()
        server.server_close()
        while "no longer served" not in browser.run(said):
            assert time.monotonic() < deadline_s + 60, "the page does not say that its server has gone"
            time.sleep(0.3)
