"""A Whisper's limits by corpus where they bind: test speech, a limit that nothing meets, a 16-bit export, what is shown of it."""
# ruff: noqa: F811 - fixtures of the module that builds the toy Whisper

from __future__ import annotations

import json
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compression.test_whisper import clips, exported, options, world  # noqa: F401
from wattscribe.compression import acceptance
from wattscribe.compression.measure import Measurer
from wattscribe.compression.moves import Move
from wattscribe.compression.outcome import lines, to_json
from wattscribe.compression.run import compress_model
from wattscribe.compression.seq2seq.family import EIGHT, TWO_STEP, Whispers
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError
from wattscribe.pages.compress_page import html
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.seq2seq.export import export_whisper
from wattscribe.testing.contracts import babble


def of_the_table(self: Whispers, bench: Workbench, base: tuple[Step, ...]) -> list[Move]:
    """Few moves: what is looked at here is how they are judged and shown."""
    return [Move(slot="table:vocabulary", component="vocabulary", steps=(each,)) for each in (EIGHT, TWO_STEP)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: Any) -> None:
    """A load on the machine must not decide what these tests see."""
    monkeypatch.setattr(Workbench, "_timed", lambda *_: 1.0)
    monkeypatch.setattr(acceptance, "_peak_memory", lambda *_, **__: None)
    monkeypatch.setattr(Whispers, "moves", of_the_table)


