"""JSON Schemas of all that `--json` prints, one file per kind of document: `wattscribe.schemas.schema("report")`.

They are made by `make schemas`; what a version promises is in docs/json.md.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from wattscribe.errors import InputError, did_you_mean


def names() -> list[str]:
    """The kinds of documents: `report`, `compare`, …"""
    return sorted(path.name.removesuffix(".json") for path in files(__name__).iterdir() if path.name.endswith(".json"))


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one kind of document. Raises InputError for a name that is none."""
    if name not in names():
        raise InputError(
            f"there is no schema {name!r}", fix=did_you_mean(name, names()) or f"There are: {', '.join(names())}"
        )
    found: dict[str, Any] = json.loads((files(__name__) / f"{name}.json").read_text(encoding="utf-8"))
    return found
