"""One change of a model, as a recipe names it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change. `tensors` empty: all that the lever can change in the component. Hashable by `key`."""

    lever: str
    component: str
    """encoder, predictor, joiner or `all`."""
    tensors: tuple[str, ...] = ()
    """Names of linear maps or nodes, or beginnings of them that end in `*`."""
    options: Mapping[str, Value] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Equal for equal steps."""
        return json.dumps([self.lever, self.component, list(self.tensors), dict(sorted(self.options.items()))])

    def __str__(self) -> str:
        options = " ".join(f"{key}={value}" for key, value in self.options.items())
        where = "" if not self.tensors else f" [{len(self.tensors)} chosen]"
        return f"{self.lever} {self.component}{where}{' ' + options if options else ''}"
