"""The page about a run: what it found in words, the table, the figures, the evidence behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wattscribe.records import RunFacts
from wattscribe.report.page import Section, render
from wattscribe.report.sections import table_section
from wattscribe.report.table import view

if TYPE_CHECKING:
    from wattscribe.report.findings import Limits


def write_run_page(facts: RunFacts, path: Path, *, limits: Limits | None = None) -> None:
    """Write the page to `path`."""
    path.write_text(run_page(facts, limits=limits), encoding="utf-8")


def run_page(facts: RunFacts, *, limits: Limits | None = None) -> str:
    """The page as HTML."""
    seen = view(facts)
    sections: list[Section] = [table_section(seen)]
    return render(facts.name, sections)
