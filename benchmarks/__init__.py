"""What Wattscribe itself costs: each module measures one thing and prints it as JSON; `python -m benchmarks` runs them all."""

from __future__ import annotations

import os

from wattscribe.as_found import TELEMETRY_OFF

os.environ.update(TELEMETRY_OFF)  # before a benchmark imports a library, and for the processes that it starts
