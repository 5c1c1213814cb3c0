"""How likely each configuration is the cheapest that holds the limits, where each has transcribed a part of the speech.

What a configuration would do on speech that it has not transcribed is drawn from what the configuration did there that answered
most like it, off by as much as the two differed where both were heard: whoever gives the same text is judged once, and all that
hear a hard stretch find it hard. Costs are drawn from a table of configurations × parts. In each draw the cheapest wins that
holds the limits on the speech of the search and on what is held back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattscribe.results.tuned import TuningLimits
from wattscribe.tuning.observed import LATENCY_POINT, Floats, Observed, joined

DRAWS = 1000
PSEUDO_EVENTS = 0.5
"""Jeffreys' prior of a rate of events: errors that have not been seen are still possible."""
DIFFICULTY = 0.8
"""By how much the errors of utterances differ, for all configurations alike, as a natural logarithm."""
UNLIKE = 0.5
"""Squared difference of two configurations' errors in an utterance, assumed as one observation more: agreement on a few
utterances is no proof of agreement on all."""
FIRST_NOISE = 0.05
"""Of a cost from run to run, as a natural logarithm, before two stages have shown it: more than a quiet machine has."""
LEAST_NOISE = 0.005
OF_FIRST = 4
"""Observations of a cost that FIRST_NOISE stands for."""
UNKNOWN_COST_SD = 0.7
"""Of a cost that is only guessed from the time that it took: a factor of two either way is nothing unusual."""

Parts = Sequence[Observed | None]
"""What one configuration showed, part by part of the speech, the held-back one last; None: not transcribed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """`best`: the share of draws in which it is the cheapest that holds; `holds`: in which it holds."""

    best: float
    holds: float
    overshoot: float
    """Its worst figure over its limit, on what it has transcribed; 1 or less: all are held."""
    cost: float
    """Per second of audio, as it would be on all speech."""

    @property
    def order(self) -> tuple[float, ...]:
        """Sorts the most promising first."""
        return -self.best, -self.holds, self.overshoot, self.cost


def chances(
    shown: Mapping[str, Parts],
    utterances: Sequence[int],
    limits: TuningLimits,
    *,
    noise: float,
    seed: int,
) -> dict[str, Chance]:
    """By configuration, of which each has transcribed the first part at least; `utterances` of each part."""
    if not shown:
        return {}
    generator, rows = np.random.default_rng(seed), list(shown.values())
    holds = np.ones((len(rows), DRAWS), dtype=bool)
    if limits.max_wer is not None:
        errors = [[None if one is None else one.counts.errors for one in row] for row in rows]
        words = _units([[None if one is None else one.counts.words for one in row] for row in rows], utterances)
        holds &= _within(_drawn(errors, words, utterances, generator), words, limits.max_wer)
    if limits.max_latency_s is not None:
        limit_s, each = limits.max_latency_s, np.array(utterances, dtype=np.float64)
        late = [
            [None if one is None else (one.latency_s[: len(one.ids)] > limit_s).astype(np.float64) for one in row]
            for row in rows
        ]
        holds &= _within(_drawn(late, each, utterances, generator), each, 1 - LATENCY_POINT / 100)
    holds &= np.array([[not _too_large(row, limits)] for row in rows])
    centre, sd = _costs(rows, noise)
    log_cost = centre[:, None] + sd[:, None] * generator.standard_normal(holds.shape)
    winner = np.argmin(np.where(holds, log_cost, np.inf), axis=0)
    won = np.bincount(winner[holds.any(axis=0)], minlength=len(rows)) / DRAWS
    return {
        key: Chance(
            best=float(won[at]),
            holds=float(holds[at].mean()),
            overshoot=overshoot(joined([one for one in rows[at] if one is not None]), limits),
            cost=math.exp(centre[at]),
        )
        for at, key in enumerate(shown)
    }


def overshoot(one: Observed, limits: TuningLimits) -> float:
    """The worst of its figures over its limit, as seen; 1 or less where all are held, 0 without limits."""
    pairs: list[tuple[float | None, float]] = []
    if limits.max_wer is not None:
        pairs.append((one.wer, limits.max_wer))
    if limits.max_latency_s is not None:
        pairs.append((one.latency_p90_s, limits.max_latency_s))
    if limits.max_memory_bytes is not None:
        pairs.append((one.peak_memory_bytes, limits.max_memory_bytes))
    over = [0.0]
    for value, limit in pairs:
        over.append(math.inf if value is None else value / limit if limit > 0 else (0.0 if value <= 0 else math.inf))
    return max(over)


def run_noise(rows: Sequence[Parts]) -> float:
    """By how much a configuration's cost per second changes from part to part beyond what their utterances explain, as a natural
    logarithm; FIRST_NOISE counts as OF_FIRST observations more."""
    there = [(at, part, one) for at, row in enumerate(rows) for part, one in enumerate(row) if one and one.rate]
    many = {at for at, _, _ in there if sum(at == other for other, _, _ in there) > 1}
    cells = [(at, part, one) for at, part, one in there if at in many]
    logs, weights = (
        np.zeros((len(rows), len(rows[0]) if rows else 0)),
        np.zeros((len(rows), len(rows[0]) if rows else 0)),
    )
    for at, part, one in cells:
        logs[at, part], weights[at, part] = math.log(one.rate or 1.0), 1.0
    free = len(cells) - len(many) - len({part for _, part, _ in cells}) + 1
    if len(many) < 2 or free < 1:
        return FIRST_NOISE
    mine, parts = _two_way(logs, weights)
    square = float((weights * np.square(logs - mine[:, None] - parts)).sum())
    square -= free * _spread(rows) ** 2 * float(np.mean([1 / len(one.ids) for _, _, one in cells]))
    return math.sqrt(max(LEAST_NOISE**2, (square + OF_FIRST * FIRST_NOISE**2) / (free + OF_FIRST)))


def _two_way(logs: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The effect of each row and of each column, by weighted least squares."""
    rows, columns = np.zeros(logs.shape[0]), np.zeros(logs.shape[1])
    for _ in range(20):
        rows = (weights * (logs - columns)).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-12)
        columns = (weights * (logs - rows[:, None])).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-12)
    return rows, columns


