"""What every transcribed second costs — energy, memory, time, word errors — where it arises, and how to lower it.

The verbs are functions of the same names in `wattscribe.api`: `bench`, `report`, `compare`, `meters`, `transcribe`, `profile`,
`calibrate`, `train`, `export`, `compress`. `import wattscribe` itself loads nothing heavy.
"""

from __future__ import annotations

__version__ = "0.1.0"
