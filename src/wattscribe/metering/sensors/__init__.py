"""One file per kind of sensor, each with `probe` and `open_meter`."""
