"""The page: self-contained, escaped, and drawn by a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import Markup

from tests.pages.browser import MISSING, Browser
from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run, store_run
from wattscribe.cli import main
from wattscribe.pages import to_markdown, write_html
from wattscribe.pages.page import Block, Cell, Figure, Section, Table, Words, embedded, harmless, render
from wattscribe.pages.run_page import run_page
from wattscribe.pages.sections import energy_tables, streaming_table
from wattscribe.pages.worst import aligned_words
from wattscribe.records import Counts, Rejected, RunFacts, StreamingLatency
from wattscribe.results.findings import hearings
from wattscribe.results.table import view
from wattscribe.scoring import count_errors

ATTACKS = (
    "</script><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<!--<script>",
    "{{ 7*7 }}",
    "\"'><svg onload=window.pwned=1>",
)


def hostile() -> RunFacts:
    """A run in which every text that comes from outside attacks the page."""
    evil = " ".join(ATTACKS)
    facts = made_up_run(
        models=(replace(MODELS[0], name=ATTACKS[1]), replace(MODELS[1], ran_as_asked=False)),
        precisions=("fp32", "int8"),
        conditions=(CLEAN, replace(NOISY[0], noise=f"/n/{ATTACKS[4]}"), NOISY[2]),
        shape=Shape(utterances=8, corpus=f"/data/{ATTACKS[0]}", rejected=(Rejected(corpus="c", id=evil, reason=evil),)),
        name=ATTACKS[0],
    )
    trials = []
    for trial in facts.trials:
        bad = tuple(replace(r, hypothesis=f"{evil} {r.hypothesis}", id=f"{r.id}{evil}") for r in trial.utterances)
        covers = tuple(replace(trace, covers=evil, channel=ATTACKS[1]) for trace in trial.traces)
        trials.append(replace(trial, utterances=bad, traces=covers))
    trials[-1] = replace(trials[-1], status="failed", reason=evil)
    return replace(
        facts, trials=tuple(trials), machine={"cpu": evil, ATTACKS[1]: [evil]}, experiment={"models": [evil]}
    )


class Elements(HTMLParser):
    """Start tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(page)
    return parser.found


def test_text_from_outside_never_becomes_markup() -> None:
    found = elements(run_page(hostile()))
    assert not [tag for tag, attributes in found if any(name.startswith("on") for name in attributes)]
    assert [tag for tag, _ in found].count("script") == 3
    assert not [tag for tag, _ in found if tag in ("img", "svg", "iframe", "object")]


def test_the_page_asks_no_server_for_anything() -> None:
    found = elements(run_page(made_up_run(models=MODELS[:1], conditions=(CLEAN,))))
    for tag, attributes in found:
        for name in ("src", "href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    policy = next(a["content"] for tag, a in found if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy or "")


def test_plotly_is_inlined_once_and_only_where_something_is_drawn() -> None:
    page = run_page(made_up_run(models=MODELS[:2], conditions=(CLEAN,)))
    assert page.count("plotly.js v") == 1
    assert 4_000_000 < len(page) < 7_000_000
    assert len(render("words only", [Section(id="a", title="A", blocks=[Words(lines=["x"])])])) < 40_000


def test_embedded_json_cannot_end_its_element() -> None:
    text = embedded({"a": "</script><!--", "b": float("nan"), "c": "\u2028&"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": None, "c": "\u2028&"}


def test_labels_cannot_use_the_tags_that_plotly_reads() -> None:
    assert harmless({"x": ["<a href='javascript:1'>a</a><br>b"]}) == {"x": ["‹a href='javascript:1'›a‹/a›<br>b"]}


def test_what_a_reader_must_know_is_on_the_page() -> None:
    left_out = (Rejected(corpus="bundled", id="u9999", reason="0 samples", where="a/b.wav"),)
    liar = replace(MODELS[0], name="liar", ran_as_asked=False)
    facts = made_up_run(
        models=(*MODELS, liar), precisions=("fp32", "int8"), shape=Shape(rejected=left_out, utterances=12)
    )
    failed = replace(facts.trials[0], status="failed", reason="hung for 120 s")
    page = run_page(replace(facts, trials=(failed, *facts.trials[1:])))
    for words in (
        "precision not as requested",
        "hung for 120 s",
        "0 samples",
        "Recommendation",
        "rank correlation",
        "energy ratio",
        "MAPSSWE",
        "module total",
        "Pareto front",
        "Cortex-A76",
    ):
        assert words in page


def test_streaming_shows_what_was_asked_for_and_how_to_ask() -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,))
    counts = Counts(encoder_calls=10, predictor_calls=5, joiner_calls=12, frames=40, blanks=30, tokens=5)
    delays = StreamingLatency(
        first_partial_s=0.5,
        emission_delay_p50_s=0.2,
        emission_delay_p99_s=0.4,
        segment_compute_p50_s=0.01,
        segment_compute_p99_s=0.02,
        finalisation_s=0.1,
        partials=4,
        partials_revised=0,
    )

    def streaming(**changes: object) -> Table | None:
        trials = tuple(
            replace(trial, utterances=tuple(replace(each, **changes) for each in trial.utterances))  # type: ignore[arg-type]
            for trial in facts.trials
        )
        return streaming_table(view(replace(facts, trials=trials)))

    assert streaming(counts=None, latency=None) is None
    counted, timed, both = (
        streaming(**each) for each in ({"counts": counts}, {"latency": delays}, {"counts": counts, "latency": delays})
    )
    assert counted is not None
    assert timed is not None
    assert both is not None
    assert "First partial" not in counted.header
    assert "bench --latency measures them" in counted.caption
    assert "Joiner /s" not in timed.header
    assert "--latency" not in timed.caption
    assert {"First partial", "Joiner /s"} <= set(both.header)
    for table in (counted, timed, both):
        assert all(cell.text != "–" for row in table.rows for cell in row)
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_a_modelled_figure_is_no_warning() -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,), shape=Shape(measured=False))
    (table,) = energy_tables(hearings(view(facts)))
    assert table.rows
    for row in table.rows:
        assert re.fullmatch(r"[\d.]+ CPU s × [\d.]+ W per core", row[-1].text)
        assert not row[-1].warn


