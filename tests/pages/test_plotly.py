"""The shipped plotly.js: the file that `scripts/plotly` builds, with the kinds of traces that the pages draw, and licences."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

from tests.pages.browser import MISSING, Browser
from wattscribe.pages.page import TRACES, Figure, Section, render

ROOT = Path(__file__).parents[2]
SHIPPED = files("wattscribe.pages") / "plotly"
SUM = "c6266580dfe5f08cdf6788abc6e2518c39ec1b6b0cd3f2164a9619e6a18f9868"
"""Of the file built from the versions in scripts/plotly/package.json: changed with them, never by hand."""


def test_it_is_the_file_that_was_built() -> None:
    assert sha256((SHIPPED / "plotly.min.js").read_bytes()).hexdigest() == SUM


def test_the_licence_of_every_package_in_it_is_shipped() -> None:
    pinned = json.loads((ROOT / "scripts/plotly/package.json").read_text(encoding="utf-8"))["dependencies"]
    licences = (SHIPPED / "LICENSES.txt").read_text(encoding="utf-8")
    assert len(pinned) == 20
    for name, version in pinned.items():
        assert re.search(rf"(?m)^{re.escape(name)} {re.escape(version)} \((MIT|BSD-3-Clause|Zlib)\)$", licences), name
    assert licences.count("Permission is hereby granted") > 10


def test_a_figure_that_it_cannot_draw_is_refused() -> None:
    with pytest.raises(ValueError, match=r"figure odd: .*violin"):
        Figure(id="odd", title="", description="", traces=[{"type": "violin"}], layout={})
    assert Figure(id="plain", title="", description="", traces=[{"y": [1]}], layout={}).traces


@pytest.mark.browser
@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_a_browser_finds_the_kinds_that_are_promised(tmp_path: Path) -> None:
    figure = Figure(id="one", title="", description="", traces=[{"y": [1, 2]}], layout={})
    page = tmp_path / "page.html"
    page.write_text(render("one", [Section(id="s", title="S", blocks=[figure])]), encoding="utf-8")
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        assert set(browser.run("return Object.keys(Plotly.PlotSchema.get().traces)")) == TRACES
        assert browser.logs() == []
