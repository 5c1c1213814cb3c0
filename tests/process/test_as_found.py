"""Every verb and every recognizer, each in a process of its own: what it changes, says and sends, and what it keeps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.compression import builders
from wattscribe.as_found import TELEMETRY_OFF, as_found

ROOT = Path(__file__).resolve().parents[2]
LINGERS_S = 14.0
"""onnxruntime 1.31 opens its connections 10 s after it is loaded."""
NEEDS = {
    "hf": "transformers", "ct2": "faster_whisper", "sherpa": "sherpa_onnx", "pocketsphinx": "pocketsphinx", "search": "optuna",
    "everything": "transformers", "moonshine": "moonshine_voice", "onnx-asr": "onnx_asr", "vosk": "vosk",
    "openvino": "openvino_genai",
}  # fmt: skip
RECOGNIZERS = (
    "fake", "onnx", "sherpa", "pocketsphinx", "ct2", "hf", "hf int8", "moonshine", "onnx-asr", "vosk", "openvino",
)  # fmt: skip
VERBS = ("profile", "profile hf", "transcribe", "transcribe api", "search", "bench", "report", "compare")
Job = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a job leaves behind."""

    changes: list[list[str]]
    said: str
    """On standard error."""
    calls: str | None
    """Of the network, from strace; None: it cannot trace here."""
    written: list[str]
    """Below the home directory, our own graphs excepted."""

    @property
    def connections(self) -> list[str]:
        """What leaves this machine, or lets in. A datagram socket without either asks for the machine's own addresses, as the
        names of onnx's temporary files do (uuid1); a stream that is bound to no port of this machine and closed asks whether
        there is IPv6, as urllib3 does when it is imported."""
        calls = re.sub(r".*socket\(AF_INET6, SOCK_STREAM.*\n.*bind\(.*htons\(0\).*\"::1\".*\n", "", self.calls or "")
        return re.findall(r".*(?:socket\(AF_INET6?, SOCK_STREAM|(?:connect|bind|send\w+)\(.*AF_INET).*", calls)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy transducer, and speech that it knows."""
    root = tmp_path_factory.mktemp("speech")
    builders.corpus(root / "dev", builders.build(root / "toy"), count=3)
    return root


@pytest.fixture(scope="module")
def jobs(
    request: pytest.FixtureRequest, speech: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[Job]]:
    """What is to be done for a name; models and runs are made when they are first asked for."""

    def recognize(model: str, **keys: Any) -> list[Job]:
        return [{"do": "recognize", "model": model, **keys}]

    def api(verb: str, *args: Any, **options: Any) -> list[Job]:
        return [
            {"do": verb, "args": [str(each) if isinstance(each, Path) else each for each in args], "options": options}
        ]

    def checkpoint(family: str) -> str:
        return f"hf:{request.getfixturevalue('checkpoint')(family)}"

    def run() -> Path:
        from wattscribe import api as verbs

        out = tmp_path_factory.mktemp("runs") / "run"
        verbs.bench({"models": [f"fake:a?corpus={speech / 'dev'}"], "data": [str(speech / "dev")]}, out)
        return out

    def bench(*models: str) -> list[Job]:
        return api(
            "bench",
            {"models": models, "data": [str(speech / "dev")]},
            tmp_path_factory.mktemp("out") / "run",
            overwrite=True,
        )

    made: dict[str, Callable[[], list[Job]]] = {
        "fake": lambda: recognize("fake:x"),
        "onnx": lambda: recognize("onnx:reference"),
        "sherpa": lambda: recognize(f"sherpa:{request.getfixturevalue('sherpa_model')('online zipformer2 ctc')}"),
        "pocketsphinx": lambda: recognize("pocketsphinx:en-us"),
        "ct2": lambda: recognize(f"ct2:{request.getfixturevalue('ct2_model')}?beam=1&vad=true"),
        "hf": lambda: recognize(checkpoint("whisper")),
        "hf int8": lambda: recognize(checkpoint("wavlm"), precision="int8"),
        "moonshine": lambda: recognize(f"moonshine:{request.getfixturevalue('moonshine_streaming_model')}"),
        "onnx-asr": lambda: recognize(f"onnx-asr:{request.getfixturevalue('onnx_asr_model')('nemo-conformer-tdt')}"),
        "vosk": lambda: recognize(f"vosk:{request.getfixturevalue('vosk_model')}"),
        "openvino": lambda: recognize(f"openvino:{request.getfixturevalue('openvino_model')}"),
        "profile": lambda: [{"do": "command", "arguments": ["profile", "reference", "--data", str(speech / "dev")]}],
        "profile hf": lambda: api("profile", checkpoint("whisper")),
        "transcribe": lambda: [{"do": "command", "arguments": ["transcribe", "reference", str(speech / "dev/0.wav")]}],
        "transcribe api": lambda: api("transcribe", "onnx:reference", [str(speech / "dev/0.wav")]),
        "search": lambda: api(
            "compress", speech / "toy", tmp_path_factory.mktemp("out") / "small", data=[str(speech / "dev")],
            unlabelled=[str(speech / "dev")], strategy="search", trials=2, max_wer_increase_points=50.0, calibration_s=2.0,
            probe_s=2.0, overwrite=True,
        ),
        "bench": lambda: bench("onnx:reference", "fake:b"),
        "report": lambda: api("report", run()),
        "compare": lambda: api("compare", (once := run()), once),
    }  # fmt: skip
    made["everything"] = lambda: [job for name in (*RECOGNIZERS, "profile", "bench") for job in made[name]()]
    return lambda name: made[name]()


@pytest.fixture(scope="module")
def left(jobs: Callable[[str], list[Job]], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Left]:
    """Do a job, once, in a process of its own with an empty home directory."""
    found: dict[str, Left] = {}

    def get(name: str, **keys: Any) -> Left:
        needed = NEEDS.get(name.partition(" ")[0])
        if needed is not None and find_spec(needed) is None:
            pytest.skip(f"needs the package {needed}")
        if name not in found:
            found[name] = _do({"jobs": jobs(name), **keys}, tmp_path_factory.mktemp("process"))
        return found[name]

    return get


def _do(job: Job, folder: Path) -> Left:
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    # Nothing that libraries read as "do not report": CI, for one.
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "LANG": "C.UTF-8",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.process.leaves", json.dumps(job), str(folder / "changes.json")]
    traced = _tracer(folder / "calls")
    done = subprocess.run(
        [*traced, *command],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return Left(
        changes=json.loads((folder / "changes.json").read_text()),
        said=done.stderr,
        calls=(folder / "calls").read_text() if traced else None,
        written=[
            str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and "wattscribe" not in path.parts
        ],
    )


def _tracer(log: Path) -> list[str]:
    """strace, where the system lets it trace."""
    strace = shutil.which("strace")
    if strace is None:
        return []
    command = [strace, "-f", "-qq", "-e", "trace=network", "-e", "signal=none", "-o", str(log)]
    works = subprocess.run([*command, sys.executable, "-c", ""], capture_output=True).returncode == 0
    return command if works else []


@pytest.mark.parametrize("name", [*RECOGNIZERS, *VERBS])
def test_the_process_is_left_as_it_was_found(name: str, left: Callable[..., Left]) -> None:
    assert left(name).changes == []


@pytest.mark.parametrize("name", [*RECOGNIZERS, *VERBS])
def test_warnings_of_libraries_do_not_reach_the_user(name: str, left: Callable[..., Left]) -> None:
    assert left(name).said == ""


@pytest.mark.parametrize("name", [*RECOGNIZERS, *VERBS])
def test_nothing_phones_home(name: str, left: Callable[..., Left]) -> None:
    found = left(name)
    assert found.written == []
    if found.calls is None:
        pytest.skip("strace is not installed, or may not trace here")
    assert found.connections == []


def test_nothing_phones_home_later_either(left: Callable[..., Left]) -> None:
    found = left("everything", stay_s=LINGERS_S, runs=["fresh"])
    assert found.written == []
    if found.calls is None:
        pytest.skip("strace is not installed, or may not trace here")
    assert found.connections == []


def test_the_tracer_sees_sockets(tmp_path: Path) -> None:
    """Else the tests above would show nothing."""
    traced = _tracer(tmp_path / "calls")
    if not traced:
        pytest.skip("strace is not installed, or may not trace here")
    asks = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
    subprocess.run([*traced, sys.executable, "-c", asks], check=True)
    assert Left(changes=[], said="", calls=(tmp_path / "calls").read_text(), written=[]).connections


def test_a_closed_recognizer_gives_its_memory_back() -> None:
    """Measured on the shipped model: 37 MB more than before it was opened where nothing is given back, 2 MB where it is."""
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this kernel does not say what is resident")
    code = (
        "import numpy, onnxruntime\n"
        "from wattscribe.recognizers import open_recognizer, parse_model\n"
        "def resident_mb():\n"
        "    lines = open('/proc/self/smaps_rollup').read().split('\\n')\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('Pss:')) / 1000\n"
        "before = resident_mb()\n"
        "recognizer = open_recognizer(parse_model('onnx:reference'))\n"
        "recognizer.transcribe([numpy.zeros(80_000, numpy.float32)])\n"
        "opened = resident_mb()\n"
        "recognizer.close()\n"
        "print(before, opened, resident_mb())\n"
    )
    environment = {**os.environ, **TELEMETRY_OFF, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    before, opened, closed = map(float, done.stdout.split())
    assert opened - before > 20
    assert closed - before < 12


def test_several_threads_at_once_leave_the_process_as_the_first_found_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that came first leaves first: what it saw is put back when the last one leaves."""
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    filters, inside, may_leave = list(warnings.filters), threading.Event(), threading.Event()

    def second() -> None:
        with as_found():
            inside.set()
            may_leave.wait(30)

    other = threading.Thread(target=second)
    with as_found():
        other.start()
        assert inside.wait(30)
        warnings.filterwarnings("ignore", message="a library's own")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    may_leave.set()
    other.join()
    assert "ORT_DISABLE_TELEMETRY" not in os.environ
    assert list(warnings.filters) == filters


def test_errors_of_libraries_do_reach_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    code = (
        "import logging\nfrom wattscribe.as_found import as_found\n"
        "with as_found():\n"
        "    logging.getLogger('torch').error('no such kernel')\n"
        "    logging.getLogger('torch').warning('deprecated')\n"
        "    logging.getLogger('wattscribe.metering').warning('the sensor broke')\n"
        "    logging.warning('advice')\n"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True)
    assert capfd.readouterr().err.split("\n") == ["no such kernel", "the sensor broke", ""]
