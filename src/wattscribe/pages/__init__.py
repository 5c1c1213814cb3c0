"""Pages and other formats that people and programs read, made of the figures in `wattscribe.results`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wattscribe.pages.formats import FORMATS, to_csv, to_json, to_markdown, to_parquet, write

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device
    from wattscribe.records import RunFacts
    from wattscribe.results.findings import Limits

__all__ = [
    "FORMATS",
    "to_csv",
    "to_json",
    "to_markdown",
    "to_parquet",
    "write_html",
]


def write_html(
    facts: RunFacts,
    path: Path,
    *,
    limits: Limits | None = None,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
) -> None:
    """One self-contained page about a run; `limits` are what the recommendation must keep. Raises InputError as `write`."""
    write(facts, "html", path, limits=limits, device=device, grid_gco2_per_kwh=grid_gco2_per_kwh)
