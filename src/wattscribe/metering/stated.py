"""What a user says of meters: a command to read, and which channel stands for the whole device, which only its wiring tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from wattscribe.errors import InputError
from wattscribe.metering.base import Channel, DoubtfulMeter, Meter, PacedMeter, Probe
from wattscribe.metering.sensors import command, command_line
from wattscribe.metering.sensors.command_line import PREFIX, Spec
from wattscribe.metering.sensors.hwmon import SAY_WHICH

WHOLE = "whole:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """`commands` to read; `whole`: `METER.CHANNEL` that stands for the device, so that no other channel does."""

    commands: tuple[Spec, ...] = ()
    whole: str | None = None

    @classmethod
    def of(cls, stated: Sequence[str]) -> Said:
        """Of `cmd:COMMAND` and `whole:METER.CHANNEL`. Raises InputError for anything else, and for two wholes."""
        commands, wholes = [], []
        for text in stated:
            if text.startswith(PREFIX):
                commands.append(command_line.parse(text))
            elif text.startswith(WHOLE):
                wholes.append(text.removeprefix(WHOLE).strip())
            else:
                raise InputError(
                    f"there is no meter {text!r} to state",
                    fix="Write cmd:COMMAND, or whole:METER.CHANNEL, for instance whole:hwmon.ina226-1-0040-power1",
                )
        names = [f"{command.NAME}.{spec.name}" for spec in commands]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"two commands are both called {twice[0]}", fix="Name them: cmd:name=NAME -- COMMAND")
        wholes += [name for name, spec in zip(names, commands, strict=True) if not spec.part]
        if len(set(wholes)) > 1:
            raise InputError(
                f"two channels cannot both stand for the whole device: {', '.join(dict.fromkeys(wholes))}",
                fix="A command that measures a part: cmd:part -- COMMAND",
            )
        return cls(commands=tuple(commands), whole=wholes[0] if wholes else None)

    def check(self, here: Iterable[str]) -> None:
        """Raises InputError where the whole is not among the channels that are here."""
        if self.whole is None or self.whole in (names := list(here)):
            return
        raise InputError(
            f"there is no channel {self.whole!r} that could stand for the whole device",
            fix=f"Here are: {', '.join(names)}" if names else "wattscribe meters says why there is none",
        )

    def meter(self, meter: Meter) -> Meter:
        return meter if self.whole is None else _Stated(meter, self.whole)

    def row(self, row: Probe) -> Probe:
        if self.whole is None or not row.channels:
            return row
        channels = tuple(_stated(row.meter, channel, self.whole) for channel in row.channels)
        named = [channel.name for channel in channels if channel.total]
        words = f"; {named[0]} stands for the whole device, as stated" if named else ""
        asked = [part for part in row.reason.split("; ") if not part.startswith(SAY_WHICH)]
        return replace(row, channels=channels, reason="; ".join(asked) + words)


class _Stated:
    """A meter whose channels are what the user says."""

    def __init__(self, meter: Meter, whole: str) -> None:
        self._meter, self._whole = meter, whole
        self.name = meter.name
        self.min_period_s = meter.min_period_s if isinstance(meter, PacedMeter) else 0.0

    def channels(self) -> Sequence[Channel]:
        return [_stated(self.name, channel, self._whole) for channel in self._meter.channels()]

    def read(self) -> Sequence[float | None]:
        return self._meter.read()

    def doubts(self) -> Mapping[str, str]:
        return self._meter.doubts() if isinstance(self._meter, DoubtfulMeter) else {}

    def close(self) -> None:
        self._meter.close()


def _stated(meter: str, channel: Channel, whole: str) -> Channel:
    if f"{meter}.{channel.name}" != whole:
        return replace(channel, total=False)
    covers = channel.covers if channel.total else f"whole device, as stated ({channel.covers})"
    return replace(channel, total=True, processors=(), covers=covers)
