"""`--json` and `--quiet` in every verb alike: one document that its schema describes; the result alone."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.documents import described
from tests.stored_runs import CLEAN, MODELS, made_up_run, store_run
from wattscribe.cli import VERBS, main
from wattscribe.cli.schemas import CONTRACTS, text
from wattscribe.corpora.open import BUNDLED_DIRECTORY
from wattscribe.schemas import names

Given = tuple[Path, pytest.MonkeyPatch]
Case = Callable[[Path, pytest.MonkeyPatch], list[str]]


def bench(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    return ["bench", "--model", "fake:a", "--data", "bundled", "--limit", "2", "--out", str(folder / "run")]


def stored(folder: Path) -> str:
    return str(store_run(made_up_run(models=MODELS[:1], conditions=(CLEAN,)), folder / "stored"))


def report(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    return ["report", stored(folder)]


def compare(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    return ["compare", stored(folder), stored(folder / "new"), "--max-wer-increase", "5"]


def demo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Its eight steps take a minute: tests/cli/test_demo.py plays them. Here one of them is, and two figures are judged."""
    from wattscribe.cli import demo
    from wattscribe.testing import demonstration
    from wattscribe.testing.demonstration import Check

    first = demonstration.steps("orin-nano", folder / "demo")[:1]
    monkeypatch.setattr(demonstration, "steps", lambda board, out: first)
    found = [
        Check(what="a", unit="J", estimate=1.0, ci95=(0.5, 1.5), truth=1.2),
        Check(what="b", unit="W", estimate=None, ci95=None, truth=1.2, reason="no sensor"),
    ]
    monkeypatch.setattr(demo, "checks", lambda out: found)
    return ["demo", "--out", str(folder / "demo")]


