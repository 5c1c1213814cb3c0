"""Flags made of the list of options that a verb's function or file already has: names, defaults and help are written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Annotated, Any, get_type_hints

from cyclopts import Group, Parameter
from docstring_parser import parse_from_object

from wattscribe.cli.flags import spelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Where a flag is typed otherwise than its option. `annotation` None: as the option."""

    annotation: Any = None
    parameter: Parameter = Parameter()  # noqa: RUF009 - immutable


def defaults(options: type, **unknown: Any) -> dict[str, tuple[Any, Any]]:
    """A dataclass's options: name → type and default. `unknown`: what its annotations name and does not import."""
    types = get_type_hints(options, localns=unknown)
    return {option.name: (types[option.name], option.default) for option in fields(options)}


def flags_of(
    owner: type,
    groups: Mapping[Group, Sequence[str]],
    options: Mapping[str, tuple[Any, Any]],
    otherwise: Mapping[str, Flag] | None = None,
    *,
    verb: str,
) -> type:
    """A dataclass of flags, in the order of `groups`. `options`: name → type and default; `owner`: where they are described."""
    described = {parameter.arg_name: parameter.description or "" for parameter in parse_from_object(owner).params}
    members: list[tuple[str, Any, Any]] = []
    for group, names in groups.items():
        for name in names:
            annotation, default = options[name]
            flag = (otherwise or {}).get(name, Flag())
            help_text = Parameter(group=group, help=spelled(described[name], verb))
            kind = annotation if flag.annotation is None else flag.annotation
            members.append((name, Annotated[kind, help_text, flag.parameter], field(default=default)))
    flags = make_dataclass("Flags", members, frozen=True, slots=True, kw_only=True)
    flags.__module__ = __name__  # cyclopts takes what a standard module made for a built-in type
    return flags
