"""The page: self-contained, escaped, and drawn by a real browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.pages.hostile import hostile
from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run, store_run
from wattscribe.cli import main
from wattscribe.pages import to_markdown
from wattscribe.pages.page import Section, Table, Words, embedded, harmless, render
from wattscribe.pages.run_page import run_page
from wattscribe.pages.sections import energy_tables, streaming_table
from wattscribe.pages.worst import aligned_words
from wattscribe.records import Counts, Rejected, StreamingLatency
from wattscribe.results.findings import eval_sets
from wattscribe.results.table import view
from wattscribe.scoring import count_errors


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
    assert 1_000_000 < len(page) < 1_600_000
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

    def streaming(**changes: object) -> tuple[Table | None, str]:
        trials = tuple(
            replace(trial, utterances=tuple(replace(each, **changes) for each in trial.utterances))  # type: ignore[arg-type]
            for trial in facts.trials
        )
        changed = replace(facts, trials=trials)
        return streaming_table(view(changed)), to_markdown(changed)

    nothing, text = streaming(counts=None, latency=None)
    assert nothing is None
    assert "Recognizer" not in text
    (counted, plain), (timed, delayed), (both, full) = (
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
    assert "Joiner /s" not in plain, "a table in the terminal only where delays were asked for"
    for text, of in ((delayed, timed), (full, both)):
        (header,) = (line for line in text.splitlines() if line.startswith("| Recognizer"))
        assert [cell.strip() for cell in header.strip("|").split("|")] == [*of.header]
        assert text.count("First partial") == 1
        assert " 0.500 " in text.splitlines()[text.splitlines().index(header) + 2]
    for table in (counted, timed, both):
        assert all(cell.text != "–" for row in table.rows for cell in row)
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_a_modelled_figure_is_no_warning() -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,), shape=Shape(measured=False))
    (table,) = energy_tables(eval_sets(view(facts)))
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
