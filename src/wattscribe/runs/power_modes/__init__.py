"""Power modes of the machine as an axis of an experiment: set, read back, restored whatever happens.

`knobs` and its neighbours know one thing each that can be set; `kept` is the file that outlives a killed run; `session` sets a
mode for a trial and everything back in the end.
"""

from wattscribe.runs.power_modes.kept import recover
from wattscribe.runs.power_modes.programs import ModeError
from wattscribe.runs.power_modes.session import Session, held

__all__ = ["ModeError", "Session", "held", "recover"]
