"""The form of a device profile, checked: a number without unit, range and source is refused, and the key is named.

A profile is a TOML file. Units are written as people write them (pJ/B, GB/s, mW) and turned into SI on reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from wattscribe.errors import InputError
from wattscribe.text_files import read_toml

_PREFIX = {
    "": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9,
    "T": 1e12,
}  # fmt: skip
_BINARY = {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_BASE = {
    "energy_per_byte": "J/B",
    "energy_per_mac": "J/MAC",
    "bytes": "B",
    "rate": "B/s",
    "macs": "MAC/s",
    "power": "W",
}
Quantity = Literal["energy_per_byte", "energy_per_mac", "bytes", "rate", "macs", "power"]
DTYPES = ("int4", "int8", "float16", "bfloat16", "float32", "float64")


def unit_factor(unit: str, quantity: Quantity) -> float:
    """What one `unit` is in SI. Raises ValueError when it is no unit of the quantity."""
    base = _BASE[quantity]
    if quantity == "bytes" and unit in _BINARY:
        return _BINARY[unit]
    prefix = unit.removesuffix(base)
    if not unit.endswith(base) or prefix not in _PREFIX:
        raise ValueError(
            f"the unit {unit!r} does not measure this: use {base} with a prefix, for instance {_EXAMPLE[quantity]}"
        )
    return _PREFIX[prefix]


LARGEST_SI = 1e24
"""Of any constant in SI units: far beyond any part, and sums and products of it stay finite."""
_EXAMPLE = {
    "energy_per_byte": "pJ/B",
    "energy_per_mac": "pJ/MAC",
    "bytes": "MB or MiB",
    "rate": "GB/s",
    "macs": "GMAC/s",
    "power": "mW",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Constant(_Strict):
    """One number with its range and where it comes from, in the unit as written; `si` is what the model uses.

    Shipped constants also say the year of their source and whether it was measured on silicon, and none has a range of width
    zero; a user's own file may leave both out.
    """

    value: float = Field(ge=0)
    low: float = Field(ge=0)
    high: float = Field(ge=0)
    unit: str
    source: str = Field(min_length=8)
    year: int | None = Field(default=None, ge=1950, le=2100)
    on_silicon: bool | None = None
    """Measured on a part; False: computed, stated by a maker, inferred or assumed. None: not stated."""

    @model_validator(mode="after")
    def _ordered(self) -> Constant:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"the range must hold the value: low {self.low:g} <= value {self.value:g} <= high {self.high:g}"
            )
        return self

    def si(self, quantity: Quantity) -> tuple[float, float, float]:
        """(value, low, high) in SI."""
        factor = unit_factor(self.unit, quantity)
        return self.value * factor, self.low * factor, self.high * factor


def _measures(*fields: tuple[str, Quantity]) -> Any:
    kinds = dict(fields)

    def check(cls: type, value: Constant | None, info: Any) -> Constant | None:
        if value is not None:
            _usable(value.si(kinds[info.field_name]), kinds[info.field_name])
        return value

    return field_validator(*kinds)(classmethod(check))


def _usable(si: tuple[float, float, float], quantity: Quantity) -> None:
    """Raises ValueError for what the model cannot divide by or add up."""
    if not all(value <= LARGEST_SI for value in si):
        raise ValueError(f"is out of range: at most {LARGEST_SI:g} {_BASE[quantity]}")
    if quantity in ("rate", "macs") and not si[1] > 0:
        raise ValueError("must be above 0 with its whole range: nothing is moved or computed at a rate of 0")


class Tier(_Strict):
    """A level of the memory; weights lie in exactly one."""

    name: str
    capacity: Constant
    read: Constant
    """Energy per byte moved, reads and writes alike."""
    bandwidth: Constant
    _units = _measures(("capacity", "bytes"), ("read", "energy_per_byte"), ("bandwidth", "rate"))

    @property
    def capacity_bytes(self) -> int:
        return int(self.capacity.si("bytes")[0])

    @property
    def read_j_per_byte(self) -> float:
        return self.read.si("energy_per_byte")[0]


class OperationCost(_Strict):
    """A multiply-accumulate of one dtype."""

    energy: Constant
    peak: Constant
    _units = _measures(("energy", "energy_per_mac"), ("peak", "macs"))


class Device(_Strict):
    """A whole profile. `tiers` run from the nearest to the farthest: one or two."""

    name: str
    title: str
    description: str = ""
    evidence: Literal["modelled", "calibrated", "simulated"] = "modelled"
    tiers: tuple[Tier, ...] = Field(min_length=1, max_length=2)
    operations: Mapping[str, OperationCost] = Field(min_length=1)
    idle: Constant
    """Power drawn while a component is busy, beyond memory and arithmetic."""
    limit: Constant | None = None
    """The power that the device never exceeds while busy: where the rates would, they are slowed down. None: not known."""
    _units = _measures(("idle", "power"), ("limit", "power"))

    @model_validator(mode="after")
    def _consistent(self) -> Device:
        unknown = sorted(set(self.operations) - set(DTYPES))
        if unknown:
            raise ValueError(f"operations.{unknown[0]} is no dtype; known: {', '.join(DTYPES)}")
        if "float32" not in self.operations:
            raise ValueError(
                "operations.float32 is missing: every device must state what it costs, emulated if need be"
            )
        if len(self.tiers) == 2 and self.tiers[0].read_j_per_byte > self.tiers[1].read_j_per_byte:
            raise ValueError("tiers must run from near to far: tiers.0.read costs more than tiers.1.read")
        if self.limit is not None and self.limit.si("power")[1] <= self.idle.si("power")[2]:
            raise ValueError("limit must be above idle with its whole range, or nothing could be computed")
        return self

    @property
    def local(self) -> Tier:
        return self.tiers[0]

    @property
    def main(self) -> Tier:
        """The farthest tier; the local one where there is no other."""
        return self.tiers[-1]

    def operation(self, dtype: str) -> tuple[str, OperationCost]:
        """The cost of a dtype, or of the next wider one that the device has: (dtype that is charged, cost)."""
        start = DTYPES.index(dtype) if dtype in DTYPES else DTYPES.index("float32")
        for wider in DTYPES[start:]:
            if wider in self.operations:
                return wider, self.operations[wider]
        return "float32", self.operations["float32"]

    def with_local_memory(self, capacity_bytes: int) -> Device:
        """The same device with another size of local memory. Raises InputError for a negative size."""
        if capacity_bytes < 0:
            raise InputError(f"local memory cannot be {capacity_bytes} bytes", fix="Give a size of 0 or more")
        stated = Constant(
            value=capacity_bytes, low=capacity_bytes, high=capacity_bytes, unit="B", source="stated by the user"
        )
        return self.model_copy(update={"tiers": (self.local.model_copy(update={"capacity": stated}), *self.tiers[1:])})


def names() -> list[str]:
    """The profiles that the package ships."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def _folder() -> Path:
    return Path(__file__).parent


def load(name: str | Path) -> Device:
    """A shipped profile by name, or a TOML file by path. Raises InputError that names the key at fault."""
    path = Path(name)
    if path.suffix == ".toml":
        source = path
    elif str(name) in names():
        source = _folder() / f"{name}.toml"
    else:
        raise InputError(
            f"there is no device {str(name)[:100]!r}", fix=f"Shipped: {', '.join(names())}; or give a .toml file"
        )
    return parse(read_toml(source, what="the device profile"), where=source)


def parse(data: Mapping[str, Any], *, where: Path) -> Device:
    """Check a profile's data. Raises InputError with the first key at fault and the count of the others."""
    try:
        return Device.model_validate(data)
    except ValidationError as error:
        problems = error.errors()
        first = problems[0]
        key = ".".join(str(part) for part in first["loc"]) or "the profile"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        message = "is missing" if first["type"] == "missing" else message
        raise InputError(f"{key}: {message}{more}", where=where, fix=_HINT) from error


_HINT = "Each constant is { value, low, high, unit, source }; see docs/devices.md"
