"""Facts to figures: rows, findings, costs, comparisons; no HTML here, pages are made of them in `wattscribe.pages`."""

from __future__ import annotations

from wattscribe.results.table import SCHEMA, Row, View, rows, view

__all__ = ["SCHEMA", "Row", "View", "rows", "view"]
