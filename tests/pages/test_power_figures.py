"""Power over time where a counter was set back: an unknown sample hides no peak and breaks no page."""

from __future__ import annotations

import numpy as np

from wattscribe.pages.power_figures import thinned


def test_an_unknown_sample_hides_no_peak() -> None:
    times, powers = np.arange(10_000.0), np.ones(10_000)
    powers[1234], powers[7777] = 9.0, 0.1
    powers[1230], powers[7000:7100] = np.nan, np.nan
    _, few_w = thinned(times, powers, 300)
    assert (np.nanmax(few_w), np.nanmin(few_w)) == (9.0, 0.1)
