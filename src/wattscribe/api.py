"""The verbs under the name that they had first: `wattscribe.api.bench` is `wattscribe.bench`."""

from wattscribe.verbs import (
    attach,
    bench,
    calibrate,
    compare,
    compress,
    data,
    devices,
    export,
    measure,
    meters,
    profile,
    report,
    train,
    transcribe,
)

__all__ = [
    "attach",
    "bench",
    "calibrate",
    "compare",
    "compress",
    "data",
    "devices",
    "export",
    "measure",
    "meters",
    "profile",
    "report",
    "train",
    "transcribe",
]
