"""How an option of a function is spelled on the command line: in its flags, and in what the library says of it.

The library calls an option by its Python name, between backquotes (`chunk_ms`); whoever calls a function reads it so, and the
command line puts the flag in its place.
"""

from __future__ import annotations

import inspect
import re

_OTHERWISE = {
    "models": "model", "meters": "meter", "options": "option", "inputs": "input", "dims": "dim", "units": "unit",
    "laws": "accuracy", "timeout_s": "timeout", "load_timeout_s": "load-timeout", "memory_limit_bytes": "memory-limit",
    "idle_s": "idle", "mark_unit_s": "mark-unit", "longform_minutes": "longform",
    "local_memory_bytes": "local-memory", "patience_s": "patience",
    "max_error_s": "max-error", "sample_rate_hz": "sample-rate", "interval_s": "interval-ms", "prepare_only": "prepare",
    "max_wer_percent": "max-wer", "max_power_w": "max-watts", "max_memory_bytes": "max-memory", "budget_percent": "budget",
    "resume=False": "fresh", "columns": "column", "follow": "json",
}  # fmt: skip
"""Flags that are shorter than the names, whose units a program needs."""
_UNITS = re.compile(r"_(points|percent)$")
_OF_VERBS = {"meters": ("meters", "attach")}
_REQUIRED = ("out", "data", "models", "resume=False")
_QUOTED = re.compile(r"`([a-z][a-z0-9_]*(?:=False)?)`|`columns\[([a-z]+)\]`")


def flag_name(name: str) -> str:
    """`max_wer_increase_points` → `max-wer-increase`."""
    return _OTHERWISE.get(name) or _UNITS.sub("", name).replace("_", "-")


def spelled(text: str, verb: str) -> str:
    """The text with the flags of this verb for the options that it names."""
    if "`" not in text:
        return text
    names = _names(verb)

    def flag(match: re.Match[str]) -> str:
        name, column = match.groups()
        if column:
            return f"--{column}-column"
        return f"--{flag_name(name)}" if name in names else match[0]

    return _QUOTED.sub(flag, text)


def _names(verb: str) -> set[str]:
    """The options of the functions behind the verb; an experiment's keys are bench's."""
    from wattscribe import verbs

    names = set(_REQUIRED)
    for function in _OF_VERBS.get(verb, (verb,)):
        if function in verbs.__all__:
            parameters = inspect.signature(getattr(verbs, function)).parameters.values()
            names |= {parameter.name for parameter in parameters if parameter.default is not inspect.Parameter.empty}
    if verb == "bench":
        from wattscribe.runs.experiment import Experiment

        names |= set(Experiment.model_fields)
    return names