@pytest.fixture(scope="module")
def unseen(exported: Any, tmp_path_factory: Any) -> tuple[Path, Path]:
    """Two corpora of their own, their references what the model hears."""
    root = tmp_path_factory.mktemp("speech")
    recognizer = open_recognizer(parse_model(f"onnx:{exported}"))
    for number, name in enumerate(("unseen", "other")):
        (root / name).mkdir()
        rows = []
        for at in range(2):
            clip = babble(1.3 + 0.2 * at, 17 + 2 * number + at)
            with wave.open(str(root / name / f"{at}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16_000)
                file.writeframes(np.round(clip * 32767).clip(-32768, 32767).astype(np.int16).tobytes())
            text = recognizer.transcribe([clip])[0].text.strip() or "a"
            rows.append(json.dumps({"audio_filepath": f"{at}.wav", "text": text}))
        (root / name / "manifest.jsonl").write_text("\n".join(rows) + "\n")
    return root / "unseen", root / "other"


def test_limits_by_corpus_are_shown_and_test_speech_is_heard_once(
    world: Any, options: Any, unseen: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    """On the page, in JSON and in the printed table; test speech of another corpus is held to the general limit."""
    asked = replace(options, test_data=tuple(map(str, unseen)))
    real, heard = Measurer.decode, []

    def decode(self: Any, candidate: Any, speech: Any, decoding: Any = None) -> Any:
        heard.append(speech.name)
        return real(self, candidate, speech, decoding)

    monkeypatch.setattr(Measurer, "decode", decode)
    found = compress_model(world[0], tmp_path / "out", asked, page=html)
    assert not any("unseen" in name for name in heard), "nothing is chosen on it"
    plain = json.loads((tmp_path / "out/result.json").read_text())
    limits = {"quiet": 3.0, "noisy": 5.0}
    assert {each["on"]: each["limit"] for each in plain["dev"]["corpora"]} == limits
    others = dict.fromkeys(("unseen", "other"), 3.0)
    assert {each["on"]: each["limit"] for each in plain["test"]["corpora"]} == others
    assert plain["test"]["wer_before"] == 0.0
    page, printed = (tmp_path / "out/report.html").read_text(), "\n".join(lines(found))
    for name, limit in (limits | others).items():
        assert f"{name}: energy" in printed
        assert f"limit {100 * limit:g})" in printed
        assert name in page.split("Each corpus by itself")[-1].split("</table>")[0]


def test_one_utterance_is_refused_before_the_work(world: Any, options: Any, tmp_path: Any, monkeypatch: Any) -> None:
    """Of a corpus that is judged by itself, and of a whole set: what is paired needs two."""
    monkeypatch.setattr("wattscribe.compression.run.make_bench", lambda *_, **__: pytest.fail("the work began"))
    with pytest.raises(InputError, match=r"`data` .*quiet: has one utterance"):
        compress_model(world[0], tmp_path / "out", replace(options, limit=1))
    with pytest.raises(InputError, match=r"`data` .*has one utterance"):
        compress_model(world[0], tmp_path / "out", replace(options, data=options.data[:1], corpus_limit=(), limit=1))
    assert not (tmp_path / "out").exists()


def test_a_limit_that_nothing_meets_still_gives_the_best(
    world: Any, options: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    """Every step breaks the noisy corpus' limit: what is written is the original, in its best placement, and says so."""
    real = Measurer.decode
    first: list[str] = []

    def decode(self: Any, candidate: Any, speech: Any, decoding: Any = None) -> Any:
        made = real(self, candidate, speech, decoding)
        first.append(candidate.digest) if not first else None
        worse = tuple("nothing of it is right" for _ in made.texts)
        return made if candidate.digest == first[0] else replace(made, texts=worse)

    monkeypatch.setattr(Measurer, "decode", decode)
    said: list[str] = []
    asked = replace(options, max_wer_increase_points=0.5, corpus_limit=("noisy=0.5",))
    found = compress_model(world[0], tmp_path / "out", asked, say=said.append)
    assert not [each for each in found.recipe.done if each.kept and each.step.component == "vocabulary"]
    gone = [each for each in found.recipe.done if not each.kept and each.step.component == "vocabulary"]
    assert gone
    assert all("reverted: quiet: WER" in each.reason for each in gone)
    assert found.result.digest == found.original.digest
    texts = [open_recognizer(parse_model(f"onnx:{each}")).transcribe([babble(1.2, 0)])[0].text
             for each in (world[0], tmp_path / "out")]  # fmt: skip
    assert texts[0] == texts[1]


def test_a_limit_broken_by_a_recipe_is_said_everywhere(
    world: Any, options: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    """A recipe is carried out whatever it does: the corpus whose limit breaks is named in table, JSON and page."""
    folder = tmp_path / "given"
    compress_model(world[0], folder, options)
    real = acceptance._alternate

    def alternate(ears: Any, speech: Any) -> Any:
        passes = real(ears, speech)
        passes[1].texts[:] = [
            "nothing of it is right" if Path(corpus).name == "noisy" else text
            for corpus, text in zip(speech.corpora, passes[1].texts, strict=True)
        ]
        return passes

    monkeypatch.setattr(acceptance, "_alternate", alternate)
    asked = replace(options, recipe=folder / "recipe.toml", max_wer_increase_points=1.0, corpus_limit=("noisy=2",))
    found = compress_model(world[0], tmp_path / "out", asked, page=html)
    assert not found.met
    (note,) = [each for each in found.notes if each.startswith("The limit is not met on noisy")]
    assert note.endswith("its limit is 2.")
    assert note in lines(found)
    assert to_json(found)["met"] is False
    assert note in (tmp_path / "out/report.html").read_text()


@pytest.fixture(scope="module")
def half(exported: Any, tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("half") / "model"
    export_whisper(str(exported.parent / "checkpoint"), folder, precisions=("fp16",))
    return folder


@pytest.mark.parametrize("chosen", [(), (TWO_STEP,)])
def test_a_16_bit_export_goes_back_to_16_bits(
    half: Any, world: Any, options: Any, tmp_path: Any, monkeypatch: Any, chosen: Any
) -> None:
    """It is worked on in 32; what no step has changed, the vocabulary too, is stored as it was given."""
    monkeypatch.setattr(
        Whispers, "moves",
        lambda self, bench, base: [Move(slot="table:vocabulary", component="vocabulary", steps=(each,)) for each in chosen],
    )  # fmt: skip
    found = compress_model(half, tmp_path / "out", options)
    given = sum(each.stat().st_size for each in half.glob("*.onnx"))
    result = sum(each.stat().st_size for each in (tmp_path / "out").glob("*.onnx"))
    codes = 0.2 * given if chosen else 0.02 * given
    assert result < given + codes
    assert found.dev.before.size_bytes == given
    assert found.dev.energy_reduction > -0.01
    assert found.dev.wer_increase <= 0.03
    texts = [open_recognizer(parse_model(f"onnx:{each}")).transcribe([babble(1.2, 0)])[0].text
             for each in (half, tmp_path / "out")]  # fmt: skip
    assert texts[0] == texts[1]
