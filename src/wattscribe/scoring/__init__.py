"""From stored text to word errors and intervals; pure."""

from __future__ import annotations

from wattscribe.scoring.bounds import SATURATED, can_show, it_takes, too_few, units_to_bound, units_to_show, unseen_rate
from wattscribe.scoring.counting import ErrorCounts, Span, count_errors, mean_counts
from wattscribe.scoring.intervals import RESAMPLES, RateInterval, wer_interval
from wattscribe.scoring.normalise import NORMALISERS, Normaliser, normaliser
from wattscribe.scoring.paired import (
    FEWEST_SPEAKERS,
    MatchedPairs,
    Metric,
    PairedResult,
    holm,
    mapsswe,
    paired_bootstrap,
    segments,
    standard_error,
)
from wattscribe.scoring.rank import RankCorrelation, spearman

__all__ = [
    "FEWEST_SPEAKERS", "NORMALISERS", "RESAMPLES", "ErrorCounts", "MatchedPairs", "Metric", "Normaliser",
    "PairedResult", "SATURATED", "RankCorrelation", "RateInterval", "Span", "can_show", "count_errors", "holm",
    "it_takes", "mapsswe", "mean_counts", "normaliser", "paired_bootstrap", "segments", "spearman",
    "standard_error", "too_few", "units_to_bound", "units_to_show", "unseen_rate", "wer_interval",
]  # fmt: skip