def _too_large(row: Parts, limits: TuningLimits) -> bool:
    if limits.max_memory_bytes is None:
        return False
    return any(
        one.peak_memory_bytes is None or one.peak_memory_bytes > limits.max_memory_bytes
        for one in row
        if one is not None
    )


def _units(rows: Sequence[Sequence[Floats | None]], utterances: Sequence[int]) -> Floats:
    """Of each part: as whoever transcribed it has them, else as many as the utterances of the first part have."""
    seen = [next((row[part] for row in rows if row[part] is not None), None) for part in range(len(utterances))]
    first = seen[0]
    mean = 1.0 if first is None else float(first.sum()) / max(1, len(first))
    return np.array([mean * n if s is None else float(s.sum()) for s, n in zip(seen, utterances, strict=True)])


def _within(totals: Floats, units: Floats, limit: float) -> NDArray[np.bool_]:
    """Whether events over units are within the limit on the speech of the search and on what is held back."""
    searched = totals[:, :-1].sum(axis=1) <= limit * units[:-1].sum() + 1e-9
    proven = totals[:, -1] <= limit * units[-1] + 1e-9
    held: NDArray[np.bool_] = searched & proven
    return held


def _drawn(
    events: Sequence[Sequence[Floats | None]], units: Floats, utterances: Sequence[int], generator: np.random.Generator
) -> Floats:
    """Totals of each part, shape (configurations, parts, DRAWS): what was seen as it was, the rest drawn."""
    totals = np.zeros((len(events), len(utterances), DRAWS))
    missing = [np.full(count, np.nan) for count in utterances]
    each = np.stack(
        [np.concatenate([m if one is None else one for one, m in zip(row, missing, strict=True)]) for row in events]
    )
    order = np.argsort(np.isnan(each).sum(axis=1), kind="stable")
    for place, at in enumerate(order):
        persistent, own = generator.standard_normal(DRAWS), _own_rate(events[at], units, generator)
        if place:
            square, mean, shared, other = _most_alike(each[at], each, order[:place])
        for part, seen in enumerate(events[at]):
            n = utterances[part]
            if seen is not None:
                totals[at, part] = seen.sum()
            elif not place:
                hard = math.sqrt(1 / n + 1 / np.isfinite(each[at]).sum())
                totals[at, part] = units[part] * own * np.exp(DIFFICULTY * hard * generator.standard_normal(DRAWS))
            else:
                off = n * (mean + math.sqrt(square / shared) * persistent)
                off += math.sqrt(n * square) * generator.standard_normal(DRAWS)
                totals[at, part] = np.maximum(0.0, totals[other, part] + off)
    return totals


