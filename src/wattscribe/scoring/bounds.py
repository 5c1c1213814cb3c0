"""What so much speech can show at all: exact bounds where few events or none were seen, and how many words a claim takes.

A bootstrap draws from what was seen; what was not seen has no chance in it, so that two equal transcripts of fifteen words look
like certainty. The exact bound for an event not seen in n units is 1 − (1 − c)^(1/n), about 3 / n: the rule of three.
"""

from __future__ import annotations

import math
from statistics import NormalDist

POWER = 0.8
"""The chance with which a proposed amount of speech shows what it is to show, where the true increase is none."""

SATURATED = 0.8
"""Error rate from which a set shows no harm: only a word that is right can be lost, so that of new errors at most a fifth would
be seen here, and one within the limit may be five times beyond it on speech that is understood."""


def unseen_rate(units: float, confidence: float = 0.95) -> float:
    """The rate below which, with this confidence, an event lies that did not happen in so many independent units."""
    return 1.0 - (1.0 - confidence) ** (1.0 / units) if units > 0 else 1.0


def units_to_bound(rate: float, confidence: float = 0.95) -> float:
    """How many units without the event show that it is rarer than `rate`; infinite for a rate of zero."""
    return math.log1p(-confidence) / math.log1p(-rate) if 0 < rate < 1 else (math.inf if rate <= 0 else 1.0)


def can_show(limit: float, units: float) -> bool:
    """Whether so many units, with no event in them, would show a rate below `limit`. None shows a limit of zero: what is asked
    then is judged by what is seen, and never shown."""
    return limit <= 0 or units >= units_to_bound(limit) - 1e-6


def too_few(limit_points: float, words: int, needed: int | None) -> str:
    """What to say where they cannot; `needed` words could."""
    amount = f"{words:,} word{'' if words == 1 else 's'}"
    return f"{amount} cannot show a rise of {limit_points:g} points, whatever is recognised; {it_takes(needed)}"


def it_takes(needed: int | None) -> str:
    """So many words; None: no number of words."""
    if needed is None:
        return "no number of words shows that: ask for more than 0 points"
    return f"it takes about {needed:,}"


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
