"""Mixed bits: a ladder of recipes from mild to strong, each of which does the least harm known for its size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from tests.compression import builders
from tests.streaming import nemo_models
from wattscribe.compression import bits
from wattscribe.compression.bits import Form, _fewest_bytes, _hull, _rungs, _stored, ladder, ladders
from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate, read_candidate
from wattscribe.compression.divergence import Divergence, Probe
from wattscribe.compression.levers import apply
from wattscribe.compression.linears import Linear, linears
from wattscribe.compression.rounding import best_scale, descended, gptq, output_error
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench


def form(size: int, kl: float, bits: int | None = 4, block: int = 32) -> Form:
    return Form(bytes=size, kl=kl, bits=bits, block=block)


def test_the_map_that_minds_least_goes_first() -> None:
    forms = {
        "tough": [form(1000, 0.0, None), form(500, 1e-5)],
        "tender": [form(1000, 0.0, None), form(500, 1e-3)],
        "large": [form(10_000, 0.0, None), form(5000, 2e-4)],
    }
    rungs = _rungs(forms)
    order = []
    for rung in rungs:
        order += [name for name, each in rung.items() if each.bits == 4 and name not in order]
    assert order[0] == "tough"
    assert order[-1] == "tender"
    assert all(each.bits == 4 for each in rungs[-1].values())
    sizes = [sum(each.bytes for each in rung.values()) for rung in rungs]
    assert sizes == sorted(sizes, reverse=True)


def test_a_form_that_is_no_bargain_is_left_out() -> None:
    """More harm per byte saved than a smaller form: nobody would choose it."""
    forms = [form(1000, 0.0, None), form(700, 9e-4, 4, 32), form(600, 1e-3, 4, 64), form(590, 5e-3, 4, 128)]
    assert [each.block for each in _hull(forms)] == [0, 64, 128] or [each.block for each in _hull(forms)] == [
        32,
        64,
        128,
    ]
    assert 32 not in [each.block for each in _hull(forms)[1:]]


def test_narrow_maps_take_no_blocks_that_are_mostly_filling() -> None:
    def map_of(inputs: int) -> Linear:
        weight = np.zeros((inputs, 128), np.float32)
        return Linear(
            name="m", form="float", source="x", output="y", weight=weight, bias=None, nodes=(), stored_bytes=0
        )

    assert _fewest_bytes(map_of(48)) == 64
    assert _fewest_bytes(map_of(192)) == 64
    assert _fewest_bytes(map_of(1024)) == 256
    assert _stored(map_of(128), 4, 128) == 128 * (64 + 4)


@pytest.mark.parametrize("block", [32, 64])
def test_coming_back_to_codes_lowers_the_error(block: int) -> None:
    rng = np.random.default_rng(3)
    mixed = rng.standard_normal((64, 64)) * np.geomspace(4, 0.1, 64)
    rows = (rng.standard_normal((400, 64)) @ mixed).astype(np.float64)
    gram = rows.T @ rows
    weight = rng.standard_normal((64, 24)).astype(np.float32)
    scales = np.concatenate([best_scale(part, np.ones(block), -8, 7) for part in weight.reshape(-1, block, 24)])
    spread = np.repeat(scales, block, axis=0)
    codes = gptq(weight, spread, gram, -8, 7, damping=0.001)
    better = descended(weight, codes, spread, gram, -8, 7, damping=0.001)
    assert better.min() >= -8
    assert better.max() <= 7
    before, after = (output_error(weight, (each * spread).astype(np.float32), gram) for each in (codes, better))
    assert after < 0.98 * before


class Bench:
    """What a ladder asks of a workbench."""

    def __init__(self, parts: builders.Parts) -> None:
        self.parts = parts
        self.original, self.calibration, self.probe = parts
        self.say: Callable[[str], None] = lambda _: None

    def asked(self) -> Workbench:
        return cast("Workbench", self)

    def build(self, steps: Iterable[Step]) -> Candidate:
        return reduce(lambda made, step: apply(made, step, self.calibration), steps, self.original)

    def kl(self, candidate: Candidate, probe: Probe) -> Divergence:
        return probe.of(candidate)


def test_the_ladder_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the size of a rung, its choice of maps does less harm per byte than the opposite choice."""
    monkeypatch.setattr(bits, "LEAST_WEIGHTS", 64)
    bench = Bench(builders.bench_parts(tmp_path / "model"))
    original, _, probe = bench.parts
    moves = ladder(bench.asked(), (), "encoder")
    assert len({each.slot for each in moves}) == 1
    sizes = [bench.build(each.steps).size_bytes for each in moves]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]
    four = [{name for step in each.steps if step.lever == "blockwise" for name in step.tensors} for each in moves]
    assert four[0] == set()
    assert all(one <= other for one, other in pairwise(four))
    maps = {name: each for name, each in linears(original.model("encoder")).items() if each.weight.size >= 64}
    assert four[-1] == maps.keys()
    first = min((names for names in four if names), key=len)

    def harm(name: str) -> float:
        """Divergence per byte saved of this map in 4 bits, the rest in 8."""
        options = {"bits": 4, "block": _fewest_bytes(maps[name]), "accuracy": 4}
        step = Step(lever="blockwise", component="encoder", tensors=(name,), options=options)
        made = bench.build([Step(lever="int8", component="encoder", tensors=tuple(maps.keys() - {name})), step])
        before = bench.build(moves[0].steps)
        return (probe.of(made).kl - probe.of(before).kl) / (before.size_bytes - made.size_bytes)

    assert max(map(harm, first)) <= min(map(harm, maps.keys() - first))


def test_the_joiners_output_goes_in_blocks_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A joiner of three maps: its way to the vocabulary is stored in 4 bits where its inputs stay in 8, or the other way."""
    monkeypatch.setattr(bits, "LEAST_WEIGHTS", 64)
    original = read_candidate(nemo_models.build(tmp_path / "m", width=64, symbols=150, blank_bias=4.0))
    probe = Probe(original, builders.unlabelled(2, first=200))
    bench = Bench((original, Calibration(original, builders.unlabelled(2)), probe))
    rungs = [each.steps for each in ladders(bench.asked(), ()) if each.slot == "form:joiner"]
    forms = [{name: each.form for name, each in linears(bench.build(steps).model("joiner")).items()} for steps in rungs]
    assert all("nbits" in each.values() for each in forms)
    assert {"nbits", "dynamic8"} <= {form for each in forms[:-1] for form in each.values()}, "not all maps together"
    assert set(forms[-1].values()) == {"nbits"}
    stored = [linears(bench.build(steps).model("joiner"))["scores"].stored_bytes for steps in (rungs[0], rungs[-1])]
    assert stored[-1] <= 64 * 151 // 2 + 151 * 4 * 2
    assert probe.of(bench.build(rungs[-1])).kl < 0.1
