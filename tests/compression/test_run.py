"""The whole way: measure, choose, prove, write; bad input; OUT complete or absent; a recipe that can be run again."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.compression import builders
from tests.documents import described
from tests.streaming import models
from wattscribe.cli import main
from wattscribe.compression import outcome
from wattscribe.compression.candidate import read_candidate
from wattscribe.compression.levels import GlobalMagnitude, Uniform
from wattscribe.compression.levers import apply
from wattscribe.compression.outcome import Compression
from wattscribe.compression.recipe import Done, Recipe, read_recipe, to_toml
from wattscribe.compression.run import Options, compress_model, make_bench
from wattscribe.compression.step import Step
from wattscribe.compression.targeted import Targeted
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError, ModelError
from wattscribe.pages.compress_page import html
from wattscribe.streaming import open_transducer

KEYS = (
    "energy_before_mj_per_audio_s", "energy_after_mj_per_audio_s", "energy_reduction", "evidence", "wer_before", "wer_after",
    "wer_increase_ci95", "non_inferior", "rtf_before", "rtf_after", "size_before_bytes", "size_after_bytes",
)  # fmt: skip


Made = tuple[Compression, Path, list[str]]


World = tuple[Path, Path, Path, Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    model = builders.build(root / "model")
    dev = builders.corpus(root / "dev", model, count=8)
    test = builders.corpus(root / "test", model, count=4, first=50)
    return root, model, dev, test


@pytest.fixture(scope="module")
def options(world: World) -> Options:
    _, _, dev, test = world
    return Options(
        device="wearable", data=(str(dev),), test_data=(str(test),), unlabelled=(str(dev),), max_wer_increase_points=20.0,
        calibration_s=8.0, probe_s=4.0,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def unhurried() -> Iterator[None]:
    """A load on the machine must not decide what these tests see: of models so small a moment's makes a step seem slower."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workbench, "_timed", lambda *_: 1.0)
        yield


@pytest.fixture(scope="module")
def made(world: World, options: Options) -> Made:
    root, model, _, _ = world
    said: list[str] = []
    found = compress_model(model, root / "out", options, say=said.append, page=html)
    return found, root / "out", said


def test_where_all_unlabelled_speech_calibrates_the_same_is_compared_on(world: World, options: Options) -> None:
    said: list[str] = []
    bench = make_bench(read_candidate(world[1]), replace(options, calibration_s=3600.0), said.append)
    assert bench.probe.speech.ids == bench.calibration.speech.ids
    assert said[0].endswith(" s to compare, the same")


def test_development_speech_is_compared_on_where_it_does_not_calibrate(world: World, options: Options) -> None:
    said: list[str] = []
    short = replace(options, unlabelled=(), calibration_s=2.0, probe_s=1.0)
    bench = make_bench(read_candidate(world[1]), short, said.append)
    assert len(bench.probe.speech)
    assert len(bench.calibration.speech)
    assert not set(bench.probe.speech.ids) & set(bench.calibration.speech.ids)
    assert said[0].endswith(" s to compare")
    bench = make_bench(read_candidate(world[1]), replace(short, calibration_s=3600.0), said.append)
    assert bench.probe.speech.ids == bench.calibration.speech.ids
    assert said[1].endswith(" s to compare, the same")


def test_a_recipe_is_repeated_with_the_speech_that_its_weights_were_rounded_by(
    world: World, options: Options, tmp_path: Path
) -> None:
    """A search calibrates on the part that it chooses on; whoever carries its recipe out holds nothing back, and must not have
    other codes for it."""
    dev = builders.corpus(tmp_path / "dev", world[1], count=27)
    asked = replace(options, data=(str(dev),), unlabelled=(), calibration_s=12.0, probe_s=6.0)
    searching, repeating = (
        make_bench(read_candidate(world[1]), asked, lambda _: None, hold_back=back) for back in (True, False)
    )
    assert searching.held is not None
    assert repeating.held is None
    assert len(repeating.dev) == 27
    assert searching.calibration.speech.ids == repeating.calibration.speech.ids
    assert searching.probe.speech.ids == repeating.probe.speech.ids
    assert not set(searching.calibration.speech.ids) & set(searching.held.confirm.ids)


def test_the_result_is_cheaper_and_within_the_limit(made: Made) -> None:
    found, _, _ = made
    assert found.dev.energy_reduction > 0.2
    assert found.dev.wer_increase <= 0.2
    assert found.dev.after.size_bytes < found.dev.before.size_bytes
    assert found.dev.before.wer == 0.0
    kept = {each.step.lever for each in found.recipe.done if each.kept}
    assert kept & {"int8", "blockwise", "fp16", "int8-conv"}


def test_out_holds_everything_and_runs(made: Made, world: World) -> None:
    _, out, _ = made
    names = {path.name for path in out.iterdir()}
    assert {"recipe.toml", "result.json", "report.html", "tokens.txt"} <= names
    result = json.loads((out / "result.json").read_text())
    described("compress", result)
    for part in (result, result["dev"], result["test"]):
        assert [key for key in KEYS if key not in part and key != "evidence"] == []
    assert result["evidence"] == "modelled"
    assert result["test"]["utterances"] == 4
    (answer,) = open_transducer(out).transcribe([builders.sound(1, 2.0)])
    assert answer.text
    assert not list(out.parent.glob(".out.*")), "no half-written directory is left"


