"""Whether the base and every extra have wheels for each Python and processor that is promised: resolved, nothing is installed.

    pip install uv==0.13.9 && python scripts/resolve.py

pip's own `--platform` and `--python-version` would judge the environment markers of packages (`python_version < '3.11'`,
`platform_machine`) by the Python that runs pip; uv judges them by the one that is asked for.

What has no wheel on a processor is left out by a marker in `pyproject.toml`, never by a list here.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
GLIBC = "manylinux_2_35"
"""Of the oldest systems promised: Ubuntu 22.04, which JetPack 6 is; Debian and Raspberry Pi OS 12 have glibc 2.36."""
PLAIN_SOURCES = ("srt",)
"""Packages without any wheel that are Python alone (srt: one file, needed by vosk): building them takes no compiler."""
BASE = "(base)"


def extras() -> list[str]:
    """The base and every extra, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [BASE, *project["optional-dependencies"]]


def resolve(chosen: list[str], python: str, machine: str) -> str:
    """Empty where all that is needed has a wheel; else what uv says, in one line."""
    command = [
        "uv", "pip", "compile", "pyproject.toml", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:",
        "-c", "constraints.txt", "--python-version", python, "--python-platform", f"{machine}-{GLIBC}",
    ]  # fmt: skip
    command += [part for name in PLAIN_SOURCES for part in ("--no-binary", name)]
    command += [part for extra in chosen if extra != BASE for part in ("--extra", extra)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return " ".join(done.stderr.split()) or f"uv ended with status {done.returncode}"


def failing(python: str, machine: str) -> dict[str, str]:
    """What uv says of each extra that cannot be had. Where all of them can be had together, each can alone."""
    everything = extras()
    if not resolve(everything, python, machine):
        return {}
    said = {extra: resolve([extra], python, machine) for extra in everything}
    return {extra: words for extra, words in said.items() if words}


def main() -> int:
    """Print a table; status 1 where a cell fails."""
    cells = [(machine, python) for machine in MACHINES for python in PYTHONS]
    found = {}
    for machine, python in cells:
        found[machine, python] = failing(python, machine)
        print(
            f"{machine}, Python {python}: {len(found[machine, python])} extras lack a wheel",
            file=sys.stderr,
            flush=True,
        )
    print("| extra | " + " | ".join(f"{machine} {python}" for machine, python in cells) + " |")
    print("|---|" + "---|" * len(cells))
    for extra in extras():
        print(f"| {extra} | " + " | ".join("no" if extra in found[cell] else "yes" for cell in cells) + " |")
    for (machine, python), lacking in found.items():
        for extra, words in lacking.items():
            print(f"{extra}, {machine}, Python {python}: {words}")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
