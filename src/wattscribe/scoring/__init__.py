"""From stored text to word errors and intervals; pure."""

from __future__ import annotations

from wattscribe.scoring.bounds import units_to_bound, units_to_show, unseen_rate
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
)
from wattscribe.scoring.rank import RankCorrelation, spearman

__all__ = [
    "FEWEST_SPEAKERS",
    "NORMALISERS",
    "RESAMPLES",
    "ErrorCounts",
    "MatchedPairs",
    "Metric",
    "Normaliser",
    "PairedResult",
    "RankCorrelation",
    "RateInterval",
    "Span",
    "count_errors",
    "holm",
    "mapsswe",
    "mean_counts",
    "normaliser",
    "paired_bootstrap",
    "segments",
    "spearman",
    "units_to_bound",
    "units_to_show",
    "unseen_rate",
    "wer_interval",
]
