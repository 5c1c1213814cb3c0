"""The vocabulary in two steps as a step of a recipe: what it refuses, how it is compared, proven, counted and repeated."""
# ruff: noqa: F811 - fixtures of the module that builds the toy Whisper

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.compression.test_whisper import (  # noqa: F401
    EIGHT,
    FOUR,
    bench,
    clips,
    exported,
    options,
    parts,
    stored,
    world,
)
from wattscribe.compression import acceptance, proof
from wattscribe.compression.divergence import compare, log_softmax
from wattscribe.compression.levers import apply
from wattscribe.compression.recipe import Done, read_recipe
from wattscribe.compression.run import compress_model
from wattscribe.compression.seq2seq.family import Whispers
from wattscribe.compression.step import Step
from wattscribe.compression.strategies import Outcome
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError
from wattscribe.pages.compress_page import html

TWO = Step(lever="two-step-vocabulary", component="vocabulary")
NARROW = replace(TWO, options={"bits": 2})
HALF = Step(lever="fp16", component="vocabulary")


def rows_of(logits: list[list[float]]) -> np.ndarray:
    return log_softmax(np.array(logits, np.float32))


def test_only_candidates_are_compared() -> None:
    """Renormalised on both sides; a best token that is none of them counts as if nothing were known."""
    original = rows_of([[3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0]])
    never = -np.inf
    same = compare(original, rows_of([[3.0, 2.0, never, never], [3.0, 2.0, never, never]]))
    assert same.kl == pytest.approx(0, abs=1e-7)
    assert same.changed == 0
    p, q = np.exp(1) / (1 + np.exp(1)), np.exp(2) / (1 + np.exp(2))
    other = compare(original[:1], rows_of([[4.0, 2.0, never, never]]))
    assert other.kl == pytest.approx(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)), rel=1e-4)
    lost = compare(original, rows_of([[3.0, 2.0, never, never], [never, 2.0, 1.0, never]]))
    assert lost.kl == pytest.approx(np.log(4) / 2, rel=1e-6)
    assert lost.changed == 0.5


def test_it_comes_before_other_forms_or_is_refused(parts: Any) -> None:
    original, calibration = parts
    four = apply(original, FOUR, calibration)
    with pytest.raises(
        InputError, match=r"cannot be scored in two steps: its vocabulary.*Take this step before others"
    ):
        apply(four, TWO, calibration)
    two = apply(original, TWO, calibration)
    for later in (EIGHT, FOUR, TWO):
        with pytest.raises(InputError, match=r"no matrix of floats|cannot be scored in two steps"):
            apply(two, later, calibration)
    with pytest.raises(InputError, match="the decoder is not what scores the vocabulary"):
        apply(original, replace(TWO, component="decoder"), calibration)
    with pytest.raises(InputError, match="99999 candidates of"):
        apply(original, replace(TWO, options={"candidates": 99999}), calibration)


@pytest.mark.parametrize("before", [(), (EIGHT,)])
def test_texts_stay_and_fewer_bytes_are_read(bench: Any, before: Any) -> None:
    """Of a float table as of one in 8 bits, in the order in which a recipe has them."""
    without, after = bench.build(before), bench.build([*before, TWO])
    assert bench.identical(without, after) == len(bench.whole)
    assert bench.kl(after).kl == pytest.approx(bench.kl(without).kl, abs=2e-3)
    decoded = bench.measurer.decode(after, bench.dev).total
    assert decoded.vocabulary_rows == 32 * decoded.predictor_rows
    assert bench.energy_mj(bench.build([*before, NARROW])) < bench.energy_mj(after)
    old, new = (each.workload(()).component("vocabulary") for each in (without, after))
    rows, width = stored(bench.original)["decoder.embed_tokens.weight"].shape
    assert new.call_bytes == pytest.approx(rows * width / 2 + 4 * rows * width / 64, rel=0.01)
    assert new.row_bytes < 40 * width * 4
    if not before:
        assert bench.energy_mj(after) < bench.energy_mj(without)
        assert old.call_bytes > 4 * new.call_bytes


def test_rows_in_sixteen_bits_are_lifted_one_by_one(parts: Any, bench: Any) -> None:
    """A model given in 16 bits gets its table back in 16 bits; as a whole it would stand in memory in 32."""
    original, calibration = parts
    two = apply(original, TWO, calibration)
    half = apply(two, HALF, calibration)
    table = stored(original)["decoder.embed_tokens.weight"]
    saved = two.size_bytes - half.size_bytes
    assert saved == pytest.approx(table.nbytes / 2, rel=0.02)
    graph = half.model("decoder").graph
    lifted = [
        node for node in graph.node if node.op_type == "Cast" and node.input[0].endswith("embed_tokens.weight/half")
    ]
    assert not lifted, "the table is read row by row"
    assert bench.measurer.decode(half, bench.dev).texts == bench.measurer.decode(two, bench.dev).texts


