"""Recipes carried out again: nothing is taken over from the file, what makes it worse is reverted, faults name the step."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.compression import builders
from wattscribe.cli import main
from wattscribe.compression import workbench
from wattscribe.compression.candidate import Candidate, read_candidate
from wattscribe.compression.measure import Decoded
from wattscribe.compression.options import Options
from wattscribe.compression.recipe import read_recipe
from wattscribe.compression.replay import carry_out
from wattscribe.compression.run import compress_model, make_bench
from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.step import Step
from wattscribe.compression.strategies import Outcome
from wattscribe.compression.workbench import Workbench
from wattscribe.energy.options import Decoding
from wattscribe.errors import InputError

World = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("replay")
    model = builders.build(root / "model")
    return root, model, builders.corpus(root / "dev", model, count=4)


@pytest.fixture(scope="module")
def options(world: World) -> Options:
    return Options(data=(str(world[2]),), max_wer_increase_points=30.0, calibration_s=8.0, probe_s=4.0)


@pytest.fixture
def bench(world: World, options: Options) -> Workbench:
    return make_bench(read_candidate(world[1]), options, lambda _: None)


def recipe(tmp_path: Path, *steps: tuple[str, str, str]) -> Path:
    """Each step: (lever, component, the rest of its lines)."""
    path = tmp_path / "given.toml"
    tables = [f'[[step]]\nlever = "{lever}"\ncomponent = "{part}"\n{rest}\n' for lever, part, rest in steps]
    path.write_text("\n".join(["schema = 1", *tables]))
    return path


def carried(bench: Workbench, path: Path) -> Outcome:
    return carry_out(bench, read_recipe(path), path)


def in_8_bits(world: World, tmp_path: Path) -> Path:
    """The toy with an int8 encoder."""
    step = Step(lever="int8", component="encoder", options={"rounding": "nearest"})
    given = tmp_path / "given"
    with builders.uncalibrated(read_candidate(world[1]), step).directory() as folder:
        shutil.copytree(folder, given)
    return given


def test_no_figure_of_the_file_is_taken_over(bench: Workbench, tmp_path: Path) -> None:
    old = 'reason = "text of 999 of 999 utterances identical"\nnumbers = { wer_increase = -0.5, identical = 999 }'
    found = carried(bench, recipe(tmp_path, ("batched-joiner", "all", old), ("lookup-int8", "predictor", old)))
    assert [each.kept for each in found.done] == [True, True]
    assert all("999" not in each.reason and each.numbers.get("wer_increase") != -0.5 for each in found.done)
    assert "text of 4 of 4 utterances identical" in found.done[0].reason
    assert found.done[0].numbers["identical"] == 4
    assert "identical" not in found.done[1].numbers


def test_a_lossless_step_that_is_not_is_reported(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bench.measurer.decode

    def deaf(candidate: Candidate, speech: SpeechSet, decoding: Decoding | None = None) -> Decoded:
        found = real(candidate, speech, decoding)
        asked = decoding or candidate.decoding
        return found if asked == "frame-by-frame" else replace(found, texts=("", *found.texts[1:]))

    monkeypatch.setattr(bench.measurer, "decode", deaf)
    found = carried(bench, recipe(tmp_path, ("place", "all", ""), ("batched-joiner", "all", "")))
    placed, batched = found.done
    assert "4 of 4" in placed.reason
    assert batched.kept
    assert "not lossless here, text of 3 of 4 utterances identical" in batched.reason
    assert builders.number(batched.numbers["wer_increase"]) > 0
    assert [note for note in found.notes if "3 of 4" in note]


def test_a_step_that_costs_energy_is_reverted_and_reported(world: World, options: Options, tmp_path: Path) -> None:
    path = recipe(
        tmp_path, ("place", "all", ""), ("sparse", "encoder", "options = { keep = 0.5 }"), ("batched-joiner", "all", "")
    )
    found = compress_model(
        in_8_bits(world, tmp_path), tmp_path / "out", replace(options, recipe=path), say=lambda _: None
    )
    _, sparse, batched = found.recipe.done
    assert not sparse.kept
    assert "reverted: modelled energy rises" in sparse.reason
    before, after, store = (
        builders.number(sparse.numbers[f"{name}_bytes"]) for name in ("maps_before", "maps_after", "sparse_store")
    )
    assert after > 3 * before, "8 bits grow to float32"
    assert 0 < store < after
    assert batched.kept
    assert found.dev.energy_reduction >= 0
    assert any("sparse" in note and "reverted" in note for note in found.notes)
    steps = json.loads((tmp_path / "out" / "result.json").read_text())["steps"]
    assert [each["kept"] for each in steps] == [True, False, True]


def test_steps_that_need_each_other_are_judged_together(world: World, options: Options, tmp_path: Path) -> None:
    """An 8-bit map that is cut is float, and dearer, until the next step stores it in 8 bits again."""
    bench = make_bench(read_candidate(in_8_bits(world, tmp_path)), options, lambda _: None)
    path = recipe(
        tmp_path, ("prune-width", "encoder", "options = { keep = 0.5 }"), ("int8", "encoder", ""),
        ("sparse", "encoder", ""), ("lookup-int8", "predictor", ""),
    )  # fmt: skip
    found = carried(bench, path)
    assert [each.kept for each in found.done] == [True, True, False, True]
    assert builders.number(found.done[0].numbers["saved_mj"]) < 0


def test_a_step_that_is_slower_is_reverted(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slower(self: Workbench, before: Candidate, after: Candidate) -> float:
        return 1.5 if len(after.networks["predictor"]) < len(before.networks["predictor"]) else 1.0

    monkeypatch.setattr(workbench.Workbench, "slower_by", slower)
    found = carried(bench, recipe(tmp_path, ("lookup-int8", "predictor", ""), ("int8", "joiner", "")))
    assert [each.kept for each in found.done] == [False, True]
    assert "50 % slower" in found.done[0].reason


@pytest.mark.parametrize(
    ("measured", "said"), [([1.02], 1.02), ([1.2, 1.01], 1.01), ([1.2, 1.3], 1.2), ([1.3, 1.2], 1.2)]
)
def test_what_seems_slower_is_measured_again_in_twice_the_rounds(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, measured: list[float], said: float
) -> None:
    rounds: list[int] = []

    def timed(self: Workbench, before: Candidate, after: Candidate, count: int, utterances: int) -> float:
        rounds.append(count)
        return measured[len(rounds) - 1]

    monkeypatch.setattr(workbench.Workbench, "_timed", timed)
    after = bench.build([Step(lever="int8", component="joiner")])
    assert bench.slower_by(bench.original, after) == said
    assert len(rounds) == len(measured)
    assert rounds[-1] == len(measured) * rounds[0]


def test_a_16_bit_model_is_given_back_in_16_bits_by_a_recipe_too(
    world: World, options: Options, tmp_path: Path
) -> None:
    halved = builders.uncalibrated(read_candidate(world[1]), Step(lever="fp16", component="all"))
    given = tmp_path / "given"
    with halved.directory() as folder:
        shutil.copytree(folder, given)
    asked = replace(options, recipe=recipe(tmp_path, ("batched-joiner", "all", "")))
    found = compress_model(given, tmp_path / "out", asked, say=lambda _: None)
    assert found.result.size_bytes < 1.2 * found.original.size_bytes
    assert any("add `place`" in note for note in found.notes), "nothing is placed, the baseline is"


def test_the_command_in_the_file_carries_it_out_again(
    world: World,
    options: Options,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workbench.Workbench, "_timed", lambda *_: 1.0)  # a load on the machine must not decide here
    asked = replace(options, recipe=recipe(tmp_path, ("int8", "joiner", "")), limit=3, seed=5)
    out = tmp_path / "an out"
    compress_model(world[1], out, asked, say=lambda _: None)
    first = (out / "recipe.toml").read_text().splitlines()[0]
    words = shlex.split(first.partition("Run again: ")[2])
    assert words[0] == "wattscribe"
    assert main(words[1:]) == 0, capsys.readouterr().err
    again = tmp_path / "an out-again"
    assert read_recipe(again / "recipe.toml").seed == 5
    assert json.loads((again / "result.json").read_text())["utterances"] == 3
    for path in out.glob("*.onnx"):
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_faults_name_the_file_and_the_step(bench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "given.toml"
    step = '[[step]]\nlever = "blockwise"\ncomponent = "joiner"\n'
    for text, wanted in (
        ('seed = "x"', "seed is 'x'"), ("seed = -1", "seed is -1"), (f'{step}options = "x"', "step 1: options is 'x'"),
        (f'{step}options = {{ bits = "four" }}', "step 1: bits is 'four'. It must be a whole number"),
        (f"{step}options = {{ width = 4 }}", "step 1: blockwise has no option 'width'"),
        (f"{step}tensors = [1]", "step 1: tensors"), (f'{step}kept = "no"', "step 1: kept is 'no'"),
    ):  # fmt: skip
        path.write_text(f"schema = 1\n{text}\n")
        with pytest.raises(InputError) as error:
            read_recipe(path)
        assert wanted in str(error.value)
        assert str(path) in str(error.value)
    kept_out = ("fp16", "encoder", "kept = false")
    path = recipe(tmp_path, kept_out, ("short-softplus", "joiner", ""))
    with pytest.raises(InputError, match=r"given.toml: step 2, short-softplus joiner: "):
        carried(bench, path)
