"""What differs between two measurements besides the model: machine, its state, its libraries, threads and batches.

Energy, time and memory mean something only where nothing of this differs; word errors are the same anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wattscribe.records import RunFacts
from wattscribe.results.findings import Entry

RUNTIME_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "moonshine": ("moonshine-voice",),
    "onnx-asr": ("onnx-asr", "onnxruntime"),
    "vosk": ("vosk",),
    "openvino": ("openvino", "openvino-genai"),
    "onnx": ("wattscribe", "onnxruntime", "kaldi-native-fbank"),
    "hf": ("torch", "transformers", "torchao"),
    "ct2": ("ctranslate2", "faster-whisper"),
    "sherpa": ("sherpa-onnx",),
    "pocketsphinx": ("pocketsphinx",),
    "whispercpp": ("pywhispercpp",),
}
"""Whose version changes what a recognizer of this runtime costs; `onnx:` is run by Wattscribe's own decoder."""

FACTS: tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...] = (
    ("machine", lambda facts: facts.get("machine")),
    ("CPU", lambda facts: facts.get("cpu")),
    ("architecture", lambda facts: facts.get("architecture")),
    ("usable cores", lambda facts: facts.get("cpu_usable")),
    ("GPUs", lambda facts: _listed(_gpu(gpu) for gpu in facts.get("gpus") or ())),
    ("power mode", lambda facts: facts.get("power_mode")),
    ("clock governors", lambda facts: _listed(facts.get("governors") or ())),
    ("highest allowed clocks", lambda facts: _highest_clocks(facts.get("clocks") or ())),
    ("turbo", lambda facts: _on_or_off(facts.get("turbo"))),
    ("mains power", lambda facts: _on_or_off(facts.get("on_mains"))),
)
"""What identifies a machine and its state, from `metering.machine.describe`; what either run does not know is no difference."""


def differences(base_run: RunFacts, new_run: RunFacts, base: Entry, new: Entry) -> list[str]:
    """Each thing that differs, in words: `CPU: Cortex-A78AE in the base run, Cortex-A76 in the new one`."""
    pairs = [(name, read(base_run.machine), read(new_run.machine)) for name, read in FACTS]
    pairs += [
        (name, getattr(base.row, field), getattr(new.row, field))
        for name, field in (("device", "device"), ("threads", "threads"), ("batch size", "batch_size"))
    ]
    pairs += [("pace", _pace(base), _pace(new)), ("mode of the experiment", _mode(base), _mode(new))]
    pairs += _versions(base_run, new_run, base, new)
    return [
        f"{name}: {one} in the base run, {other} in the new one"
        for name, one, other in pairs
        if one is not None and other is not None and one != other
    ]


def _pace(entry: Entry) -> str:
    """Joules and waits of listening are of another kind than those of files that are taken as fast as it goes."""
    duty = entry.row.duty
    return "as fast as it goes" if duty is None else f"real time, {100 * duty:g} % speech"


def _mode(entry: Entry) -> str:
    """By what is set, not only by its name."""
    settings = ", ".join(f"{key} {value}" for key, value in (entry.row.mode_settings or {}).items())
    return "none" if entry.row.mode is None else f"{entry.row.mode} ({settings})"


def _versions(base_run: RunFacts, new_run: RunFacts, base: Entry, new: Entry) -> list[tuple[str, Any, Any]]:
    """Of the libraries that ran the model; another runtime is another recognizer, which is what is compared."""
    runtime = base.group.recognizer.runtime
    if runtime != new.group.recognizer.runtime:
        return []
    old, fresh = (run.machine.get("libraries") or {} for run in (base_run, new_run))
    return [(name, old.get(name), fresh.get(name)) for name in RUNTIME_LIBRARIES.get(runtime, ())]


def _gpu(facts: Mapping[str, Any]) -> str:
    limit_w = facts.get("power_limit_w")
    return f"{facts.get('name')}" + (f" at {limit_w:g} W" if limit_w is not None else "")


def _highest_clocks(clocks: Iterable[Mapping[str, Any]]) -> str | None:
    return _listed(f"{clock['max_hz'] / 1e6:.0f} MHz" for clock in clocks if clock.get("max_hz"))


def _listed(words: Iterable[str]) -> str | None:
    return ", ".join(words) or None


def _on_or_off(value: bool | None) -> str | None:
    return None if value is None else "on" if value else "off"
