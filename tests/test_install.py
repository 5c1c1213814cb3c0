"""What a fresh machine gets: no compiler needed, and a demo that shows something real without PocketSphinx."""

from __future__ import annotations

import platform
import re
import runpy
import subprocess
import sys
import tarfile
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from tests import installed
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


BUILDS = pytest.mark.timeout(900)  # seconds of processor time, on a machine that may be busy


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """Wheel and sdist, twice, of copies whose files have other times."""
    pairs = []
    for name in "ab":
        pairs.append(installed.build(tmp_path_factory.mktemp(name)))
        time.sleep(2.1)  # a zip counts seconds in twos
    return pairs


@BUILDS
def test_a_wheel_has_the_same_bytes_whenever_it_is_built(built: list[tuple[Path, Path]]) -> None:
    (one, first), (other, second) = built
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()
    packed_again = runpy.run_path(str(ROOT / "scripts/dist.py"))["packed_again"]
    for path in (first, second):
        packed_again(path, int(installed.EPOCH_S))
    assert first.read_bytes() == second.read_bytes()


@BUILDS
def test_a_wheel_holds_every_file_of_the_package_and_nothing_else(built: list[tuple[Path, Path]]) -> None:
    with zipfile.ZipFile(built[0][0]) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
        metadata = {name.rpartition("/")[2] for name in packed.namelist() if ".dist-info/" in name}
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/wattscribe").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == source
    assert {"METADATA", "WHEEL", "entry_points.txt", "LICENSE", "LICENSES.txt"} <= metadata


@BUILDS
def test_it_is_installed_from_an_index_without_the_repository(built: list[tuple[Path, Path]], tmp_path: Path) -> None:
    """tests/cli/test_demo.py plays the demo in such an environment."""
    programs = installed.install(tmp_path / "venv", built[0][0])
    empty = tmp_path / "empty"
    empty.mkdir()

    def said(*command: str) -> str:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(empty), "LANG": "C.UTF-8"}
        done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import wattscribe; print(wattscribe.__file__)"
    assert said(str(programs / "python"), "-c", where).startswith(str(tmp_path))
    missing = "import importlib.util; print(*(n for n in ('torch', 'onnx', 'scipy', 'pytest') if importlib.util.find_spec(n)))"
    assert said(str(programs / "python"), "-c", missing).strip() == "", "the base dependencies, no extra"
    assert said(str(programs / "wattscribe"), "--version").startswith("wattscribe ")
    assert "demo" in said(str(programs / "wattscribe"), "--help")
    assert '"report"' in said(
        str(programs / "python"), "-c", "import json, wattscribe.schemas as s; print(json.dumps(s.names()))"
    )
