"""Fakes and builders that our tests use and users may too."""

from wattscribe.meters.replay import ReplayMeter
from wattscribe.testing.clock import FakeClock

__all__ = ["FakeClock", "ReplayMeter"]
