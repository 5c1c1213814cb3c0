"""Whether the base and every extra have wheels for each Python and processor that is promised: resolved, nothing is installed.

`make resolve`, which installs uv. pip's own `--platform` and `--python-version` would judge the environment markers of packages
(`python_version < '3.11'`, `platform_machine`) by the Python that runs pip; uv judges them by the one that is asked for.

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
GLIBC = "manylinux_2_31"
"""Of the oldest systems promised, Debian 11 and Raspberry Pi OS 11; JetPack 6 has glibc 2.35."""
BASE = "(base)"


def extras() -> list[str]:
    """The base and every extra, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [BASE, *project["optional-dependencies"]]


def resolve(extra: str, python: str, machine: str) -> str:
    """Empty where everything has a wheel; else what uv says, in one line."""
    command = [
        "uv", "pip", "compile", "pyproject.toml", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:",
        "-c", "constraints.txt", "--python-version", python, "--python-platform", f"{machine}-{GLIBC}",
        *([] if extra == BASE else ["--extra", extra]),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return " ".join(done.stderr.split()) or f"uv ended with status {done.returncode}"


def main() -> int:
    """Print a table; status 1 where a cell fails."""
    cells = [(machine, python) for machine in MACHINES for python in PYTHONS]
    print("| extra | " + " | ".join(f"{machine} {python}" for machine, python in cells) + " |")
    print("|---|" + "---|" * len(cells))
    failures: list[str] = []
    for extra in extras():
        row = []
        for machine, python in cells:
            said = resolve(extra, python, machine)
            row.append("no" if said else "yes")
            if said:
                failures.append(f"{extra}, {machine}, Python {python}: {said}")
        print(f"| {extra} | " + " | ".join(row) + " |", flush=True)
    print(*failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