def measure(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    return ["measure", "--idle", "0", "--root", str(folder), "--", "true"]


def meters(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    from tests.docs.given import usb

    usb(folder / "usb.txt")
    return ["meters", "--root", str(folder), "--recording", str(folder / "usb.txt")]


def attach(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    from tests.journals import sample

    made = sample(folder)
    return ["meters", "attach", str(made.good), str(made.recording)]


def data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    def get(name: str, out: Path, **_: Any) -> Path:
        return out / name

    monkeypatch.setattr("wattscribe.corpora.get.get", get)
    return ["data", "get", "librispeech:test-clean", "--out", str(folder)]


def transcribe(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    shutil.copy(BUNDLED_DIRECTORY / "audio" / "slt-00.flac", folder / "a.flac")
    return ["transcribe", "reference", str(folder / "a.flac")]


def profile(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    return [
        "profile",
        "arch:emformer-rnnt-base",
        "--vocab",
        "4097",
        "--battery-wh",
        "15",
        "--page",
        str(folder / "p.html"),
    ]


def devices(_: Path, __: pytest.MonkeyPatch) -> list[str]:
    return ["devices"]


def calibrate(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    from tests.energy.runs import write_run
    from tests.energy.test_calibrate import TRUTH

    return ["calibrate", str(write_run(folder / "sim", TRUTH)), "--out", str(folder / "mine.toml")]


def correct(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    from tests.metering.test_correction import RAIL, run_with

    run = run_with(folder / "run", (5.0, 6.5, 8.0))
    return ["calibrate", str(run), "--rail", RAIL, "--out", str(folder / "pi5.toml")]


def train(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    from tests.training import test_experiment as experiments

    recipe = inspect.unwrap(getattr(experiments.recipe, "__wrapped__", experiments.recipe))
    return ["train", str(recipe(folder, monkeypatch)), "--out", str(folder / "out")]


def export(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    from tests.training.conftest import SENTENCES
    from tests.training.test_export import varied_model
    from wattscribe.training.checkpoint import save_model
    from wattscribe.training.tokens import characters

    vocabulary = characters(SENTENCES)
    save_model(folder / "model", varied_model(len(vocabulary)), vocabulary, {})
    return ["export", str(folder / "model"), "--out", str(folder / "out"), "--precision", "fp32"]


def completion(_: Path, __: pytest.MonkeyPatch) -> list[str]:
    return ["completion", "bash"]


def compress(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    from tests.compression import builders

    model = builders.build(folder / "model")
    dev = builders.corpus(folder / "dev", model, count=8)
    (folder / "recipe.toml").write_text(RECIPE.replace("MODEL", str(model)), encoding="utf-8")
    limits = ["--max-wer-increase", "20", "--calibration-s", "8", "--probe-s", "4"]
    speech = ["--data", str(dev), "--unlabelled", str(dev), "--device", "wearable"]
    return [
        "compress",
        str(model),
        "-o",
        str(folder / "out"),
        "--recipe",
        str(folder / "recipe.toml"),
        *speech,
        *limits,
    ]


def fleet(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    pytest.importorskip("distributed", reason="the extra `fleet` is not installed")
    (folder / "e.toml").write_text("models = ['fake:a']\ndata = ['bundled']\nlimit = 2\nidle_s = 0\n", encoding="utf-8")
    (folder / "boards.toml").write_text("[[boards]]\nlabel = 'one'\n[[boards]]\nlabel = 'two'\n", encoding="utf-8")
    out = ["--hosts", str(folder / "boards.toml"), "--out", str(folder / "fleet")]
    return ["fleet", "run", str(folder / "e.toml"), *out]


def tune(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    (folder / "s.toml").write_text(SPACE, encoding="utf-8")
    return ["tune", str(folder / "s.toml"), "--out", str(folder / "t"), "--minimise", "cpu_s", "--budget", "100%"]


SPACE = """
data = ["bundled"]
[[models]]
model = "fake:a"
threads = [1, 2]
"""
RECIPE = """
schema = 1
model = "MODEL"
device = "wearable"
[[step]]
kept = true
lever = "int8"
component = "joiner"
reason = "a step of eight bits"
"""
CASES: dict[str, tuple[str, Case]] = {
    "bench": ("report", bench), "report": ("report", report), "compare": ("compare", compare), "demo": ("demo", demo),
    "measure": ("measure", measure), "meters": ("meters", meters), "meters attach": ("attach", attach),
    "data get": ("data", data), "transcribe": ("transcribe", transcribe), "profile": ("profile", profile),
    "devices": ("devices", devices), "calibrate": ("calibrate", calibrate), "calibrate --rail": ("correction", correct),
    "train": ("train", train), "export": ("export", export), "compress": ("compress", compress),
    "completion": ("completion", completion), "fleet run": ("fleet", fleet), "tune": ("tune", tune),
}  # fmt: skip
ON_STDERR = ("measure",)
"""Standard output is the measured command's own."""


def test_no_verb_is_left_out() -> None:
    assert {name.split()[0] for name in CASES} == set(VERBS)
    assert {name for name, _ in CASES.values()} == set(CONTRACTS) == set(names())


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_a_shipped_schema_is_what_the_types_make(name: str) -> None:
    import wattscribe.schemas

    shipped = Path(wattscribe.schemas.__file__).parent / f"{name}.json"
    assert shipped.read_text(encoding="utf-8") == text(name), "make schemas"


@pytest.mark.parametrize("verb", CASES)
def test_json_is_one_document_and_quiet_is_the_result_alone(
    verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    contract, case = CASES[verb]
    printed = {}
    for number, flags in enumerate(((), ("--quiet",), ("--json",), ("--json", "--quiet"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as monkeypatch:
            arguments = case(folder, monkeypatch)
            at = 2 if verb in ("meters attach", "data get", "fleet run") else 1
            capfd.readouterr()
            assert main([*arguments[:at], *flags, *arguments[at:]]) == 0, capfd.readouterr()
        printed[flags] = capfd.readouterr()
    for flags in (("--json",), ("--json", "--quiet")):
        answer = printed[flags].err if verb in ON_STDERR else printed[flags].out
        for document in answer.splitlines() if verb == "transcribe" else (answer,):
            described(contract, json.loads(document))
    if verb not in ON_STDERR:
        assert printed["--quiet",].err == printed["--json", "--quiet"].err == ""
    assert len(printed["--quiet",].out) <= len(printed[()].out)
    assert printed["--quiet",].out or verb in ON_STDERR, "the result stays"


@pytest.mark.parametrize("verb", sorted({name.split(" --")[0] for name in CASES}))
def test_both_are_offered_under_the_same_names_with_the_same_words(verb: str) -> None:
    app = import_module(f"wattscribe.cli.{verb.split()[0]}").app
    command = app[verb.split()[1]] if " " in verb else app
    found = {argument.names: argument.parameter.help for argument in command.assemble_argument_collection()}
    assert found["--json",] == "Print JSON instead; its schema: wattscribe.schemas."
    assert found["--quiet", "-q"] == "Print the result alone: no progress, no hints."
