"""Real recordings, models and outputs, which lie beside the project and are no part of it."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(os.environ.get("WATTSCRIBE_SHARED") or Path(__file__).resolve().parents[2] / "shared")
DATA = SHARED / "data"
ZIPFORMER = DATA / "models/zipformer-gigaspeech-3.3m"
