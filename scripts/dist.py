"""Wheel and sdist of what is committed, the same bytes each time, written into dist/; prints their sums.

    pip install uv==0.13.9 && python scripts/dist.py

The tree is exported by `git archive`, so that nothing uncommitted is in it and every file has the commit's time; setuptools
takes that time for the wheel (SOURCE_DATE_EPOCH). Its sdist still holds times, owners and a gzip header of the moment, so it is
packed again. The version of setuptools is pinned: another one writes other metadata.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETUPTOOLS = "setuptools==80.9.0"


def commit_time() -> str:
    """Of the last commit, in s since 1970."""
    command = ["git", "-c", "safe.directory=*", "log", "-1", "--format=%ct"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def export(folder: Path) -> None:
    """What is committed, as it is in the repository."""
    command = ["git", "-c", "safe.directory=*", "archive", "--format=tar", "HEAD"]
    packed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder)


def packed_again(path: Path, time_s: int) -> None:
    """The sdist with its members in order, of nobody, of the commit's time."""
    with tarfile.open(path) as archive:
        members = [(member, archive.extractfile(member)) for member in archive.getmembers()]
        held = [(member, file.read() if file else None) for member, file in members]
    plain = BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in sorted(held, key=lambda each: each[0].name):
            member.mtime, member.uid, member.gid, member.uname, member.gname, member.pax_headers = (
                time_s,
                0,
                0,
                "",
                "",
                {},
            )
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            archive.addfile(member, None if content is None else BytesIO(content))
    with path.open("wb") as target, gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=time_s) as zipped:
        zipped.write(plain.getvalue())


def build(target: Path, environment: Mapping[str, str]) -> None:
    """Wheel and sdist into `target`, by uv in an environment of their own."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.mkdir()
        export(source)
        pins = Path(folder, "build.txt")
        pins.write_text(f"{SETUPTOOLS}\n", encoding="utf-8")
        command = [
            "uv",
            "build",
            "--quiet",
            "--sdist",
            "--wheel",
            "--build-constraints",
            str(pins),
            "--out-dir",
            str(target),
        ]
        subprocess.run(command, cwd=source, check=True, env=environment)
    for path in target.glob("*.tar.gz"):
        packed_again(path, int(environment["SOURCE_DATE_EPOCH"]))


def main() -> int:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    target.mkdir(parents=True, exist_ok=True)
    os.umask(0o022)
    build(target, {**os.environ, "SOURCE_DATE_EPOCH": commit_time()})
    for path in sorted([*target.glob("*.whl"), *target.glob("*.tar.gz")]):
        print(f"{sha256(path.read_bytes()).hexdigest()}  {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
