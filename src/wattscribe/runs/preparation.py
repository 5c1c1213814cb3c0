"""What a recognizer keeps on disk for its later starts, made before anything is measured, by a process that then ends.

The first start of an exported model rewrites and optimises its graphs, which takes several times its memory and most of a
short run's time: once per machine, so it is a figure of its own and in no trial's time, energy or memory (decision 016).
`python -m wattscribe.runs.preparation PARENT` reads a line of JSON and answers with one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from wattscribe.recognizers.registry import entry_of
from wattscribe.records import RecognizerSpec, Trial, from_json, to_json
from wattscribe.runs.process import die_with, worker_environment
from wattscribe.runs.progress import Watcher
from wattscribe.runs.spool import Key, Spool, key_of

Prepared = Mapping[str, float | None]
"""Seconds by `name_of` a recognizer; None: it prepares nothing, or could not."""


def prepare_all(
    trials: Iterable[Trial], spools: Mapping[Key, Spool], *, log: Path, limit_s: float, watcher: Watcher
) -> Prepared:
    """Prepare each recognizer of the trials for the most audio that one of them transcribes.

    One that fails here is left to its trials, which tell why.
    """
    wanted: dict[str, tuple[RecognizerSpec, float]] = {}
    for trial in trials:
        spec = trial.recognizer
        if (entry := entry_of(spec.runtime)) is None or entry.prepare is None:
            continue
        files_s = 0.0 if trial.streams else spools[key_of(trial)].audio_s
        _, most_s = wanted.get(name_of(spec), (spec, 0.0))
        wanted[name_of(spec)] = (spec, max(most_s, files_s))
    taken_s: dict[str, float | None] = {}
    for name, (spec, audio_s) in wanted.items():
        watcher.prepared(f"{spec.name} {spec.precision}", 0.0)
        taken_s[name] = _in_a_process(spec, audio_s, log, limit_s)
    return taken_s


def name_of(spec: RecognizerSpec) -> str:
    """Recognizers of one name are one."""
    return json.dumps(to_json(spec), sort_keys=True)


def _in_a_process(spec: RecognizerSpec, audio_s: float, log: Path, limit_s: float) -> float | None:
    """Its memory is given back with it."""
    with log.open("ab") as file:
        file.write(f"--- preparing {spec.name} {spec.precision}\n".encode(errors="backslashreplace"))
        file.flush()
        try:
            done = subprocess.run(
                [sys.executable, "-m", __name__, str(os.getpid())],
                input=json.dumps([to_json(spec), audio_s]).encode("ascii"),
                stdout=subprocess.PIPE,
                stderr=file,
                env=worker_environment(spec.threads),
                timeout=limit_s,
                check=True,
            )
            took_s = json.loads(done.stdout.splitlines()[-1])
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            file.write(f"it was not prepared: {error}\n".encode(errors="backslashreplace"))
            return None
    return float(took_s) if isinstance(took_s, (int, float)) else None


def main(arguments: list[str]) -> None:
    """In the process of its own."""
    from wattscribe.recognizers import prepare

    die_with(int(arguments[0]))
    spec, audio_s = json.loads(sys.stdin.read())
    print(json.dumps(prepare(from_json(RecognizerSpec, spec), audio_s)))


if __name__ == "__main__":
    main(sys.argv[1:])
