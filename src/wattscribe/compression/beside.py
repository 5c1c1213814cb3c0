"""Recipes that other runs of `compress` tried on the same speech, to be drawn in one picture with this run's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.workbench import Tried
from wattscribe.errors import InputError
from wattscribe.text_files import read_json

AGAIN = "Give the directory that wattscribe compress wrote with the same `data`, `limit` and `device`"


def read_beside(folders: Sequence[Path], dev: SpeechSet, device: str, strategy: str) -> tuple[Tried, ...]:
    """What is in the folders' result.json; a run of the same strategy is named by its folder.

    Raises InputError where there is none, and where its WER or energy is of other speech or another device.
    """
    tried: list[Tried] = []
    for folder in folders:
        result = _read(folder)
        on = result["dev"]
        if result["device"] != device:
            raise InputError(f"its energy is for {result['device']}, not {device}", where=folder, fix=AGAIN)
        if on["utterances"] != len(dev) or abs(on["audio_s"] - dev.audio_s) > 0.01:
            raise InputError(
                f"its {on['utterances']} utterances, {on['audio_s']:.0f} s, are not the {len(dev)} of `data`",
                where=folder, fix=AGAIN,
            )  # fmt: skip
        name = f"{result['strategy']} ({folder.name})" if result["strategy"] == strategy else result["strategy"]
        tried += (
            Tried(
                strategy=name, steps=tuple(recipe["steps"]), energy_mj=recipe["energy_mj_per_audio_s"],
                size_bytes=recipe["size_bytes"], kl=recipe["kl"], wer=recipe["wer"], on=recipe["on"],
            )
            for recipe in result["tried"]
        )  # fmt: skip
    return tuple(tried)


def _read(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = read_json(folder / "result.json", what="result.json", fix=AGAIN)
    if not isinstance(read, dict) or not {"dev", "device", "strategy", "tried"} <= read.keys():
        raise InputError("result.json is no result of wattscribe compress", where=folder, fix=AGAIN)
    return read
