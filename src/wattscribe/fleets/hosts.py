"""Which boards there are, as a user writes it: one TOML file, checked before any is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wattscribe.errors import InputError, did_you_mean
from wattscribe.text_files import read_toml

LABEL = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""A label is a folder's name and stands in commands."""
FIX = "Name a TOML file with a [[boards]] table for each board, as docs/fleet.md shows"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class BoardEntry(_Strict):
    """One `[[boards]]` table."""

    label: str = Field(pattern=LABEL)
    host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._:%-]+$")
    """Reached by SSH; without it the board is this machine."""
    python: str | None = Field(default=None, min_length=1)
    """With wattscribe and its extra `fleet`, on the board; if omitted, the path of this one's."""
    folder: str | None = Field(default=None, min_length=1)
    """Where relative paths of the experiment start on the board; if omitted, where a login starts."""
    simulated_board: str | None = None
    """Measure nothing: its power is simulated (docs/simulated-board.md)."""
    ssh: dict[str, Any] = {}
    """Options of asyncssh.connect: username, port, client_keys, known_hosts."""

    @model_validator(mode="after")
    def _whole(self) -> BoardEntry:
        if self.host is None and (self.python is not None or self.ssh):
            raise ValueError("python and ssh are for boards with a host")
        return self


class Hosts(_Strict):
    """The whole file."""

    boards: list[BoardEntry] = Field(min_length=1)
    address: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._:%-]+$")
    """Of this machine, at which boards reach it; if omitted, the one from which this machine reaches the first of them."""

    @model_validator(mode="after")
    def _labels(self) -> Hosts:
        labels = [board.label for board in self.boards]
        if again := [label for at, label in enumerate(labels) if label in labels[:at]]:
            raise ValueError(f"two boards are called {again[0]!r}: give them different labels")
        return self


def load(path: Path) -> Hosts:
    """Raises InputError that names the key and lists what is allowed."""
    values = read_toml(path, what="the list of boards", fix=FIX)
    try:
        return Hosts.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error), where=path, fix=FIX) from error


def _explain(error: ValidationError) -> str:
    errors = error.errors()
    first = next(
        (one for one in errors if one["type"] == "extra_forbidden"), errors[0]
    )  # a mistyped key is missing too
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        kind = BoardEntry if len(first["loc"]) > 1 else Hosts
        near = did_you_mean(str(first["loc"][-1]), kind.model_fields)
        return f"there is no key {key!r}{'' if near is None else f', {near}'}. Allowed: {', '.join(kind.model_fields)}"
    if first["type"] == "missing":
        return f"the key `{key}` is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
