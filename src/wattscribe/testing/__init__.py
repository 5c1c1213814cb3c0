"""Fakes and builders that our tests use and users may too."""

from wattscribe.meters.replay import ReplayMeter
from wattscribe.testing.clock import FakeClock
from wattscribe.testing.recognizer import FakeRecognizer, FakeStream, References

__all__ = ["FakeClock", "FakeRecognizer", "FakeStream", "References", "ReplayMeter"]
