"""LSTMs in 8 bits: which are taken, what shrinks, what the energy model counts, that the runtime hears the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.compression import builders
from tests.known import known
from tests.streaming import nemo_models
from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate, read_candidate
from wattscribe.compression.divergence import Probe
from wattscribe.compression.levels import GlobalMagnitude, Uniform
from wattscribe.compression.levers import apply
from wattscribe.compression.levers.recurrent import lstms
from wattscribe.compression.linears import Index, add_constant
from wattscribe.compression.moves import moves
from wattscribe.compression.options import Options
from wattscribe.compression.recipe import read_recipe
from wattscribe.compression.replay import carry_out
from wattscribe.compression.run import make_bench
from wattscribe.compression.step import Step
from wattscribe.compression.targeted import sensitivities
from wattscribe.energy.files import of_directory
from wattscribe.energy.workload import Component
from wattscribe.errors import InputError
from wattscribe.streaming import open_transducer

WIDTH, LAYERS = 48, 1
WEIGHTS = LAYERS * 2 * 4 * WIDTH * WIDTH
"""Of the input and recurrent maps of all layers."""
STEP = Step(lever="lstm-int8", component="predictor")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nemo_models.build(tmp_path_factory.mktemp("nemo") / "model", width=WIDTH, layers=LAYERS, blank_bias=4.0)


@pytest.fixture(scope="module")
def parts(folder: Path) -> builders.Parts:
    candidate = read_candidate(folder)
    return (
        candidate,
        Calibration(candidate, builders.unlabelled(3)),
        Probe(candidate, builders.unlabelled(4, first=200)),
    )


@pytest.fixture(scope="module")
def after(parts: builders.Parts) -> Candidate:
    candidate, calibration, _ = parts
    return apply(candidate, STEP, calibration)


def predictor(candidate: Candidate) -> Component:
    with candidate.directory() as place:
        return of_directory(place).component("predictor")


def test_every_lstm_runs_in_the_8_bit_kernel_and_the_file_shrinks(parts: builders.Parts, after: Candidate) -> None:
    kinds = [node.op_type for node in after.model("predictor").graph.node]
    assert kinds.count("DynamicQuantizeLSTM") == LAYERS
    assert "LSTM" not in kinds
    saved = len(parts[0].networks["predictor"]) - len(after.networks["predictor"])
    assert saved > 3 * WEIGHTS - 4 * LAYERS * (2 * 4 * WIDTH + 300), (
        "three of four bytes, less a scale per gate and cell"
    )


def test_the_energy_model_reads_a_quarter_and_multiplies_in_8_bits(parts: builders.Parts, after: Candidate) -> None:
    before, made = predictor(parts[0]), predictor(after)
    assert before.macs == {"float32": WEIGHTS}
    assert made.macs == {"int8": WEIGHTS}
    read = [sum(each.call_bytes for each in component.weights if len(each.shape) == 3) for component in (before, made)]
    assert read == [4 * WEIGHTS, WEIGHTS]
    scales = sum(each.call_bytes for each in made.weights if each.name.endswith("_scale"))
    assert scales == 4 * LAYERS * 2 * 4 * WIDTH


def test_it_hears_the_same(parts: builders.Parts, after: Candidate) -> None:
    assert parts[2].of(after).kl < 0.01


def test_no_cpu_clips_its_sums(after: Candidate) -> None:
    model = after.model("predictor")
    index = Index(model)
    codes = [
        known(index.constant(name))
        for node in model.graph.node
        if node.op_type == "DynamicQuantizeLSTM"
        for name in node.input[1:3]
    ]
    assert len(codes) == 2 * LAYERS
    assert max(int(np.abs(each.astype(int)).max()) for each in codes) == 64


def test_rows_of_a_call_do_not_change_one_another(after: Candidate) -> None:
    """One scale is taken over all rows: hypotheses of a beam are asked one by one."""
    with after.directory() as place:
        transducer = open_transducer(place)
    contexts, states = [(1,), (2,), (5,)], [transducer.predictor.initial_states()] * 3
    together, _ = transducer.predictor.run(contexts, states)
    apart = [transducer.predictor.run([each], states[:1])[0] for each in contexts]
    np.testing.assert_array_equal(together, np.concatenate(apart))


def test_what_the_kernel_does_not_know_stays_as_it_is(parts: builders.Parts) -> None:
    """`layout` is dropped by onnxruntime's quantiser; weights that come from outside have no 8-bit form."""
    model = parts[0].model("predictor")
    first = next(node for node in model.graph.node if node.op_type == "LSTM")
    first.attribute.append(helper.make_attribute("layout", 1))
    assert len(lstms(model)) == LAYERS - 1
    given = parts[0].model("predictor")
    given.graph.input.append(helper.make_tensor_value_info("w_given", onnx.TensorProto.FLOAT, [1, 4 * WIDTH, WIDTH]))
    next(node for node in given.graph.node if node.op_type == "LSTM").input[1] = "w_given"
    assert len(lstms(given)) == LAYERS - 1
    with pytest.raises(InputError, match="no float LSTM"):
        apply(parts[0], Step(lever="lstm-int8", component="joiner"), parts[1])
    with pytest.raises(InputError, match="no float LSTM"):
        apply(apply(parts[0], STEP, parts[1]), STEP, parts[1])


