"""What a fresh machine gets: no compiler needed, and a demo that shows something real without PocketSphinx."""

from __future__ import annotations

import platform
import re
import runpy
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from wattscribe.errors import NO_WHEEL, MissingExtraError
from wattscribe.runs.experiment import load

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def fake_environment(folder: Path, *, pocketsphinx: bool) -> Path:
    """An environment that is newer than what it is made from, whose commands say what they were given."""
    (folder / "bin").mkdir(parents=True)
    for name, body in {"python": f"exit {0 if pocketsphinx else 1}", "wattscribe": 'echo "ran $*"'}.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    (folder / ".base").touch()
    return folder


@pytest.mark.parametrize(("pocketsphinx", "experiment"), [(True, "demo"), (False, "demo-reference")])
def test_the_demo_runs_without_pocketsphinx_and_says_so(tmp_path: Path, pocketsphinx: bool, experiment: str) -> None:
    environment = fake_environment(tmp_path / "venv", pocketsphinx=pocketsphinx)
    done = subprocess.run(
        ["make", "--no-print-directory", "demo", f"VENV={environment}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"ran bench benchmarks/{experiment}.toml --out runs/demo --overwrite" in done.stdout
    assert ("PocketSphinx is not installed" in done.stdout) == (not pocketsphinx)


def test_the_demo_without_pocketsphinx_is_the_same_experiment_less_one_recognizer() -> None:
    whole, less = (load(ROOT / f"benchmarks/{name}.toml") for name in ("demo", "demo-reference"))
    assert [entry for entry in whole.models if "pocketsphinx" not in str(entry)] == less.models
    assert whole.model_dump(exclude={"models"}) == less.model_dump(exclude={"models"})


def test_what_has_no_wheel_is_left_out_by_a_marker() -> None:
    markers = pytest.importorskip("packaging.requirements")
    for extra, machine in NO_WHEEL:
        for line in PROJECT["optional-dependencies"][extra]:
            marker = markers.Requirement(line).marker
            assert marker is not None
            assert not marker.evaluate({"platform_machine": machine})
            assert marker.evaluate({"platform_machine": "x86_64"})


@pytest.mark.parametrize(
    ("machine", "fix"), [("aarch64", "C compiler"), ("x86_64", r"pip install 'wattscribe\[pocket")]
)
def test_a_missing_extra_is_told_how_it_can_be_had_here(
    machine: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    error = MissingExtraError("pocketsphinx", "pocketsphinx", needed_for="the runtime pocketsphinx:")
    assert re.search(fix, str(error.fix))


def test_every_promised_python_is_resolved() -> None:
    text = (ROOT / "scripts/resolve.py").read_text(encoding="utf-8")
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    promised = re.search(r"python: \[(.*)\]", workflow)
    assert promised is not None
    assert f"PYTHONS = ({promised[1]})" in text
    assert "scripts/resolve.py" in workflow


def test_an_sdist_has_the_same_bytes_whoever_packs_it(tmp_path: Path) -> None:
    packed_again = runpy.run_path(str(ROOT / "scripts/dist.py"))["packed_again"]
    for name, when, owner, order in (("a", 1, 0, "xy"), ("b", 99, 1000, "yx")):
        (tmp_path / name).mkdir()
        with tarfile.open(tmp_path / name / "w.tar.gz", "w:gz") as archive:
            for each in order:
                member = tarfile.TarInfo(f"w/{each}")
                member.size, member.mtime, member.uid, member.uname, member.mode = (
                    3,
                    when + 0.5,
                    owner,
                    name,
                    0o600 + owner % 2,
                )
                archive.addfile(member, BytesIO(b"abc"))
        packed_again(tmp_path / name / "w.tar.gz", 1_700_000_000)
    assert (tmp_path / "a/w.tar.gz").read_bytes() == (tmp_path / "b/w.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "a/w.tar.gz") as archive:
        assert [(each.name, each.mtime) for each in archive] == [("w/x", 1_700_000_000), ("w/y", 1_700_000_000)]
        held = archive.extractfile("w/x")
        assert held is not None
        assert held.read() == b"abc"
