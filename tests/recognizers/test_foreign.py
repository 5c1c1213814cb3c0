"""Recognizers and meters that others write: named by module and class, or registered by a package."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from wattscribe.errors import InputError, RecognizerError
from wattscribe.metering import discovery
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.testing import FakeRecognizer
from wattscribe.testing.contracts import BrokenPromiseError, MeterContract, RecognizerContract

DOCS = Path(__file__).parents[2] / "docs"


def documented(page: str, holds: str) -> str:
    """The Python block of a page that holds these words: what it tells others to write is what is tested."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    return next(str(block) for block in blocks if holds in block)


RECOGNIZER, METER = documented("recognizers.md", "class Parrot"), documented("meters.md", "class Constant")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that registers both, as an installer leaves it: a folder on the path with its metadata."""
    site = tmp_path / "site"
    info = site / "parrots-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "parrots.py").write_text(RECOGNIZER + METER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrots\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[wattscribe.recognizers]\nparrot = parrots:Parrot\nlost = parrots:Nobody\n"
        "[wattscribe.meters]\nconstant = parrots:Constant\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.delitem(sys.modules, "parrots", raising=False)
    return site


def bench(model: str, out: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wattscribe", "bench", "--model", model, "--data", "bundled", "--limit", "2", "--idle", "0",
         "--out", str(out)],
        cwd=cwd, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_class_in_the_working_directory_is_benched(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(RECOGNIZER)
    done = bench("python:mine:Parrot?word=s", tmp_path / "run", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "python:mine:Parrot" in done.stdout
    assert "100" in done.stdout, "all words are wrong"


def test_a_registered_runtime_is_a_runtime_like_ours(package: Path, tmp_path: Path) -> None:
    recognizer = open_recognizer(parse_model("parrot:any?word=s"))
    assert recognizer.transcribe([np.zeros(16_000, np.float32)])[0].text == "1.0 s"
    RecognizerContract(lambda: open_recognizer(parse_model("parrot:any"))).check()
    done = bench("parrot:any", tmp_path / "run", tmp_path)
    assert done.returncode == 0, done.stderr
    with pytest.raises(InputError, match="parrot:"):
        parse_model("nobody:any")


def test_a_registered_meter_is_found_and_read(package: Path) -> None:
    row = next(each for each in discovery.probe() if each.meter == "constant")
    assert (row.available, row.reason) == (True, "registered by parrots")
    meter = next(each for each in discovery.open_meters() if each.name == "constant")
    MeterContract(lambda: meter).check()
    assert not any(each.meter == "constant" for each in discovery.probe(package)), (
        "trees of other boards have none of it"
    )


def test_what_cannot_be_loaded_is_one_line(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half.py").write_text("def (\n")
    for model, error, said in (
        ("lost:any", InputError, "the runtime lost: of the package parrots cannot be loaded"),
        ("python:nowhere:Thing", InputError, "there is no module 'nowhere'. Install it, or run where nowhere.py lies"),
        ("python:parrots:Thing", InputError, "the module parrots has no class 'Thing'"),
        ("python:half:Thing", InputError, "the module half cannot be imported"),
        ("python:parrots", InputError, "Write python:MODULE:CLASS"),
        ("python:parrots:Parrot?word=broken", RecognizerError, "could not be loaded: ValueError: no such word"),
    ):
        with pytest.raises(error, match=said.replace(".", r"\.")):
            open_recognizer(parse_model(model))


def test_opening_a_class_leaves_the_path_as_it_was(package: Path) -> None:
    before = list(sys.path)
    open_recognizer(parse_model("python:parrots:Parrot"))
    assert sys.path == before


class Forgetful(FakeRecognizer):
    """Breaks one promise: it leaves an answer out."""

    def transcribe(self, batch):  # type: ignore[no-untyped-def]
        return super().transcribe(batch)[:1]


def test_a_broken_promise_is_named() -> None:
    spec = parse_model("fake:x?text=a")
    RecognizerContract(lambda: FakeRecognizer(spec)).check()
    with pytest.raises(BrokenPromiseError, match="one by one"):
        RecognizerContract(lambda: Forgetful(spec)).check()


def test_no_package_registers_what_it_does_not_have() -> None:
    assert {each.name for each in metadata.entry_points(group=discovery.GROUP)} == set()
