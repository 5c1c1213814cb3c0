"""What a meter's scale may be off by: the same in every trial on one board, so it is stated beside an interval and not in it."""

from __future__ import annotations

_INA3221 = "about 1 % (INA3221 with its shunt; inferred from TI's data sheet and 1 % shunts)"
GAIN_ERRORS = {
    "ina3221": _INA3221,
    "ina3221-iio": _INA3221,
    "tegrastats": _INA3221,
    "ina238": "about 1 % (its shunt; inferred)",
    "nvml": "5 % (NVIDIA's documentation, for power)",
}
"""By meter. RAPL, the Raspberry Pi's PMIC and batteries publish none."""


def gain_error(meter: str | None) -> str:
    """In words, for what a kind of sensor shows."""
    return GAIN_ERRORS.get(meter or "", "not published by its maker")
