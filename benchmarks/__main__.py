"""Run every benchmark and keep its result with machine, date and command: `python -m benchmarks [NAME …]`.

Each runs as `python -m benchmarks.NAME` in a process of its own and prints one JSON value; `within` in it, where a benchmark
has a limit to keep, says whether it did. Exit status 1 when one failed or did not keep its limit.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
OWN_TARGET = (
    "components", "compress", "digits", "fleet_kills", "fleet_load", "memory", "reference", "study", "tuning", "whisper",
)  # fmt: skip
"""Long ones: name them to run them here (`compress` has a make target too)."""


def main(names: list[str]) -> int:
    known = sorted({path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_")} - {"stated"})
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}. One of: {', '.join(known)}", file=sys.stderr)
        return 2
    kept = [run(name) for name in names or [benchmark for benchmark in known if benchmark not in OWN_TARGET]]
    return 0 if all(kept) else 1


def run(name: str) -> bool:
    """Run one benchmark, write `results/NAME.json`, say in a line what came out."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parent)
    result = parsed(done.stdout)
    if done.returncode != 0 and result is None:
        print(f"{name}: failed with exit status {done.returncode}: {done.stderr.strip()[-500:]}", file=sys.stderr)
        return False
    if result is None:
        print(f"{name}: printed no JSON", file=sys.stderr)
        return False
    RESULTS.mkdir(exist_ok=True)
    record = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": f"python -m benchmarks.{name}",
        "machine": machine(),
        "result": result,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    within = result.get("within") if isinstance(result, dict) else None
    print(f"{name}: {'measured' if within is None else 'within its limit' if within else 'NOT within its limit'}")
    print(json.dumps(result, indent=1))
    return within is not False and done.returncode == 0


def parsed(text: str) -> Any:
    """The JSON value that a benchmark printed, or None."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def machine() -> dict[str, Any]:
    """What the figures hold for; versions of libraries included."""
    from wattscribe.metering.machine import describe

    return {key: value for key, value in describe().items() if value not in (None, [], {})}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
