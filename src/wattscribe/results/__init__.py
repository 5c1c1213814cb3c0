"""Facts to figures: rows, findings, costs, comparisons; no HTML here, pages are made of them in `wattscribe.pages`."""

from __future__ import annotations

from wattscribe.results.row import Row
from wattscribe.results.table import SCHEMA, View, rows, view

__all__ = ["SCHEMA", "Row", "View", "rows", "view"]
