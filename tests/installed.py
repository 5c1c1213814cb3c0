"""The package as `pip install wattscribe` leaves it: its own wheel from an index, in an environment that holds its base
dependencies and nothing else; no checkout, no extra, no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EPOCH_S = "1700000000"
BUILT_FROM = ("src", "scripts", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


def build(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist of this tree, made in a copy of it by the setuptools that is here."""
    source, target = folder / "source", folder / "dist"
    source.mkdir(parents=True)
    target.mkdir()
    for name in BUILT_FROM:
        path = ROOT / name
        leave = shutil.ignore_patterns("__pycache__", "*.egg-info")
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=leave)
        else:
            shutil.copy(path, source / name)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH_S, "PYTHONDONTWRITEBYTECODE": "1"}
    for hook in ("build_wheel", "build_sdist"):  # each in a process of its own, as PEP 517 has it
        command = [sys.executable, "-c", BUILD, hook, str(target)]
        subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True, umask=0o022)
    (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
    return wheel, sdist


def install(folder: Path, wheel: Path) -> Path:
    """A new environment with the base dependencies linked into it, and the wheel installed from an index; its `bin`."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    for found in _closure("wattscribe", wheel):
        for name in _top_level(found):
            target = Path(str(found.locate_file(name)))
            if target.exists() and not (packages / name).exists():
                (packages / name).symlink_to(target)
    index = folder / "simple" / "wattscribe"
    index.mkdir(parents=True)
    shutil.copy(wheel, index)
    (index / "index.html").write_text(f'<!DOCTYPE html><a href="{wheel.name}">{wheel.name}</a>', encoding="utf-8")
    address = (folder / "simple").as_uri()
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-compile", "--quiet"]
    command += ["--disable-pip-version-check", "--index-url", address, "wattscribe"]
    subprocess.run(command, check=True, env={**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""})
    return folder / "bin"


def _closure(name: str, wheel: Path) -> Iterator[Distribution]:
    """Everything that the wheel needs without an extra, as it is installed here."""
    import zipfile
    from email.parser import HeaderParser

    with zipfile.ZipFile(wheel) as packed:
        (metadata,) = (each for each in packed.namelist() if each.endswith(".dist-info/METADATA"))
        needed = HeaderParser().parsestr(packed.read(metadata).decode()).get_all("Requires-Dist") or []
    waiting, seen = list(needed), {canonicalize_name(name)}
    while waiting:
        requirement = Requirement(waiting.pop())
        key = canonicalize_name(requirement.name)
        if key in seen or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(key)
        try:
            found = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # pip, which resolves them all once more, names what is missing
        yield found
        waiting += found.requires or []


def _top_level(found: Distribution) -> set[str]:
    """Names in site-packages: packages, modules, folders of libraries, and the metadata."""
    names = {file.parts[0] for file in found.files or []}
    return {name for name in names if name not in ("..", "__pycache__") and not name.endswith(".pth")}
