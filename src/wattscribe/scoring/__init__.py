"""From stored text to word errors and intervals; pure."""

from __future__ import annotations

from wattscribe.scoring.counting import ErrorCounts, Span, count_errors, mean_counts
from wattscribe.scoring.intervals import RESAMPLES, RateInterval, wer_interval
from wattscribe.scoring.normalise import NORMALISERS, Normaliser, normaliser
from wattscribe.scoring.paired import MatchedPairs, PairedResult, holm, mapsswe, paired_bootstrap, segments
from wattscribe.scoring.rank import RankCorrelation, spearman

__all__ = [
    "NORMALISERS",
    "RESAMPLES",
    "ErrorCounts",
    "MatchedPairs",
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
    "wer_interval",
]
