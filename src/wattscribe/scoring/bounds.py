"""What so much speech can show at all: exact bounds where few events or none were seen, and how many words a claim takes.

A bootstrap draws from what was seen; what was not seen has no chance in it, so that two equal transcripts of fifteen words look
like certainty. The exact bound for an event not seen in n units is 1 − (1 − c)^(1/n), about 3 / n: the rule of three.
"""

from __future__ import annotations

import math
from statistics import NormalDist

POWER = 0.8
"""The chance with which a proposed amount of speech shows what it is to show, where the true increase is none."""


def unseen_rate(units: float, confidence: float = 0.95) -> float:
    """The rate below which, with this confidence, an event lies that did not happen in so many independent units."""
    return 1.0 - (1.0 - confidence) ** (1.0 / units) if units > 0 else 1.0


def units_to_bound(rate: float, confidence: float = 0.95) -> float:
    """How many units without the event show that it is rarer than `rate`; infinite for a rate of zero."""
    return math.log1p(-confidence) / math.log1p(-rate) if 0 < rate < 1 else (math.inf if rate <= 0 else 1.0)


def events_upper(count: float, units: float, confidence: float = 0.95) -> float:
    """Upper bound of the expected number of events in `units` units where `count` were seen.

    None seen: exact (binomial). Else Poisson's (Garwood 1936) in Wilson and Hilferty's form, within 0.5 %; fractional counts,
    as from averaged repeats, lie between.
    """
    if count <= 0:
        return units * unseen_rate(units, confidence)
    more, z = count + 1.0, NormalDist().inv_cdf(confidence)
    return more * (1.0 - 1.0 / (9.0 * more) + z / (3.0 * math.sqrt(more))) ** 3


def units_to_show(limit: float, standard_error: float, units: float, *, confidence: float = 0.95) -> float:
    """How many units show, with POWER, that a difference whose true size is 0 stays below `limit`.

    From the standard error that `units` units gave, which falls with the root of their number; never fewer than a difference
    that was not seen at all would take. Infinite for a limit of zero.
    """
    if limit <= 0:
        return math.inf
    normal = NormalDist()
    needed_error = limit / (normal.inv_cdf(confidence) + normal.inv_cdf(POWER))
    return max(units * (standard_error / needed_error) ** 2, units_to_bound(limit, confidence))
