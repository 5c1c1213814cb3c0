"""From counted work to joules: workload, devices, placement, breakdown, calibration."""

from wattscribe.energy.modelled import modelled_reading, modelled_utterance_j
from wattscribe.energy.workload import Component, WeightTensor, Workload

__all__ = ["Component", "WeightTensor", "Workload", "modelled_reading", "modelled_utterance_j"]
