"""How likely each configuration is the cheapest that holds the limits, given the speech that all of them have transcribed.

The same utterances are drawn for all (a paired bootstrap, by speaker where there are enough): what one stretch of speech does to
every configuration alike does not tell them apart. In each draw the cheapest that holds the limits wins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wattscribe.results.tuned import TuningLimits
from wattscribe.scoring import FEWEST_SPEAKERS
from wattscribe.scoring.intervals import clusters, widening
from wattscribe.tuning.observed import LATENCY_POINT, Floats, Observed

DRAWS = 4000
PSEUDO_ERRORS = 0.5
"""Jeffreys' prior of a rate of events: errors that have not been seen are still possible."""
DIFFICULTY = 0.8
"""By how much the errors of utterances differ, for all configurations alike, as a natural logarithm: five hard ones must not drop
all that the rest of the speech would let hold."""
FIRST_NOISE = 0.05
"""Of a cost from run to run, as a natural logarithm, before two stages have shown it: more than a quiet machine has."""
LEAST_NOISE = 0.005
UNKNOWN_COST_SD = 0.7
"""Of a cost that is only guessed from the time that it took: a factor of two either way is nothing unusual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """`best`: the share of draws in which it is the cheapest that holds; `holds`: in which it holds."""

    best: float
    holds: float
    overshoot: float
    """Its worst figure over its limit; 1 or less: all are held."""
    cost: float

    @property
    def order(self) -> tuple[float, ...]:
        """Sorts the most promising first."""
        return -self.best, -self.holds, self.overshoot, self.cost


def chances(seen: Mapping[str, Observed], limits: TuningLimits, *, seed: int) -> dict[str, Chance]:
    """By configuration. Raises ValueError where they have not transcribed the same utterances."""
    keys, each = list(seen), list(seen.values())
    if len({one.ids for one in each}) != 1:
        raise ValueError("chances are of configurations that have transcribed the same utterances")
    first, generator = each[0], np.random.default_rng(seed)
    groups = clusters(first.speakers, len(first.ids), fewest=FEWEST_SPEAKERS)
    drawn = generator.multinomial(groups.count, np.full(groups.count, 1 / groups.count), size=DRAWS).astype(np.float64)
    wider = widening(groups.count, 0.975) if groups.count > 1 else 1.0

    def sums(columns: Sequence[Floats]) -> Floats:
        return drawn @ np.stack([groups.sums(column) for column in columns], axis=1)

    costs, errors_of_cost = _costs(each)
    audio_s, words = sums([first.audio_s]), sums([first.counts.words])
    pseudo = generator.gamma(PSEUDO_ERRORS, size=(DRAWS, len(keys)))
    rate = np.array([one.wer for one in each])
    hard = np.exp(DIFFICULTY / math.sqrt(len(first.ids)) * generator.standard_normal((DRAWS, 1)))
    wer = (sums([one.counts.errors for one in each]) + pseudo) / np.maximum(words, 1.0)
    holds = np.ones((DRAWS, len(keys)), dtype=bool)
    if limits.max_wer is not None:
        holds &= hard * (rate + wider * (wer - rate)) <= limits.max_wer
    if limits.max_latency_s is not None:
        late = [(one.latency_s[: len(one.ids)] > limits.max_latency_s).astype(np.float64) for one in each]
        holds &= sums(late) <= (1 - LATENCY_POINT / 100) * sums([np.ones(len(first.ids))]) + 1e-9
    holds &= np.array([not _too_large(one, limits) for one in each])
    centre = np.log(costs.sum(axis=0) / first.audio_s.sum())
    log_cost = np.log(np.maximum(sums(list(costs.T)) / audio_s, 1e-300))
    log_cost = centre + wider * (log_cost - centre) + errors_of_cost * generator.standard_normal(log_cost.shape)
    winner = np.argmin(np.where(holds, log_cost, np.inf), axis=1)
    won = np.bincount(winner[holds.any(axis=1)], minlength=len(keys)) / DRAWS
    return {
        key: Chance(
            best=float(won[at]),
            holds=float(holds[:, at].mean()),
            overshoot=overshoot(one, limits),
            cost=math.exp(centre[at]),
        )
        for at, (key, one) in enumerate(zip(keys, each, strict=True))
    }


def overshoot(one: Observed, limits: TuningLimits) -> float:
    """The worst of its figures over its limit, as seen; 1 or less where all are held, 0 without limits."""
    pairs = (
        (one.wer, limits.max_wer),
        (one.latency_p90_s, limits.max_latency_s),
        (one.peak_memory_bytes, limits.max_memory_bytes),
    )
    over = [0.0]
    for value, limit in pairs:
        if limit is not None:
            over.append(
                math.inf if value is None else value / limit if limit > 0 else (0.0 if value <= 0 else math.inf)
            )
    return max(over)


def run_noise(stages: Sequence[Mapping[str, Observed]]) -> float:
    """By how much a configuration's cost per second changes from stage to stage beyond what the speech does to all, as a natural
    logarithm: what is left of a table of configurations × stages when both means are taken off."""
    keys = [key for key in stages[-1] if all(key in stage for stage in stages)] if len(stages) > 1 else []
    rates = [[stage[key].rate for stage in stages] for key in keys]
    table = np.array([[math.log(rate) for rate in row if rate] for row in rates if all(row)])
    if len(table) < 3 or table.shape[1] < 2:
        return FIRST_NOISE
    left = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    spread = math.sqrt(float(np.square(left).sum()) / ((table.shape[0] - 1) * (table.shape[1] - 1)))
    return max(LEAST_NOISE, spread)


def _too_large(one: Observed, limits: TuningLimits) -> bool:
    if limits.max_memory_bytes is None:
        return False
    return one.peak_memory_bytes is None or one.peak_memory_bytes > limits.max_memory_bytes


def _costs(each: Sequence[Observed]) -> tuple[Floats, Floats]:
    """Costs, shape (utterances, configurations), and the error of each total. Where a stage was too short for the sensor, the
    cost is guessed from the time that it took, by what the others took for theirs."""
    known = [one.cost.sum() / one.work_s for one in each if one.rate is not None and one.work_s > 0]
    per_s = float(np.median(known)) if known else 1.0
    columns, errors = [], []
    for one in each:
        if one.rate is not None:
            columns.append(np.maximum(one.cost, 1e-12))
            errors.append(one.cost_log_sd)
        else:
            columns.append(one.audio_s * max(one.work_s, 1e-9) * per_s / one.audio_s.sum())
            errors.append(UNKNOWN_COST_SD)
    return np.stack(columns, axis=1), np.array(errors)
