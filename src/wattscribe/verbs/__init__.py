"""The verbs as functions: each loads its rooms only when it is called, and leaves the process as it found it."""

from wattscribe.verbs.of_fleets import fleet
from wattscribe.verbs.of_models import compress, data, devices, export, profile, train, transcribe, tune
from wattscribe.verbs.of_runs import attach, bench, calibrate, compare, measure, meters, report

__all__ = [
    "attach", "bench", "calibrate", "compare", "compress", "data", "devices", "export", "fleet", "measure", "meters",
    "profile", "report", "train", "transcribe", "tune",
]  # fmt: skip