def test_the_recipe_gives_the_same_bytes_again(made: Made, world: World, options: Options) -> None:
    root, model, _, _ = world
    _, out, _ = made
    again = replace(options, recipe=out / "recipe.toml", test_data=())
    compress_model(model, root / "again", again, say=lambda _: None)
    for path in out.glob("*.onnx"):
        assert (root / "again" / path.name).read_bytes() == path.read_bytes()


def test_every_step_says_why(made: Made) -> None:
    found, out, _ = made
    recipe = read_recipe(out / "recipe.toml")
    assert recipe.steps == found.recipe.steps
    assert all(each.reason for each in recipe.done)
    proofs = [each for each in recipe.done if each.kept and each.step.lever in ("batched-joiner", "share-equal")]
    assert proofs
    assert all("8 of 8 utterances identical" in each.reason for each in proofs)


def test_the_report_draws_fronts_and_waterfall_without_network(made: Made) -> None:
    page = (made[1] / "report.html").read_text()
    for wanted in ("waterfall", "energy-wer", "What each lever does by itself"):
        assert wanted in page
    assert "<script src" not in page


def test_a_model_given_in_16_bits_is_never_given_back_in_32(world: World, options: Options, tmp_path: Path) -> None:
    _, model, _, _ = world
    halved = builders.uncalibrated(read_candidate(model), Step(lever="fp16", component="all"))
    given = tmp_path / "given"
    with halved.directory() as folder:
        shutil.copytree(folder, given)
    strict = replace(options, strategy="global", max_wer_increase_points=0.0, test_data=())
    found = compress_model(given, tmp_path / "out", strict, say=lambda _: None)
    assert {each.component for each in found.recipe.steps if each.lever == "fp16"} == {"encoder", "predictor", "joiner"}
    assert found.result.size_bytes < 1.2 * found.original.size_bytes
    assert found.dev.energy_reduction > 0


def test_the_page_draws_the_recipes_of_other_runs_beside(
    made: Made, world: World, options: Options, tmp_path: Path
) -> None:
    _, out, _ = made
    other = tmp_path / "other"
    again = replace(options, recipe=out / "recipe.toml", strategy="uniform", beside=(out,))
    found = compress_model(world[1], other, again, say=lambda _: None, page=html)
    assert {each.strategy for each in found.beside} == {"targeted"}
    assert len(found.beside) == len(json.loads((out / "result.json").read_text())["tried"])
    assert "targeted: Pareto front" in (other / "report.html").read_text()
    for wrong, said in ((tmp_path, "result.json cannot be read"), (other, "is for")):
        asked = replace(again, beside=(wrong,), device="phone")
        with pytest.raises(InputError, match=said):
            compress_model(world[1], tmp_path / "third", asked, say=lambda _: None)
    with pytest.raises(InputError, match="utterances"):
        compress_model(world[1], tmp_path / "third", replace(again, limit=2), say=lambda _: None)
    assert not (tmp_path / "third").exists()


def test_the_waterfall_ends_where_the_result_is(made: Made) -> None:
    found, out, _ = made
    names, energies = zip(*found.course, strict=True)
    assert names[0] == "original, nothing placed"
    assert len(names) == 1 + len(found.recipe.steps)
    assert energies[0] == pytest.approx(found.baselines_mj["none"])
    page = (out / "report.html").read_text()
    assert all(f'"{name}"' in page for name in (names[0], "result"))
    assert energies[-1] == pytest.approx(found.dev.after.energy_mj_per_audio_s, rel=0.1)
    assert json.loads((out / "result.json").read_text())["course"][-1]["energy_mj_per_audio_s"] == energies[-1]


def test_uniform_and_global_leave_a_point_on_the_same_scale(world: World, options: Options) -> None:
    bench = make_bench(read_candidate(world[1]), options, lambda _: None)
    lossless = bench.lossless()
    for strategy in (Uniform(keeps=(0.7,)), GlobalMagnitude(keeps=(0.8,))):
        found = strategy.run(bench, lossless)
        mine = [each for each in bench.tried if each.strategy == strategy.name]
        assert mine
        assert found.strategy == strategy.name
        assert all(each.wer is not None for each in mine)
    evenly = [step for step in Uniform.steps(bench, 0.7) if step.lever == "low-rank"]
    assert {step.component for step in evenly} == {"encoder", "predictor", "joiner"}
    assert {step.options["keep"] for step in evenly} == {0.7}


def test_a_step_that_breaks_the_limit_is_reverted_and_reported(world: World, options: Options) -> None:
    strict = replace(options, max_wer_increase_points=0.0)
    bench = make_bench(read_candidate(world[1]), strict, lambda _: None)
    found = Targeted(patience=2).run(bench, bench.lossless())
    reverted = [each for each in found.done if not each.kept and "WER" in each.reason]
    assert reverted
    result = bench.build(found.steps)
    assert bench.measure(result).wer <= 0.0