@pytest.fixture(scope="module")
def world(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Options:
    dev = builders.corpus(tmp_path_factory.mktemp("dev"), folder, count=2)
    return Options(data=(str(dev),), max_wer_increase_points=60.0, calibration_s=4.0, probe_s=4.0, limit=2)


def test_gates_that_the_graph_puts_in_order_are_folded_first(parts: builders.Parts, after: Candidate) -> None:
    """Torch's newer exporter stores its own order of gates and slices and joins them in the graph, at each call."""
    model = parts[0].model("predictor")
    quarters = [f"quarter{i}" for i in range(4)]
    turned = [2, 3, 0, 1]
    index = Index(model)
    stored = np.concatenate(
        [np.split(known(index.constant("w0")), 4, axis=1)[turned.index(i)] for i in range(4)], axis=1
    )
    add_constant(model, "w0", stored)
    model.graph.node.insert(0, helper.make_node("Split", ["w0"], quarters, axis=1))
    model.graph.node.insert(1, helper.make_node("Concat", [quarters[i] for i in turned], ["w0_turned"], axis=1))
    next(node for node in model.graph.node if node.op_type == "LSTM").input[1] = "w0_turned"
    onnx.checker.check_model(model)
    unordered = parts[0].with_model("predictor", model)
    assert parts[2].of(unordered).kl < 1e-9
    assert [each.slot for each in moves(unordered) if each.slot.startswith("recurrent")] == ["recurrent:predictor"]
    made = apply(unordered, STEP, parts[1])
    assert predictor(made).macs == {"int8": WEIGHTS}
    assert len(made.networks["predictor"]) < 1.1 * len(after.networks["predictor"])
    assert parts[2].of(made).kl == pytest.approx(parts[2].of(after).kl, abs=1e-6)


def test_strategies_are_offered_it_and_it_pays(parts: builders.Parts, world: Options) -> None:
    offered = [each for each in moves(parts[0]) if each.slot == "recurrent:predictor"]
    bench = make_bench(parts[0], world, lambda _: None)
    (found,) = sensitivities(bench, (), offered)
    assert found.move.steps[0].lever == "lstm-int8"
    assert found.saved_mj > 0
    assert found.kl < 0.01
    for steps in (Uniform.steps(bench, 1.0), GlobalMagnitude.steps(bench, 0.9)):
        assert "lstm-int8" in [each.lever for each in steps]
        assert ("int8", "predictor") not in [(each.lever, each.component) for each in steps], "it has no linear map"


def test_a_recipe_with_it_is_carried_out(
    parts: builders.Parts, world: Options, after: Candidate, tmp_path: Path
) -> None:
    recipe = tmp_path / "given.toml"
    recipe.write_text('schema = 1\n[[step]]\nlever = "lstm-int8"\ncomponent = "predictor"\n')
    done = carry_out(make_bench(parts[0], world, lambda _: None), read_recipe(recipe), recipe).done
    assert [each.step for each in done] == [STEP]
    assert done[0].numbers["size_bytes"] == after.size_bytes
    assert builders.number(done[0].numbers["saved_mj"]) > 0
