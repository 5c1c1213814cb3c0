"""What journals of earlier versions leave to be read out of words: filled in here, once, as a row is read, and nowhere else."""

from __future__ import annotations

import re
from typing import Any

from wattscribe.errors import InputError

_NUMBERED_GPU = re.compile(r"GPU board (\d+) ")
_BEGINNINGS: tuple[tuple[str, list[str]], ...] = (
    ("CPU, GPU", ["cpu", "gpu"]),
    ("CPU and GPU", ["cpu", "gpu"]),
    ("CPU", ["cpu"]),
    ("GPU", ["gpu"]),
    ("integrated GPU", ["gpu"]),
)
"""How `covers` began where a rail feeds a processor; the first that fits counts."""


def trace_facts(about: Any) -> Any:
    """A trace's facts with what it feeds, where it came from and which meter read it."""
    if not isinstance(about, dict) or "processors" in about:
        return about
    covers, channel = about.get("covers"), about.get("channel")
    if not isinstance(covers, str) or not isinstance(channel, str):
        return about
    numbered = _NUMBERED_GPU.match(covers)
    meter = channel.partition(".")[0].partition("#")[0]
    return {
        **about,
        "processors": next((feeds for words, feeds in _BEGINNINGS if covers.startswith(words)), []),
        "gpu_index": int(numbered[1]) if numbered else None,
        "origin": "attached" if meter == "external" else "sensor",
        "meter": meter,
    }


def trial(said: Any) -> Any:
    """A trial without the key `shard`. Raises InputError where it has one: consecutive utterances, which no trial has now."""
    if not isinstance(said, dict) or "shard" not in said:
        return said
    if said["shard"] is not None:
        raise InputError(
            "this run cut its corpus into consecutive parts, which this version cannot put together",
            fix="Measure again with `overwrite`, or read it with the version that wrote it",
        )
    return {key: value for key, value in said.items() if key != "shard"}


def trial_facts(facts: Any) -> Any:
    """A trial's facts with what lay among its surroundings: how long it waited for a core, and which marks enclose it."""
    if not isinstance(facts, dict):
        return facts
    facts = {**facts, "trial": trial(facts["trial"])} if "trial" in facts else facts
    if "starved_s" in facts:
        return facts
    around = facts.get("surroundings")
    lay = around if isinstance(around, dict) else {}
    return {**facts, "starved_s": lay.get("starved_s"), "marks": lay.get("marks")}
