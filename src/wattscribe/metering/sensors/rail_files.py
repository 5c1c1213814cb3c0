"""Sensors whose every rail is one file that holds its power or its energy: read, given back, looked at, in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Probe
from wattscribe.metering.host import Host
from wattscribe.metering.sensors.rails import probe_of


class Readable(Protocol):
    """A `files.MovingFile`, or several of them as one."""

    def read(self) -> float | None: ...

    @property
    def gone(self) -> bool: ...

    @property
    def forbidden(self) -> bool: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RailFile:
    """One rail. `si`: the file's number → W or J."""

    channel: Channel
    file: Readable
    si: Callable[[float], float]


class RailFilesMeter:
    """A meter of such rails. Raises MeterError with the words `none` where there is no rail."""

    name: str
    where: str
    """The directory that all of them lie below."""

    def __init__(self, rails: Sequence[RailFile], *, none: str) -> None:
        self._rails = list(rails)
        if not self._rails:
            raise MeterError(none, where=self.where)

    def channels(self) -> Sequence[Channel]:
        return [rail.channel for rail in self._rails]

    def read(self) -> Sequence[float | None]:
        values = [rail.file.read() for rail in self._rails]
        if all(rail.file.gone for rail in self._rails):
            raise MeterError("the sensor is gone", where=self.where)
        return [None if value is None else rail.si(value) for rail, value in zip(self._rails, values, strict=True)]

    def close(self) -> None:
        for rail in self._rails:
            rail.file.close()

    @property
    def forbidden(self) -> bool:
        return any(rail.file.forbidden for rail in self._rails)


def look(
    host: Host, name: str, driver: str, open_meter: Callable[[Host], RailFilesMeter], *, none: str, fix: str
) -> Probe:
    """What can be read of a chip's rails here, and why not: `none` where no chip is bound to the driver."""
    if not host.files.glob(f"{driver}/*-*"):
        return Probe(meter=name, available=False, reason=none)
    try:
        meter = open_meter(host)
    except MeterError as error:
        return Probe(meter=name, available=False, reason=str(error))
    try:
        return probe_of(name, meter, fix)
    finally:
        meter.close()