def test_rows_that_are_numbers_of_16_bits_are_stored_so(parts: Any, bench: Any) -> None:
    """As a published Whisper's are: half the bytes of a row, and each text and score stays what it was."""
    original, calibration = parts
    model = original.model("decoder")
    table = next(each for each in model.graph.initializer if each.name == "decoder.embed_tokens.weight")
    numbers = np.frombuffer(table.raw_data, np.float32).astype(np.float16)
    table.raw_data = numbers.astype(np.float32).tobytes()
    rounded = original.with_model("decoder", model)
    two = apply(rounded, TWO, calibration)
    kept = {name: values for name, values in stored(two).items() if values.size == numbers.size}
    assert [values.dtype for values in kept.values()] == [np.float16]
    assert next(iter(kept.values())).tobytes() == numbers.tobytes()
    with pytest.raises(InputError, match="no float32 weights"):
        apply(two, HALF, calibration)
    wide = apply(original, TWO, calibration)
    whole, half = (each.workload(()).component("vocabulary").row_bytes for each in (wide, two))
    assert half == pytest.approx(whole / 2)
    assert bench.measurer.decode(two, bench.dev).texts == bench.measurer.decode(rounded, bench.dev).texts


def test_its_proof_is_counted_on_the_whole_set(bench: Any, monkeypatch: Any) -> None:
    steps = (EIGHT, TWO)
    made = Outcome(strategy="s", done=tuple(Done(step=each, kept=True, reason="saves") for each in steps))
    lossy, two = proof.with_proofs(bench, made).done
    assert "identical" not in lossy.numbers
    count = len(bench.whole)
    said = sum(each.total.tokens for each in bench.decoded(bench.build(steps)))
    assert (two.numbers["identical"], two.numbers["tokens"]) == (count, said)
    assert f"text of {count} of {count} utterances identical with and without it ({said} tokens)" in two.reason
    assert float(two.numbers["cheap_bytes_per_token"]) > float(two.numbers["rows_bytes_per_token"]) > 0
    monkeypatch.setattr(Workbench, "identical", lambda *_: count - 1)
    found = proof.with_proofs(bench, made)
    assert found.done[1].reason.startswith(f"not lossless here: text of {count - 1} of {count}")
    assert found.notes[-1].startswith("two-step-vocabulary vocabulary: not lossless here")


def test_targeted_chooses_it_and_a_recipe_repeats_it(world: Any, options: Any, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Workbench, "_timed", lambda *_: 1.0)
    monkeypatch.setattr(acceptance, "_peak_memory", lambda *_, **__: None)
    every = Whispers.moves
    monkeypatch.setattr(  # 2 and 4 bits take fewer bytes still, and this limit lets their harm pass
        Whispers, "moves",
        lambda *given: [
            move for move in every(*given)
            if move.component == "vocabulary" and all(step in (EIGHT, TWO) for step in move.steps)
        ],
    )  # fmt: skip
    found = compress_model(world[0], tmp_path / "out", options, page=html)
    offered = {each.move.name for each in found.sensitivities}
    assert {"two-step-vocabulary vocabulary", "table-int8 vocabulary + two-step-vocabulary vocabulary"} <= offered
    kept = [each for each in found.recipe.done if each.kept and each.step == TWO]
    assert len(kept) == 1
    assert kept[0].numbers["identical"] == 4
    plain = json.loads((tmp_path / "out/result.json").read_text())
    (mine,) = [each for each in plain["steps"] if each["kept"] and each["step"].startswith("two-step")]
    assert mine["identical"] == 4
    assert "two-step-vocabulary" in (tmp_path / "out/report.html").read_text()
    again = replace(options, recipe=tmp_path / "out/recipe.toml")
    compress_model(world[0], tmp_path / "again", again)
    first, second = ((tmp_path / name).glob("*.onnx") for name in ("out", "again"))
    assert [each.read_bytes() for each in sorted(first)] == [each.read_bytes() for each in sorted(second)]
    repeated = [each for each in read_recipe(tmp_path / "again/recipe.toml").done if each.step == TWO]
    assert repeated[0].numbers["identical"] == 4


def test_sherpa_onnx_hears_what_it_heard_without(parts: Any, clips: Any, tmp_path: Any) -> None:
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    original, calibration = parts
    heard = []
    many = {"candidates": 512}  # of a random model the best may all be among what is never said
    two, narrow = (replace(step, options={**step.options, **many}) for step in (TWO, NARROW))
    for name, steps in (("whole", (EIGHT,)), ("two", (EIGHT, two)), ("narrow", (EIGHT, narrow))):
        made = original
        for step in steps:
            made = apply(made, step, calibration)
        made.write(tmp_path / name)
        files = made.names()
        texts = []
        for clip in clips:
            other = sherpa_onnx.OfflineRecognizer.from_whisper(
                encoder=str(tmp_path / name / files["encoder"]), decoder=str(tmp_path / name / files["decoder"]),
                tokens=str(tmp_path / name / "tokens.txt"), tail_paddings=600 - len(clip) // 160,
            )  # fmt: skip
            stream = other.create_stream()
            stream.accept_waveform(16_000, clip)
            other.decode_stream(stream)
            texts.append(stream.result.text)
        heard.append(texts)
    assert heard[0] == heard[1] == heard[2]
    assert any(heard[0])
