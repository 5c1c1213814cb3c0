"""What a notebook shows of a run, a profile and a compression: standalone, whole, and whatever comes from outside is text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import wattscribe
from tests.pages.hostile import ATTACKS, hostile
from tests.stored_runs import CLEAN, MODELS, made_up_run
from wattscribe.records import RunFacts

VOID = ("br", "img", "input", "meta", "link")
DRAWN = {
    "div",
    "style",
    "p",
    "strong",
    "br",
    "ul",
    "li",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "small",
}


class Read(HTMLParser):
    """Every element that a browser would make, and whether all are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name not in ("class", "scope", "title", "dir")]
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def drawn(value: object) -> Read:
    html = value._repr_html_()  # type: ignore[attr-defined]
    assert isinstance(html, str)
    read = Read(html)
    assert read.open == []
    assert set(read.seen) <= DRAWN, "no script, no image, no link: nothing is run and nothing is fetched"
    assert "url(" not in html
    return read


def test_a_run_is_its_table() -> None:
    facts: RunFacts = made_up_run(models=MODELS[:2], conditions=(CLEAN,), precisions=("fp32", "int8"))
    read = drawn(facts)
    assert read.seen.count("tr") == 1 + 4
    assert read.text.count("fake:tiny") >= 2
    assert "WER %" in read.text
    assert "J/s = Wh/h audio" in read.text
    assert "measured" in read.text


def test_a_run_in_which_nothing_is_finished_is_drawn_too() -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,))
    pending = replace(facts, trials=tuple(replace(each, status="pending", utterances=()) for each in facts.trials))
    assert "pending" in drawn(pending).text or "running" in drawn(pending).text


def test_what_comes_from_outside_is_text() -> None:
    read = drawn(hostile())
    shown = re.sub(r"\s+", " ", read.text)
    assert ATTACKS[0] in shown, "the run's name, as it is"


def test_a_profile_is_its_components_and_what_follows() -> None:
    profile = wattscribe.profile("arch:emformer-rnnt-base", vocab=4097)
    read = drawn(profile)
    for name in ("encoder", "predictor", "joiner", "modelled"):
        assert name in read.text
    assert all(line in read.text for line in profile.guidelines)


def test_a_compression_is_its_verdict(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra `compress` is not installed")
    from tests.compression import builders
    from wattscribe.compression.run import Options, compress_model

    model = builders.build(tmp_path / "model")
    dev = builders.corpus(tmp_path / "dev", model, count=8)
    (tmp_path / "recipe.toml").write_text(
        'schema = 1\nmodel = "m"\ndevice = "wearable"\n'
        '[[step]]\nkept = true\nlever = "int8"\ncomponent = "joiner"\nreason = "x"\n',
        encoding="utf-8",
    )
    options = Options(
        device="wearable", data=(str(dev),), unlabelled=(str(dev),), max_wer_increase_points=20.0, calibration_s=8.0,
        probe_s=4.0, recipe=tmp_path / "recipe.toml",
    )  # fmt: skip
    found = compress_model(model, tmp_path / "out", options, say=lambda _: None)
    read = drawn(found)
    assert "energy, mJ per second of audio" in read.text
    assert "WER, %" in read.text
    assert "Compression of" in read.text