def _own_rate(mine: Sequence[Floats | None], units: Floats, generator: np.random.Generator) -> Floats:
    """Events per unit, by what was seen of it alone."""
    count = sum(float(one.sum()) for one in mine if one is not None)
    of = sum(float(units[part]) for part, one in enumerate(mine) if one is not None)
    return generator.gamma(count + PSEUDO_EVENTS, 1 / max(of, 1.0), size=DRAWS)


def _most_alike(mine: Floats, each: Floats, others: NDArray[np.intp]) -> tuple[float, float, int, int]:
    """Of the one whose events in an utterance differ the least: the squared difference, the mean one, over how many utterances,
    and which it is."""
    apart = mine - each[others]
    shared = np.isfinite(apart).sum(axis=1)
    squares = (np.nansum(np.square(apart), axis=1) + UNLIKE) / (shared + 1)
    nearest = int(np.argmin(squares))
    mean = float(np.nansum(apart[nearest])) / (shared[nearest] + 1)
    return float(squares[nearest]), mean, int(shared[nearest]), int(others[nearest])


def _costs(rows: Sequence[Parts], noise: float) -> tuple[Floats, Floats]:
    """The logarithm of each configuration's cost per second over the same speech, and by how much it may be off: in a table of
    configurations × parts, what is left of it when the parts' effect on all is taken off."""
    rates = [(one.rate, one.work_s / one.audio_s.sum()) for row in rows for one in row if one is not None]
    known = [rate / took for rate, took in rates if rate and took > 0]
    per_s = float(np.median(known)) if known else 1.0
    logs, weights = np.zeros((len(rows), len(rows[0]))), np.zeros((len(rows), len(rows[0])))
    spread = _spread(rows)
    for at, row in enumerate(rows):
        some = any(one is not None and one.rate is not None for one in row)
        for part, one in enumerate(row):
            if one is None or (some and one.rate is None):
                continue
            rate = one.rate if one.rate is not None else per_s * max(one.work_s, 1e-9) / float(one.audio_s.sum())
            sd = UNKNOWN_COST_SD if one.rate is None else math.hypot(noise, one.cost_log_sd)
            logs[at, part] = math.log(max(rate, 1e-12))
            weights[at, part] = 1 / (sd**2 + spread**2 / len(one.ids))
    mine, _ = _two_way(logs, weights)
    return mine, 1 / np.sqrt(weights.sum(axis=1))


def _spread(rows: Sequence[Parts]) -> float:
    """By how much an utterance's cost per second differs beyond what it costs all, and beyond what the configuration costs."""
    first = [
        np.log(np.maximum(one.cost, 1e-12)) for row in rows if (one := row[0]) is not None and one.rate is not None
    ]
    if len(first) < 3 or len(first[0]) < 2:
        return 0.0
    table = np.stack(first)
    left = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    return math.sqrt(float(np.square(left).sum()) / ((table.shape[0] - 1) * (table.shape[1] - 1)))
