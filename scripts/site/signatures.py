"""Signatures that decorators write (`of_model`): griffe reads source, so it is told what `inspect.signature` says."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import griffe

WRITTEN_BY = {"of_model", "model_into"}


class Signatures(griffe.Extension):
    """Of a verb whose keywords are the fields of a class of options."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        if not any(str(each.value).partition("(")[0] in WRITTEN_BY for each in func.decorators):
            return
        real = inspect.signature(getattr(import_module(func.module.path), func.name))
        func.parameters = griffe.Parameters(*map(_parameter, real.parameters.values()))


def _parameter(parameter: inspect.Parameter) -> griffe.Parameter:
    said, default = parameter.annotation, parameter.default
    annotation = said if isinstance(said, str) else said.__name__ if isinstance(said, type) else str(said)
    return griffe.Parameter(
        parameter.name,
        annotation=annotation.replace("pathlib._local.", "").replace("pathlib.", ""),
        kind=griffe.ParameterKind(parameter.kind.description),
        default=None if default is inspect.Parameter.empty else repr(default),
    )
