"""Quantiles of Student's t, without scipy."""

from __future__ import annotations

import math
from statistics import NormalDist


def student_t(degrees: float, confidence: float) -> float:
    """The value below which t falls with this confidence (above one half); infinitely many degrees of freedom: the normal.

    Closed for one and two degrees, else Fisher and Cornish's expansion (1960) to the fourth order: within 0.1 %.
    """
    if degrees == 1:
        return math.tan(math.pi * (confidence - 0.5))
    if degrees == 2:
        both = 2 * confidence - 1
        return both * math.sqrt(2 / (1 - both * both))
    z = NormalDist().inv_cdf(confidence)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**order for order, term in enumerate(terms, start=1))
