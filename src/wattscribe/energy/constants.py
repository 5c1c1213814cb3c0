"""A device's constants as arrays: element 0 the stated values, then seeded draws from their ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattscribe.energy.devices import Constant, Device
from wattscribe.energy.devices.profile import Quantity
from wattscribe.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Every constant in SI, arrays of shape (1 + draws,)."""

    read_j_per_byte: Mapping[str, Array]
    bytes_per_s: Mapping[str, Array]
    mac_j: Mapping[str, Array]
    mac_per_s: Mapping[str, Array]
    idle_w: Array
    limit_w: Array | None
    """What the device draws at most while busy; None: not known."""

    @property
    def zero(self) -> Array:
        return np.zeros_like(self.idle_w)


def draw(device: Device, draws: int, seed: int) -> Draws:
    """The same (device, draws, seed) gives the same arrays on any machine. Raises InputError for a negative seed."""
    if seed < 0:
        raise InputError(f"`seed` {seed} is below 0", fix="Give 0 or more")
    generator = np.random.default_rng(seed)

    def sample(constant: Constant, quantity: Quantity) -> Array:
        value, low, high = constant.si(quantity)
        return np.concatenate([[value], _triangle(generator, value, low, high, draws)])

    return Draws(
        read_j_per_byte={tier.name: sample(tier.read, "energy_per_byte") for tier in device.tiers},
        bytes_per_s={tier.name: sample(tier.bandwidth, "rate") for tier in device.tiers},
        mac_j={name: sample(cost.energy, "energy_per_mac") for name, cost in device.operations.items()},
        mac_per_s={name: sample(cost.peak, "macs") for name, cost in device.operations.items()},
        idle_w=sample(device.idle, "power"),
        limit_w=None if device.limit is None else sample(device.limit, "power"),
    )


def _triangle(generator: np.random.Generator, value: float, low: float, high: float, draws: int) -> Array:
    """A triangle over [low, high] with its mode at `value`: over logarithms, or plainly where the range starts at 0."""
    uniform = generator.random(draws)  # always drawn, so that one constant's range does not shift another's draws
    if high == low:
        return np.full(draws, value)
    if low > 0:
        return np.exp(_inverse(uniform, np.log(value), np.log(low), np.log(high)))
    return _inverse(uniform, value, low, high)


def _inverse(uniform: Array, mode: float, low: float, high: float) -> Array:
    """The triangular distribution's quantiles."""
    width, left = high - low, mode - low
    rising = low + np.sqrt(uniform * width * left)
    falling = high - np.sqrt((1 - uniform) * width * (high - mode))
    return np.where(uniform * width < left, rising, falling)
