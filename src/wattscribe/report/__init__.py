"""Facts to view-model to page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wattscribe.report.formats import FORMATS, to_csv, to_json, to_markdown, to_parquet, write
from wattscribe.report.table import SCHEMA, Row, View, rows, view

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device
    from wattscribe.records import RunFacts
    from wattscribe.report.findings import Limits

__all__ = [
    "FORMATS",
    "SCHEMA",
    "Row",
    "View",
    "rows",
    "to_csv",
    "to_json",
    "to_markdown",
    "to_parquet",
    "view",
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
