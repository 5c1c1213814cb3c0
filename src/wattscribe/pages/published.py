"""What a recognizer and its speech are called where results are published: hub ids, never a path of this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wattscribe.models.names import STORED
from wattscribe.results.groups import Group, short_corpus

LIBRISPEECH = {
    "dev-clean": ("clean", "validation"),
    "dev-other": ("other", "validation"),
    "test-clean": ("clean", "test"),
    "test-other": ("other", "test"),
}
"""Folders of its archives → configuration and split of `openslr/librispeech_asr`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A corpus as `load_dataset(id, config, split=split)` would name it; its own name where it is on no hub."""

    id: str
    config: str | None
    split: str | None


def dataset_of(row_group: Group) -> Dataset:
    """Of the whole corpus; what was done to it, and whether all of it was transcribed, says `variant_of`."""
    spec = str(row_group.corpus)
    if spec.startswith("hub:"):
        name, *parts = spec.removeprefix("hub:").split(":")
        local = name.startswith(("/", ".", "~"))
        config, split = (None, parts[0]) if len(parts) == 1 else (*parts[:2], None, None)[:2]
        return Dataset(id=name.rstrip("/").rpartition("/")[2] if local else name, config=config, split=split)
    folder = spec.rstrip("/").rpartition("/")[2]
    if folder in LIBRISPEECH:
        config, split = LIBRISPEECH[folder]
        return Dataset(id="openslr/librispeech_asr", config=config, split=split)
    return Dataset(id=short_corpus(row_group.corpus), config=None, split=None)


def variant_of(row_group: Group) -> str:
    """What makes it other speech than the corpus as it is published: a condition, a limit; empty: nothing."""
    limit = row_group.trials[0].trial.limit
    parts = [] if row_group.condition.name == "clean" else [row_group.condition.name]
    return ", ".join([*parts, *([f"first {limit} utterances"] if limit is not None else [])])


def model_of(row_group: Group) -> str:
    """`openai/whisper-tiny.en` of a model of the hub; else its runtime and its name."""
    spec = row_group.recognizer
    on_hub = spec.runtime == "hf" and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", spec.model)
    return spec.model if on_hub else row_group.model_label


def settings_of_name(row_group: Group) -> str:
    """What tells it from others of the same model: its precision; empty where the model comes in one only."""
    return "" if row_group.recognizer.precision == STORED else row_group.recognizer.precision
