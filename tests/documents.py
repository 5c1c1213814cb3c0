"""What `--json` prints, held against the shipped schema: nothing lacks, and nothing is there that it does not describe."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema

from wattscribe.schemas import schema


def described(name: str, document: Any) -> None:
    """Raises ValidationError where the document is not as its schema says, or has a field that the schema does not know."""
    jsonschema.Draft202012Validator(_closed(copy.deepcopy(schema(name)))).validate(document)


def _closed(value: Any) -> Any:
    """No object may have further fields, but for those whose schema says so."""
    if isinstance(value, dict):
        if "properties" in value:
            value.setdefault("additionalProperties", False)
        for item in value.values():
            _closed(item)
    elif isinstance(value, list):
        for item in value:
            _closed(item)
    return value
