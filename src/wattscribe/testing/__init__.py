"""Fakes and builders that our tests use and users may too."""

from wattscribe.metering.sensors.replay import ReplayMeter
from wattscribe.testing import loads, sensor_trees
from wattscribe.testing.faults import FakeCommands, FaultyFiles
from wattscribe.testing.loads import FakeClock, SimulatedMeter
from wattscribe.testing.nvml import FakeGpu, FakeNvml
from wattscribe.testing.recognizer import FakeRecognizer, FakeStream, References

__all__ = [
    "FakeClock", "FakeCommands", "FakeGpu", "FakeNvml", "FakeRecognizer", "FakeStream", "FaultyFiles", "References",
    "ReplayMeter", "SimulatedMeter", "loads", "sensor_trees",
]  # fmt: skip
