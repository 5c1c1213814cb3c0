"""How long `wattscribe --help` takes: the best and the median of several, limit 0.3 s."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

LIMIT_S = 0.3
TIMES = 15


def start_s(arguments: list[str]) -> float:
    """Wall time of one run, process start and end included."""
    before_s = time.perf_counter()
    subprocess.run([sys.executable, "-m", "wattscribe", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - before_s


def heavy_modules() -> list[str]:
    """Libraries that `import wattscribe` and `--help` must not load, and did."""
    code = (
        "import sys, wattscribe, wattscribe.cli; wattscribe.cli.usage()\n"
        "print(*sorted({'torch', 'transformers', 'numpy', 'pydantic', 'rich', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


def measure() -> dict[str, object]:
    start_s(["--help"])  # files into the page cache, bytecode written
    times_s = [start_s(["--help"]) for _ in range(TIMES)]
    modules = heavy_modules()
    return {
        "what": "wattscribe --help",
        "median_s": statistics.median(times_s),
        "best_s": min(times_s),
        "heavy_modules": modules,
        "limit_s": LIMIT_S,
        "within": statistics.median(times_s) < LIMIT_S and not modules,
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
