"""Device profiles: memory tiers, joules per byte and per operation, peak rates, idle watts; each with range and source."""

from wattscribe.energy.devices.profile import Constant, Device, OperationCost, Tier, load, names

__all__ = ["Constant", "Device", "OperationCost", "Tier", "load", "names"]
