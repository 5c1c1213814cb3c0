"""Figures: the study's four from any run, names that are short and never on each other, axes that begin where the data are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.pages.browser import MISSING, Browser
from tests.stored_runs import CLEAN, MODELS, Model, Shape, made_up_run
from wattscribe.pages import figures, formats
from wattscribe.pages.axes import energy_axis, linear_range, wer_axis
from wattscribe.pages.names import LONGEST, broken, names_of, short_names, shortened
from wattscribe.pages.page import Figure, Section, render
from wattscribe.pages.run_page import run_page
from wattscribe.records import Condition, RunFacts
from wattscribe.results.findings import eval_sets
from wattscribe.results.table import view

needs_browser = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
WHISPERS = ("tiny.en", "tiny", "base.en", "base", "small.en", "distil-small.en", "medium", "large-v3-turbo")


def chapter(models: Sequence[Model], precisions: Sequence[str] = ("fp32", "int8")) -> RunFacts:
    """As the study ran it: one corpus clean, the same utterances again from a folder of noisy recordings."""
    clean = made_up_run(
        models=models, precisions=precisions, conditions=(CLEAN,), shape=Shape(corpus="/d/librispeech/dev-clean")
    )
    worse = [replace(each, word_errors=each.word_errors + 0.25) for each in models]
    noisy = made_up_run(
        models=worse, precisions=precisions, conditions=(CLEAN,), shape=Shape(corpus="/d/librispeech-noisy/dev-clean")
    )
    moved = (replace(each, trial=replace(each.trial, id=f"n{each.trial.id}")) for each in noisy.trials)
    return replace(clean, trials=(*clean.trials, *moved))


def whispers(count: int) -> list[Model]:
    return [
        Model(
            name=f"/models/whisper-{WHISPERS[n]}-ct2",
            parameters=39_000_000 * (n + 1),
            word_errors=0.1 - 0.01 * n,
            noise_errors=0.3,
            rtf=0.05 + 0.02 * n,
            power_w=3.0 + 0.2 * n,
        )
        for n in range(count)
    ]


# --- names -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("labels", "short"),
    [
        (["ct2:whisper-tiny.en-ct2", "ct2:whisper-base-ct2"], ["tiny.en", "base"]),
        (["ct2:whisper-tiny", "ct2:whisper-tiny.en"], ["tiny", "tiny.en"]),
        (["onnx:reference", "pocketsphinx:en-us"], ["onnx:reference", "pocketsphinx:en-us"]),
        (["ct2:whisper", "ct2:whisper-base"], ["whisper", "whisper-base"]),
        (["a-1", "a-2"], ["a-1", "a-2"]),
        (["ct2:base"], ["ct2:base"]),
        ([], []),
    ],
)
def test_names_leave_out_what_all_share(labels: list[str], short: list[str]) -> None:
    assert list(short_names(labels).short.values()) == short


def test_what_the_names_leave_out_is_said() -> None:
    assert short_names(["ct2:whisper-tiny-ct2", "ct2:whisper-base-ct2"]).sentence == (
        "All names begin with ct2:whisper- and end in -ct2; the figures leave that out."
    )
    assert short_names(["a", "b"]).sentence == ""


def test_long_names_lose_their_middle_unless_two_would_be_alike() -> None:
    long = "x" * 30 + "streaming" + "y" * 30
    assert len(shortened(long)) == LONGEST
    assert list(short_names([long, "b"]).short.values()) == [shortened(long), "b"]
    twins = [f"{'x' * 30}{middle}{'y' * 30}" for middle in "ab"]
    assert list(short_names(twins).short.values()) == twins
    assert "".join(broken("a-very-long-name-of-a-model fp32")) == "a-very-long-name-of-a-model fp32"


def test_the_full_name_is_on_pointing_and_in_the_table() -> None:
    long = f"/models/{'zipformer-streaming-multilingual-' * 3}2026"
    facts = made_up_run(models=[replace(MODELS[0], name=long), MODELS[1]], precisions=("fp32",), conditions=(CLEAN,))
    found = eval_sets(view(facts))
    (bubble,) = figures.bubbles(found[0], names_of(found))
    full = f"fake:{long.rpartition('/')[2]} fp32"
    assert any("…" in name for name in bubble.traces[0]["meta"]["names"])
    assert full in bubble.traces[0]["meta"]["full"]
    assert any(text.startswith(full) for text in bubble.traces[0]["hovertext"])
    assert full.removesuffix(" fp32") in run_page(facts).split("<table", 1)[1].split("</table>", 1)[0]


# --- axes ------------------------------------------------------------------------------------------------------------
def test_axes_of_points_begin_where_the_data_are() -> None:
    low, high = wer_axis([7.8, 8.7])["range"]
    assert 7.0 < low < 7.8
    assert 8.7 < high < 9.5
    low, high = energy_axis([3.0, 6.0])["range"]
    assert 2.0 < low < 3.0
    assert energy_axis([0.01, 5.0])["type"] == "log"


def test_no_axis_is_labelled_below_zero() -> None:
    axis = wer_axis([0.0, 3.0])
    assert axis["range"][0] < 0
    assert min(axis["tickvals"]) == 0
    assert 3 <= len(axis["tickvals"]) <= 8
    assert "tickvals" not in wer_axis([5.0, 8.0])


@pytest.mark.parametrize("value", [0.0, 0.0012, 7.5, 3e4])
def test_one_value_alone_has_an_axis_around_it(value: float) -> None:
    low, high = linear_range([value])["range"]
    assert low < value < high


def test_bars_keep_their_zero() -> None:
    found = eval_sets(view(chapter(MODELS)))
    for figure in (figures.wer_bars(found), *figures.energy_bars(found[0]), figures.speed_and_memory_bars(found[0])):
        assert figure is not None
        axes = [axis for name, axis in figure.layout.items() if name.startswith("yaxis")]
        assert axes
        assert all(axis["rangemode"] == "tozero" for axis in axes)


def test_a_lone_bubble_has_no_scale_of_colours() -> None:
    def marker(models: Sequence[Model]) -> dict[str, Any]:
        (figure,) = figures.bubbles(eval_sets(view(made_up_run(models=models, precisions=("fp32",))))[0])
        found: dict[str, Any] = figure.traces[0]["marker"]
        assert ("Colour" in figure.description) == ("colorbar" in found)
        return found

    assert "colorbar" not in marker(MODELS[:1])
    several = marker(MODELS)
    assert several["cmin"] == 0
    assert several["cmax"] == max(several["color"])


def test_a_bubbles_area_is_its_memory() -> None:
    found = eval_sets(view(made_up_run(precisions=("fp32",), conditions=(CLEAN,))))[0]
    (figure,) = figures.bubbles(found)
    memory = {entry.group.label: entry.row.peak_memory_bytes or 0 for entry in found.entries}
    sizes = dict(zip(figure.traces[0]["meta"]["full"], figure.traces[0]["marker"]["size"], strict=True))
    per_byte = [size**2 / memory[label] for label, size in sizes.items()]
    assert per_byte == pytest.approx([per_byte[0]] * len(per_byte))


# --- the study's four, from any run ----------------------------------------------------------------------------------
def test_the_studys_four_figures_come_from_model_by_precision_by_quiet_and_noisy() -> None:
    found = eval_sets(view(chapter(MODELS[:3])))
    names = names_of(found)
    wer = figures.wer_bars(found, names)
    assert wer is not None
    assert [trace["name"] for trace in wer.traces] == ["librispeech/dev-clean", "librispeech-noisy/dev-clean"]
    labels = [f"{model} {precision}" for model in ("tiny", "base", "small") for precision in ("fp32", "int8")]
    assert [trace["x"] for trace in wer.traces] == [labels, labels]
    assert all(quiet < noisy for quiet, noisy in zip(wer.traces[0]["y"], wer.traces[1]["y"], strict=True))
    (energy,) = figures.energy_bars(found[0], names)
    assert {trace["name"] for trace in energy.traces} == {"fp32", "int8"}
    assert all(trace["x"] == ["tiny", "base", "small"] for trace in energy.traces)
    both = figures.speed_and_memory_bars(found[0], names)
    assert both is not None
    assert [(trace["name"], len(trace["y"])) for trace in both.traces] == [("fp32", 3), ("int8", 3)] * 2
    (bubble,) = figures.bubbles(found[0], names)
    assert len(bubble.traces[0]["x"]) == 6


# --- titles ----------------------------------------------------------------------------------------------------------
def titles(page: str) -> list[str]:
    return [part.split("</figcaption>")[0] for part in page.split("<figcaption>")[1:]]


def test_no_two_figures_share_a_title() -> None:
    """Two kinds of joules of one evidence, two noises of one name, two rooms, and repeats."""
    noises = [Condition(noise=f"/{where}/rain", snr_db=snr) for where in "ab" for snr in (10.0, 0.0)]
    rooms = [replace(noise, rir=f"/r/{room}.wav") for noise in noises[:2] for room in "cd"]
    facts = made_up_run(
        models=MODELS[:2],
        precisions=("fp32",),
        conditions=(CLEAN, *noises, *rooms),
        shape=Shape(utterances=6, repeats=2),
    )
    other = [
        replace(
            each,
            traces=tuple(
                replace(trace, covers="GPU alone", channel="gpu", processors=("gpu",)) for trace in each.traces
            ),
        )
        if each.trial.recognizer.model == "base"
        else each
        for each in facts.trials
    ]
    elsewhere = [
        replace(each, trial=replace(each.trial, recognizer=replace(each.trial.recognizer, device="cuda")))
        if each.trial.recognizer.model == "base"
        else each
        for each in other
    ]
    found = titles(run_page(replace(facts, trials=tuple(elsewhere))))
    assert len([each for each in found if each.startswith("Energy per second of audio, measured")]) == 2
    assert len([each for each in found if each.startswith("WER against SNR: rain")]) == 4
    assert sorted(found) == sorted(set(found))


def test_figures_that_nothing_tells_apart_are_numbered() -> None:
    same = [
        Figure(id=f"f{n}", title="One", description="", traces=[{"type": "bar", "x": [1], "y": [1]}], layout={})
        for n in range(2)
    ]
    assert titles(render("t", [Section(id="s", title="S", blocks=same)])) == ["One, no. 1", "One, no. 2"]


# --- in a browser ----------------------------------------------------------------------------------------------------
NAMES = """
return ['bubbles-0', 'pareto-0'].map(id => {
  const plot = document.getElementById(id);
  const box = e => { const r = e.getBoundingClientRect(); return {left: r.left, right: r.right, top: r.top, bottom: r.bottom}; };
  const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const round = (a, b) => {   // a circle within box b
    const r = (b.right - b.left) / 2, x = b.left + r, y = b.top + r;
    return Math.hypot(Math.max(a.left - x, 0, x - a.right), Math.max(a.top - y, 0, y - a.bottom)) < r - 0.5;
  };
  const named = [...plot.querySelectorAll('.annotation-text')];
  const names = named.map(box);
  const points = [...plot.querySelectorAll('.scatterlayer .point')].map(box);
  const others = [...plot.querySelectorAll('svg text')].filter(e => !named.includes(e) && e.textContent.trim()).map(box);
  return {
    count: names.length, points: points.length, unnamed: plot.parentElement.querySelector('.unnamed').textContent,
    onNames: names.filter((a, i) => names.some((b, j) => j > i && over(a, b))).length,
    onPoints: names.filter(a => points.some(b => round(a, b))).length,
    onOthers: names.filter(a => others.some(b => over(a, b))).length,
    outside: names.filter(a => { const b = box(plot); return a.left < b.left || a.right > b.right; }).length,
  };
});"""
GOOD = {"unnamed": "", "onNames": 0, "onPoints": 0, "onOthers": 0, "outside": 0}


def close_together(count: int) -> list[Model]:
    """As bad as it gets: WER, energy and memory of all nearly the same."""
    return [
        replace(model, word_errors=0.08, rtf=0.1 + 0.001 * n, power_w=3.0, parameters=80_000_000)
        for n, model in enumerate(whispers(count))
    ]


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("make", [whispers, close_together])
@pytest.mark.parametrize(("models", "precisions", "width"), [(8, 1, 1280), (4, 2, 1280), (4, 1, 390), (2, 2, 390)])
def test_every_model_is_named_and_no_name_lies_on_anything(
    make: Any, models: int, precisions: int, width: int, tmp_path: Path
) -> None:
    formats.write(chapter(make(models), ("fp32", "int8")[:precisions]), "html", tmp_path / "report.html")
    with Browser(tmp_path / "profile", width=width, height=900) as browser:
        browser.open(tmp_path / "report.html")
        for found in browser.run(NAMES):
            count = models * precisions
            assert found == {**GOOD, "count": count, "points": count}
        assert browser.logs() == []


@pytest.mark.browser
@needs_browser
def test_names_find_new_places_when_the_window_or_the_choice_changes(tmp_path: Path) -> None:
    formats.write(chapter(whispers(8), ("fp32",)), "html", tmp_path / "report.html")
    with Browser(tmp_path / "profile", width=1280, height=900) as browser:
        browser.open(tmp_path / "report.html")
        before = browser.run(NAMES)
        browser.resize(560, 900)
        after = browser.run(NAMES)
        browser.run("return Plotly.restyle('pareto-0', {visible: 'legendonly'}, [0]).then(() => 0)")
        front = browser.run(NAMES)[1]
        assert [each["count"] for each in before] == [each["count"] for each in after] == [8, 8]
        assert all(each == {**GOOD, "count": 8, "points": 8} for each in after)
        assert front == {**GOOD, "count": front["points"], "points": front["points"]}
        assert 0 < front["points"] < 8


@pytest.mark.browser
@needs_browser
def test_what_finds_no_room_is_named_below_the_figure(tmp_path: Path) -> None:
    models = [replace(each, name=f"{each.name}-{'a-long-name-' * 3}{n}") for n, each in enumerate(close_together(8))]
    formats.write(
        made_up_run(models=models, precisions=("fp32", "int8"), conditions=(CLEAN,)), "html", tmp_path / "report.html"
    )
    with Browser(tmp_path / "profile", width=390, height=900) as browser:
        browser.open(tmp_path / "report.html")
        for found in browser.run(NAMES):
            said = found["unnamed"].removeprefix("Not named for want of room: ")
            assert found["count"] + len(said.split(", ")) == 16
            assert found["onNames"] == found["onPoints"] == found["outside"] == 0


@pytest.mark.browser
@needs_browser
def test_arabic_words_run_from_right_to_left(tmp_path: Path) -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=2))
    texts = (("ذهب الولد إلى المدرسة", "ذهب الولد إلى البيت"), ("the boy went home", "the boy went to school"))
    trial = facts.trials[0]
    said = tuple(
        replace(each, reference=reference, hypothesis=heard)
        for each, (reference, heard) in zip(trial.utterances, texts, strict=True)
    )
    formats.write(replace(facts, trials=(replace(trial, utterances=said),)), "html", tmp_path / "report.html")
    with Browser(tmp_path / "profile", width=900, height=900) as browser:
        browser.open(tmp_path / "report.html")
        places = browser.run(
            "for (const each of document.querySelectorAll('details')) each.open = true;"
            "return [...document.querySelectorAll('.aligned ol')].map(list => [...list.children].map("
            "word => [word.querySelector('.r').textContent, word.getBoundingClientRect().left]))"
        )
    by_first = {words[0][0]: [left for _, left in words] for words in places}
    assert by_first["ذهب"] == sorted(by_first["ذهب"], reverse=True)
    assert by_first["the"] == sorted(by_first["the"])
