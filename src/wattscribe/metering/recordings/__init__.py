"""Recordings of external meters: which meters' files are known, and how any is read."""

from wattscribe.metering.recordings.reader import read
from wattscribe.metering.recordings.recording import COVERS, NAME, Recording

__all__ = ["COVERS", "NAME", "Recording", "read"]
