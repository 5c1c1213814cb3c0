"""What every number on the command line must be, whatever the verb: finite, and within 64 bits."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from wattscribe.cli.flags import flag_name
from wattscribe.text_files import LARGEST_INTEGER


def usable(_: Any, value: Any) -> None:
    """For cyclopts, of one option's value or of a group of options. Raises ValueError; the parser names the option."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            try:
                usable(None, getattr(value, field.name))
            except ValueError as error:
                raise ValueError(f"--{flag_name(field.name)}: {error}") from error
    elif isinstance(value, (list, tuple)):
        for item in value:
            usable(None, item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("give a finite number")
    elif isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise ValueError("the number has too many digits")
