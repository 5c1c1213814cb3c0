"""From counted work to joules: workload, devices, placement, breakdown, calibration."""
