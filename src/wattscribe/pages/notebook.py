"""Runs, profiles and compressions as a notebook shows them, when they are the last line of a cell."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from wattscribe.compression.outcome import Compression
from wattscribe.energy.profile import Profile
from wattscribe.pages import compress_page, profile_page, run_page
from wattscribe.records import RunFacts


@singledispatch
def html(value: Any) -> str:
    """A fragment of HTML. Raises TypeError for what nobody draws."""
    raise TypeError(f"nothing draws {type(value).__name__}")


html.register(RunFacts, run_page.fragment)
html.register(Profile, profile_page.fragment)
html.register(Compression, compress_page.fragment)
