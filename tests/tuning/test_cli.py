"""The command: limits as people type them, exit statuses, words and JSON; and its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import wattscribe
from tests.pages.hostile import ATTACKS
from wattscribe.cli import main
from wattscribe.pages import tune_page
from wattscribe.results.tuned import Check, Proof, Stage, Standing, Tuned, TuningLimits, sentences, to_plain


def proof(label: str = "fake:a", **figures: Any) -> Proof:
    known: dict[str, Any] = {
        "axes": {"model": label}, "checks": (Check(what="WER", value=0.1, limit=0.12, upper=0.13),), "utterances": 15,
        "speakers": 3, "words": 150, "audio_s": 50.0, "repeats": 3, "wer": 0.1, "wer_ci95": (0.08, 0.13), "wer_method": "",
        "cost": 0.9, "cost_ci95": (0.88, 0.92), "evidence": "measured", "covers": "whole board", "latency_p90_s": 0.2,
        "peak_memory_bytes": 100_000_000,
    }  # fmt: skip
    return Proof(label=label, **{**known, **figures})


def standing(label: str, outcome: Any, **figures: Any) -> Standing:
    known: dict[str, Any] = {
        "axes": {"model": label}, "reason": None, "stages": 4, "audio_s": 100.0, "wer": 0.1, "wer_ci95": (0.08, 0.12),
        "cost": 1.0, "cost_ci95": (0.9, 1.1), "latency_p90_s": 0.2, "peak_memory_bytes": 100_000_000, "best": 0.5,
    }  # fmt: skip
    return Standing(label=label, outcome=outcome, **{**known, **figures})


def tuned(**parts: Any) -> Tuned:
    first, other = proof(), proof("fake:b", cost=1.8)
    known: dict[str, Any] = {
        "name": "t", "minimise": "energy", "title": "energy", "unit": "J", "limits": TuningLimits(max_wer=0.12), "seed": 0,
        "budget": 0.25, "configurations": 4, "chosen": first, "proofs": (first, other),
        "standings": (
            standing("fake:a", "chosen"), standing("fake:b", "finalist", cost=2.0, wer=0.05),
            standing("fake:c", "dropped", stages=1, reason="after stage 1: breaks a limit"),
            standing("fake:d", "failed", stages=0, wer=None, wer_ci95=None, cost=None, cost_ci95=None, best=None),
        ),
        "stages": (Stage(name="stage-1", configurations=4, audio_s=40.0), Stage(name="proof-1", configurations=2, audio_s=60.0)),
        "audio_s": 100.0, "exhaustive_audio_s": 400.0, "cost_noise": 0.02,
    }  # fmt: skip
    return Tuned(**{**known, **parts})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the function is called with; it returns `result`."""
    asked: dict[str, Any] = {"result": tuned()}

    def tune(space: Path, out: Path, **options: Any) -> Tuned:
        asked.update(options, space=space, out=out)
        result: Tuned = asked["result"]
        return result

    monkeypatch.setattr(wattscribe, "tune", tune)
    return asked


def test_limits_are_typed_as_everywhere(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    words = "tune s.toml --max-wer 12% --max-latency-ms 800 --max-memory 500MB --budget 10% --out t --simulated-board orin-nano"
    assert main(words.split()) == 0
    assert (told["max_wer_percent"], told["max_latency_ms"], told["max_memory_bytes"]) == (12, 800, 500e6)
    assert (told["budget_percent"], told["simulated_board"], told["minimise"]) == (10, "orin-nano", "energy")
    printed = capsys.readouterr().out
    assert printed.startswith(
        "Take fake:a: of 4 configurations it takes the least energy of those that hold the limits, 0.900 J per"
    )
    assert "WER 10.00 % of at most 12.00 %, which is not shown: it may be up to 13.00 %" in printed
    assert "fake:b holds them too and takes 2.00 times as much there." in printed
    assert "100 s of audio were transcribed, 25 % of the 400 s" in printed


def test_none_found_is_exit_status_one(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    broken = proof(checks=(Check(what="WER", value=0.13, limit=0.12, upper=0.2),))
    told["result"] = tuned(chosen=None, proofs=(broken,))
    assert main(["tune", "s.toml", "--out", "t", "--json"]) == 1
    plain = json.loads(capsys.readouterr().out)
    assert plain["chosen"] is None
    assert plain["proofs"][0]["holds"] is False
    assert plain["in_words"][0] == (
        "None is returned: on the speech that was held back fake:a: WER 13.00 % over 12.00 %."
    )


def test_the_second_that_was_tried_is_told_as_such() -> None:
    broken, good = proof(checks=(Check(what="WER", value=0.13, limit=0.12, upper=0.2),)), proof("fake:b")
    text = " ".join(sentences(tuned(chosen=good, proofs=(broken, good))))
    assert "It is the second that was tried there; fake:a: WER 13.00 % over 12.00 %." in text
    assert to_plain(tuned(chosen=good, proofs=(broken, good)))["chosen"]["label"] == "fake:b"


def test_no_proof_names_the_nearest_or_why_nothing_ran() -> None:
    assert "The one of the lowest WER is fake:b (WER 5.00 %" in sentences(tuned(chosen=None, proofs=()))[0]
    lost = standing("fake:a", "failed", reason="after stage 1: failed: no such file", wer=None)
    assert (
        "nothing was transcribed (after stage 1: failed: no such file)"
        in sentences(tuned(chosen=None, proofs=(), standings=(lost,)))[0]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tune none.toml --out t", "none.toml: the space cannot be read: No such file or directory"),
        ("tune s.toml --out t --max-wer much", "--max-wer 'much' is not a number"),
        ("tune s.toml --out t --budget 0", "--budget is 0. It is a share of the audio"),
        ("tune s.toml --out t --minimise device_energy", "--minimise device_energy and --device belong together"),
        ("tune s.toml --out t --minimise joules", "--minimise"),
        ("tune s.toml --out t --minimise cpu_s --resume", "there is no tuning to go on with. Leave --resume out"),
    ],
)
def test_a_mistake_is_one_line(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text('models = ["fake:a"]\ndata = ["bundled"]\n', encoding="utf-8")
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_the_page_shows_all_and_escapes_all() -> None:
    page = tune_page.html(tuned())
    for text in ("tuning-front", "fake:c", "breaks a limit", "shown", "stage-1", "25 %"):
        assert text in page
    for nasty in (attack for attack in ATTACKS if "<" in attack):
        shown = tune_page.html(
            tuned(chosen=None, proofs=(proof(nasty),), standings=(standing(nasty, "dropped", reason=nasty),))
        )
        assert nasty not in shown


def test_a_page_without_a_figure_is_a_page() -> None:
    lost = standing("fake:a", "failed", stages=0, wer=None, cost=None)
    page = tune_page.html(tuned(chosen=None, proofs=(), standings=(lost,), exhaustive_audio_s=0.0, audio_s=0.0))
    assert "tuning-front" not in page
    assert "None is returned" in page