def test_measured_figures_say_what_their_intervals_cannot_hold() -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,))
    meter, rail, channel = "ina3221", "VDD_IN", "ina3221.VDD_IN"
    named = (
        replace(each, traces=tuple(replace(t, channel=channel, meter=meter) for t in each.traces[:1]))
        for each in facts.trials
    )
    facts = replace(facts, trials=tuple(named))
    fix = "echo 16 | sudo tee samples"
    blind = replace(facts, meters={"probes": [{"meter": meter, "instants": [rail], "fix": fix, "available": True}]})
    for text in (run_page(blind), to_markdown(blind)):
        assert f"Not in the intervals: the gain error of {channel}, about 1 %" in text
        assert f"{channel} showed instants" in text
        assert fix in text
    assert "showed instants" not in run_page(facts)
    modelled = made_up_run(models=MODELS[:1], conditions=(CLEAN,), shape=Shape(measured=False))
    assert "gain error" not in run_page(modelled)


def test_unavailable_energy_says_why() -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,), shape=Shape(measured=False))
    page = run_page(replace(facts, trials=tuple(replace(trial, cpu_s=None) for trial in facts.trials)))
    assert "no CPU seconds were recorded" in page
    assert "No power was sampled" in page


def test_runs_with_little_or_nothing_in_them_still_make_a_page() -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,))
    assert "In short" in run_page(replace(facts, trials=()))
    failed = tuple(replace(trial, status="failed", reason="no memory", utterances=()) for trial in facts.trials)
    assert "no memory" in run_page(replace(facts, trials=failed))
    bare = tuple(replace(t, audit=None, window=None, traces=(), cpu_s=None, load_s=None) for t in facts.trials)
    assert "In short" in run_page(replace(facts, trials=bare))


def test_worst_utterances_are_aligned_word_by_word() -> None:
    counts = count_errors(["a b c d"], ["a x c d e"], rule="none")
    columns = aligned_words(list("abcd"), list("axcde"), counts.alignments[0])
    assert columns == [("", "a", "a"), ("s", "b", "x"), ("", "c", "c"), ("", "d", "d"), ("i", "·", "e")]
    gone = count_errors(["a b"], ["a"], rule="none")
    assert aligned_words(["a", "b"], ["a"], gone.alignments[0])[-1] == ("d", "b", "·")


def test_the_verb_writes_beside_the_journal_and_prints_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = store_run(made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN,)), tmp_path / "r")
    assert main(["report", str(run), "--max-wer", "5%", "--max-memory", "1GB"]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert "keeps the limits" in (run / "report.html").read_text(encoding="utf-8")
    assert main(["report", str(run), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1
    assert main(["report", str(run), "--format", "csv", "--out", str(tmp_path / "x.csv")]) == 0
    assert (tmp_path / "x.csv").read_text(encoding="utf-8").startswith("model,")
    assert main(["report", str(tmp_path / "none")]) == 2


# --- in a browser ----------------------------------------------------------------------------------------------------
needs_browser = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
TRAFFIC = "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length"
TOO_WIDE = "return document.documentElement.scrollWidth - window.innerWidth"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(hostile(), path)
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
    write_html(facts, tmp_path / "report.html")
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
    write_html(made_up_run(models=named, precisions=("fp32", "int8"), conditions=(CLEAN,)), tmp_path / "report.html")
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
