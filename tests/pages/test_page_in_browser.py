"""The page in a real browser: drawn, sorted, chosen from, and as wide as its room."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import Markup

from tests.pages.browser import MISSING, Browser
from tests.pages.hostile import hostile
from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run
from wattscribe.pages import formats
from wattscribe.pages.page import Block, Cell, Figure, Section, Table, Words, render
from wattscribe.pages.run_page import run_page
from wattscribe.records import Condition

needs_browser = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
TRAFFIC = "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length"
TOO_WIDE = "return document.documentElement.scrollWidth - window.innerWidth"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    formats.write(hostile(), "html", path)
    return path


@pytest.fixture(scope="module")
def desktop(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(page)
        yield browser


@pytest.mark.browser
@needs_browser
def test_a_browser_opens_it_without_an_error_or_a_request(desktop: Browser) -> None:
    assert desktop.logs() == []
    assert desktop.run(TRAFFIC) == 0
    assert desktop.run("return window.pwned === undefined")


@pytest.mark.browser
@needs_browser
def test_figures_are_really_drawn(desktop: Browser) -> None:
    drawn = desktop.run(
        "return [...document.querySelectorAll('figure.chart:not([hidden]) .plot')]"
        ".map(p => p.querySelectorAll('.point path, path.point, path.js-line, .shapelayer path').length)"
    )
    assert len(drawn) >= 7
    assert min(drawn) > 0
    labels = desktop.run("return [...document.querySelectorAll('.xtick text')].map(t => t.textContent).join(' ')")
    assert "‹img src=x onerror=window.pwned=1›" in labels or "base" in labels


@pytest.mark.browser
@needs_browser
def test_the_table_sorts_with_missing_values_last(desktop: Browser) -> None:
    wer = "[...document.querySelector('#table tbody').rows].map(r => r.cells[3].dataset.sort ?? null)"
    press = "document.querySelectorAll('#table th button')[3].click();"
    up = desktop.run(f"{press} return {wer}")
    down = desktop.run(f"{press} return {wer}")
    assert up[-1] is None
    assert down[-1] is None
    values = [float(each) for each in up if each is not None]
    assert values == sorted(values)
    assert [float(each) for each in down if each is not None] == sorted(values, reverse=True)
    pressed = "return document.querySelectorAll('#table th')[3].getAttribute('aria-sort')"
    assert desktop.run(pressed) == "descending"


@pytest.mark.browser
@needs_browser
def test_choosing_a_trial_draws_its_trace(desktop: Browser) -> None:
    shown = desktop.run(
        "const s = document.querySelector('#choose-trial'); s.value = s.options[2].value;"
        "s.dispatchEvent(new Event('change'));"
        "const f = document.querySelectorAll('.choice figure.chart:not([hidden]) .plot');"
        "return [f.length, f[0].id, s.value, f[0].querySelectorAll('.shapelayer path').length]"
    )
    assert shown[0] == 1
    assert shown[1] == shown[2] == "power-2"
    assert shown[3] == 3


@pytest.mark.browser
@needs_browser
def test_a_phone_needs_no_sideways_scrolling(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path, width=390, height=844) as phone:
        phone.open(page)
        assert phone.run("return window.innerWidth") == 390
        assert phone.run(TOO_WIDE) <= 0
        assert phone.logs() == []


CUT = """
return [...document.querySelectorAll('figure.chart:not([hidden]) .plot')].flatMap(plot => {
  const box = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('svg text')].filter(text => text.textContent.trim()).flatMap(text => {
    const own = text.getBoundingClientRect();
    const outside = own.left < box.left - 2 || own.right > box.right + 2 || own.bottom > box.bottom + 2 || own.top < box.top - 2;
    return outside ? [plot.id + ': ' + text.textContent] : [];
  });
});"""
OVER = """
return [...document.querySelectorAll('figure.chart:not([hidden]) .plot')].flatMap(plot => {
  const boxes = [...plot.querySelectorAll('.xtick text, .x2tick text')].map(text => [text, text.getBoundingClientRect()]);
  return boxes.flatMap(([text, a], at) => boxes.slice(at + 1)
    .filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
    .map(([other]) => plot.id + ': ' + text.textContent + ' / ' + other.textContent));
});"""


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize(("models", "width"), [(2, 390), (4, 390), (4, 1280)])
def test_names_in_figures_are_neither_cut_nor_on_top_of_one_another(models: int, width: int, tmp_path: Path) -> None:
    """Models with names as long as real ones, two precisions, quiet and noisy."""
    named = [replace(each, name=f"zipformer-gigaspeech-{each.name}-3.3m") for each in MODELS[:models]]
    facts = made_up_run(models=named, precisions=("fp32", "int8"), conditions=(CLEAN, *NOISY[:2]))
    formats.write(facts, "html", tmp_path / "report.html")
    with Browser(tmp_path / "profile", width=width, height=900) as browser:
        browser.open(tmp_path / "report.html")
        assert browser.logs() == []
        assert browser.run(CUT) == []
        assert browser.run(OVER) == []
        assert browser.run(TOO_WIDE) <= 0
        heights = browser.run(
            "return [...document.querySelectorAll('figure.chart:not([hidden]) .plot .bglayer .bg, .plot .gridlayer')]"
            ".map(e => e.getBoundingClientRect().height).filter(h => h > 0)"
        )
        assert min(heights) > 90, "a figure whose labels took all its room shows nothing"


@pytest.mark.browser
@needs_browser
def test_figures_follow_their_room(tmp_path: Path) -> None:
    """At once and with their names, whatever narrows it; Plotly by itself looks at the window alone, a while later."""
    named = [replace(each, name=f"zipformer-gigaspeech-{each.name}-3.3m") for each in MODELS[:4]]
    formats.write(
        made_up_run(models=named, precisions=("fp32", "int8"), conditions=(CLEAN,)), "html", tmp_path / "report.html"
    )
    with Browser(tmp_path / "profile", width=1280, height=900) as browser:
        browser.open(tmp_path / "report.html")
        still = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"
        browser.run(f"document.body.style.width = '500px'; return {still}")
        assert browser.run(CUT) == []
        assert browser.run(OVER) == []
        widths = "[plot.clientWidth, plot.querySelector('svg').getBoundingClientRect().width]"
        plots = "[...document.querySelectorAll('figure.chart:not([hidden]) .plot')]"
        for room, taken in browser.run(f"return {plots}.map(plot => {widths})"):
            assert 200 < room < 500
            assert taken == pytest.approx(room, abs=1)


@pytest.mark.browser
@needs_browser
def test_what_a_table_is_about_stays_in_sight_on_a_phone(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path, width=390, height=844) as phone:
        phone.open(page)
        phone.run("document.querySelector('#table .scroll').scrollLeft = 400; return 0")
        for part in ("caption span", "tbody td:first-child", "thead th:first-child"):
            place = f"document.querySelector('#table .scroll {part}').getBoundingClientRect()"
            left, right = phone.run(f"const r = {place}; return [r.left, r.right]")
            assert left >= 0
            assert right <= 390


@pytest.mark.browser
@needs_browser
def test_shared_page_parts(page: Path, desktop: Browser, tmp_path: Path) -> None:
    """What the profile's and the compression's pages are made of: a table without figures, a figure, own markup."""
    table = Table(
        caption="c", header=("a", "b"), rows=[[Cell(text="x", sort=1), Cell(text="–")]], numeric=frozenset({1})
    )
    figure = Figure(
        id="one", title="One", description="d", traces=[{"type": "bar", "x": ["a"], "y": [1]}], layout={"xaxis": {}}
    )
    path = tmp_path / "parts.html"
    blocks: list[Block] = [table, figure, Markup("<p id='own'>own</p>"), Words(lines=["<b>not bold</b>"], tone="warn")]
    path.write_text(render("Parts", [Section(id="s", title="S", blocks=blocks)]), encoding="utf-8")
    desktop.open(path)
    assert desktop.logs() == []
    assert desktop.run("return document.querySelectorAll('#one .point path').length") == 1
    assert desktop.run("return document.querySelectorAll('main b').length") == 0
    assert desktop.run("return document.querySelector('#own').textContent") == "own"
    desktop.open(page)


def test_section_anchors_are_unique() -> None:
    ids = re.findall(
        r'\sid="([^"]+)"', run_page(made_up_run(models=MODELS[:2], precisions=("fp32",))).split("<script", 1)[0]
    )
    assert len(ids) == len(set(ids))


FIFTY = [
    replace(
        MODELS[at % 4], name=f"{('whisper-tiny.en', 'zipformer-gigaspeech', 'moonshine-base-streaming')[at % 3]}-{at:02d}",
        word_errors=0.03 + 0.004 * at, rtf=0.03 * 1.06**at, parameters=int(2e7 * 1.07**at),
    )
    for at in range(50)
]  # fmt: skip
NAMED = """
return [...document.querySelectorAll('figure.chart:not([hidden]) .plot')]
  .filter(plot => /^(wer-bars|energy-bars|speed-memory|snr-)/.test(plot.id))
  .map(plot => Math.max(...['.xtick text, .x2tick text', '.ytick text']
    .map(ticks => new Set([...plot.querySelectorAll(ticks)].map(text => text.textContent)).size)));"""


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_fifty_models_under_eight_conditions_are_all_named(width: int, tmp_path: Path) -> None:
    """Bars and maps scroll where a screen is too narrow for them; long tables and lists are folded."""
    conditions = (CLEAN, *NOISY, *(Condition(noise="babble", snr_db=snr) for snr in (10.0, 5.0, 0.0)))
    facts = made_up_run(
        models=FIFTY, precisions=("fp32",), conditions=conditions, shape=Shape(utterances=6, idle_s=1.0)
    )
    formats.write(facts, "html", tmp_path / "report.html")
    with Browser(tmp_path / "profile", width=width, height=900) as browser:
        browser.open(tmp_path / "report.html")
        assert browser.logs() == []
        named = browser.run(NAMED)
        assert len(named) == 7
        assert set(named) == {50}
        assert browser.run(OVER) == []
        assert browser.run(TOO_WIDE) <= 0
        if width == 1280:
            assert browser.run(CUT) == []
        shown = "return [...document.querySelectorAll('#table tbody tr')].filter(row => !row.hidden).length"
        assert browser.run(shown) == 60
        assert browser.run(f"document.querySelector('#table .more').click(); {shown}") == 400
        last = "const rows = document.querySelectorAll('#table tbody tr'); return rows[rows.length - 1].cells[0].textContent"
        before = browser.run(last)
        press = "document.querySelectorAll('#table th button')[0].click();"
        assert browser.run(f"{press} {press} document.querySelector('#table .more').click(); {shown}") == 60
        assert browser.run(last) != before, "what is folded is sorted too"
        assert browser.run("return document.querySelectorAll('#worst > details').length") == 50


@pytest.mark.browser
@needs_browser
def test_worst_utterances_come_a_page_at_a_time(tmp_path: Path) -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=NOISY[3:], shape=Shape(utterances=12))
    formats.write(facts, "html", tmp_path / "report.html")
    with Browser(tmp_path / "profile", width=1280, height=900) as browser:
        browser.open(tmp_path / "report.html")
        each = "[...document.querySelectorAll('#worst .aligned')]"
        shown = f"return {each}.map((one, at) => one.hidden ? -1 : at).filter(at => at >= 0)"
        press = "document.querySelectorAll('#worst .turn button')[{}].click();"
        assert browser.run(shown) == [0, 1, 2, 3, 4]
        assert browser.run(press.format(1) + shown) == [5, 6, 7, 8, 9]
        assert browser.run(press.format(1) + shown) == [10, 11]
        assert "11 to 12 of 12" in browser.run("return document.querySelector('#worst .turn').textContent")
        assert browser.run("return document.querySelectorAll('#worst .turn button')[1].disabled")
        assert browser.run(press.format(0) + shown) == [5, 6, 7, 8, 9]