def test_uniform_and_global_report_what_they_took_back(world: World, options: Options) -> None:
    bench = make_bench(read_candidate(world[1]), options, lambda _: None)
    bench.limit = -2.0  # nothing holds
    for strategy in (Uniform(keeps=(0.7,)), GlobalMagnitude(keeps=(0.8,))):
        found = strategy.run(bench, [])
        assert found.done
        assert not found.steps
        assert all(f"{strategy.name}, " in each.reason and "reverted: WER" in each.reason for each in found.done)


def test_global_goes_past_a_joiner_that_it_cannot_prune(
    world: World, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = read_candidate(world[1])
    bench = make_bench(original, options, lambda _: None)
    two = apply(original, Step(lever="low-rank", component="joiner", options={"keep": 0.5}), bench.calibration)
    factorised = make_bench(two, options, lambda _: None)
    found = GlobalMagnitude(keeps=(0.8,)).run(factorised, [])
    assert any(each.step.lever == "prune-width" for each in found.done)
    assert not any(each.step.component == "joiner" for each in found.done if each.step.lever == "prune-width")
    nothing = [Step(lever="short-softplus", component="joiner")]
    monkeypatch.setattr(GlobalMagnitude, "steps", staticmethod(lambda _bench, _keep: nothing))
    (left,) = GlobalMagnitude(keeps=(0.8,)).run(bench, []).done
    assert not left.kept
    assert "not applicable" in left.reason


# --- bad input ---------------------------------------------------------------------------------------------------------
def test_bad_input_is_one_clear_line(
    world: World, options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, model, dev, _ = world
    cases = (
        (["-o", str(tmp_path / "a")], "--data requires an argument"),
        (["-o", str(tmp_path / "a"), "--data", str(dev), "--max-wer-increase", "-1"], "0 or more"),
        (["-o", str(tmp_path / "no" / "a"), "--data", str(dev)], "parent directory"),
        (["-o", str(dev), "--data", str(dev)], "there already"),
        (["-o", str(tmp_path / "a"), "--data", str(dev), "--device", "abacus"], "no device"),
        (
            ["-o", str(tmp_path / "a"), "--data", str(dev), "--max-latency-ms", "10", "--limit", "8"],
            "segments of 80 ms",
        ),
    )
    for arguments, wanted in cases:
        assert main(["compress", str(model), *arguments]) == 2
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 1
        assert wanted in errors[0]
        assert not (tmp_path / "a").exists()


def test_speech_without_text_is_refused(world: World, options: Options, tmp_path: Path) -> None:
    folder = builders.corpus(tmp_path / "mute", world[1], count=2)
    lines = [{**json.loads(line), "text": ""} for line in (folder / "manifest.jsonl").read_text().splitlines()]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="text"):
        compress_model(world[1], tmp_path / "out", replace(options, data=(str(folder),)))


def test_a_state_that_nothing_feeds_is_refused(world: World, options: Options, tmp_path: Path) -> None:
    models.build(tmp_path / "odd", layout="lstm")
    path = tmp_path / "odd" / "encoder.onnx"
    model = onnx.load(path)
    model.graph.input.append(onnx.helper.make_tensor_value_info("mystery", onnx.TensorProto.FLOAT, ["N", 3, 7]))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"odd.*mystery"):
        compress_model(tmp_path / "odd", tmp_path / "out", options, say=lambda _: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("method", "name"), [("write_text", "report.html"), ("write_bytes", "tokens.txt")])
def test_a_full_disk_leaves_no_out(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, name: str
) -> None:
    found, _, _ = made
    write = getattr(Path, method)

    def full(self: Path, *arguments: Any, **options: Any) -> object:
        if self.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, method, full)
    with pytest.raises(InputError, match="No space left") as error:
        outcome.write(found, tmp_path / "out", page=html)
    assert error.value.where == str(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_recipes_round_trip_and_name_their_faults(tmp_path: Path) -> None:
    step = Step(lever="int8", component="encoder", tensors=("a*", 'odd "name"'), options={"rounding": "gptq"})
    done = (
        Done(step=step, kept=True, reason='says "so"\n', numbers={"saved_mj": 1.0, "wer": 1e-05}),
        Done(step=Step(lever="fp16", component="all"), kept=False, reason="reverted"),
    )
    recipe = Recipe(
        model="m",
        device="wearable",
        strategy="targeted",
        seed=3,
        calibration={"seconds": 8.0, "data": ["x"]},
        done=done,
    )
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe))
    assert read_recipe(path) == recipe
    for text, wanted in (
        ("schema = 9", "schema"), ("not toml [", "not TOML"), ('schema = 1\n[[step]]\nlever = "int8"', "no component"),
        ('schema = 1\n[[step]]\nlever = "magic"\ncomponent = "encoder"', "no lever 'magic'"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(InputError, match=wanted):
            read_recipe(path)
    with pytest.raises(InputError, match="the recipe cannot be read: No such file"):
        read_recipe(tmp_path / "none.toml")
