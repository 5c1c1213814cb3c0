"""`--train-config`, from a checkpoint to OUT: trained by the losses of its own training, kept, found again, or reverted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("espeakng_loader", reason="the extra `train` is not installed")
pytest.importorskip("lightning_fabric", reason="the extra `train` is not installed")

from tests.compression import builders  # noqa: E402
from tests.training.conftest import SENTENCES, tiny_config  # noqa: E402
from wattscribe.compression.dense import distil, tune  # noqa: E402
from wattscribe.compression.recipe import read_recipe  # noqa: E402
from wattscribe.compression.run import Options, compress_model  # noqa: E402
from wattscribe.errors import InputError  # noqa: E402
from wattscribe.training.checkpoint import save_model  # noqa: E402
from wattscribe.training.export import export  # noqa: E402
from wattscribe.training.model import build  # noqa: E402
from wattscribe.training.objective import Weights  # noqa: E402
from wattscribe.training.speech_cache import write_shard  # noqa: E402
from wattscribe.training.synthesis import Voice  # noqa: E402
from wattscribe.training.tokens import characters  # noqa: E402

EXPERIMENT = """
[[sources]]
folder = "SPOKEN"
[speech]
cache = "CACHE"
[[training.phases]]
ctc = 1.0
[[training.phases]]
from_share = 0.2
ctc = 0.3
teacher = 0.5
one_per_frame = true
"""
TUNE = 'experiment = "train.toml"\nscores = "adam"\nscore_batches = 1\nsteps = 2\ncut = { feed_forward = 0.25, joint = 0.5 }\n'
RECIPE = 'schema = 1\n[[step]]\nkept = true\nlever = "int8"\ncomponent = "joiner"\nreason = "r"\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("tune")
    vocabulary = characters(SENTENCES)
    model = build(tiny_config(len(vocabulary))).eval()
    save_model(root / "run" / "model", model, vocabulary, {})
    export(model, vocabulary, root / "exported")
    write_shard(root / "spoken", 0, [(text, Voice(engine="espeak", name="en-us")) for text in SENTENCES[:4]])
    (root / "train.toml").write_text(
        EXPERIMENT.replace("SPOKEN", str(root / "spoken")).replace("CACHE", str(root / "cache"))
    )
    (root / "tune.toml").write_text(TUNE)
    (root / "recipe.toml").write_text(RECIPE)
    builders.corpus(root / "dev", root / "exported", count=3)
    return root


@pytest.fixture(scope="module")
def options(world: Path) -> Options:
    return Options(
        data=(str(world / "dev"),), recipe=world / "recipe.toml", train_config=world / "tune.toml", calibration_s=4.0,
        probe_s=2.0, cache=world / "kept", max_wer_increase_points=1000.0,
    )  # fmt: skip


def test_the_pruned_model_is_trained_as_the_dense_one_was_and_kept(
    world: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Weights] = []
    real = distil.distil

    def watched(*arguments: Any, weights: Weights, **options: Any) -> list[float]:
        seen.append(weights)
        return real(*arguments, weights=weights, **options)

    monkeypatch.setattr(distil, "distil", watched)
    said: list[str] = []
    found = compress_model(world / "run", world / "out", options, say=said.append)
    (weights,) = seen
    assert weights.one_per_frame
    assert (weights.ctc, weights.teacher) == (0.3, 0.0)
    assert found.result.size_bytes < found.original.size_bytes
    (note,) = [each for each in found.notes if each.startswith("Pruned and fine-tuned")]
    assert "kept" in note
    assert "kept" in str(read_recipe(world / "out" / "recipe.toml").calibration["trained"])
    again = compress_model(world / "run", world / "again", options, say=said.append)
    assert len(seen) == 1, "the tuned checkpoint was found again"
    assert any("fine-tuned before" in each for each in said)
    assert again.result.digest == found.result.digest


@pytest.mark.parametrize(("precision", "wanted"), [("bf16", True), ("fp32", False)])
def test_fine_tuning_computes_in_the_precision_that_was_asked_for(
    precision: Any, wanted: bool, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(distil, "distil", lambda *_, bf16, **__: seen.append(bf16))
    (world / f"{precision}.toml").write_text(f'precision = "{precision}"\n{TUNE}')
    tune.prune_and_tune(world / "run", world / f"{precision}.toml")
    assert seen == [wanted]


def test_pruning_that_breaks_the_limit_is_reverted_and_said(world: Path, options: Options) -> None:
    strict = replace(options, max_wer_increase_points=0.0, cache=world / "kept-strict")
    found = compress_model(world / "run", world / "strict", strict, say=lambda _: None)
    assert found.dev.before.wer == 0.0
    (note,) = [each for each in found.notes if each.startswith("Pruned and fine-tuned")]
    assert "reverted, the limit is 0" in note
    dense = compress_model(world / "exported", world / "dense", replace(strict, train_config=None), say=lambda _: None)
    assert dense.result.digest == found.result.digest


def test_speech_without_text_is_refused_before_the_training(
    world: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "prune_and_tune", lambda *a, **k: pytest.fail("it was trained"))
    with pytest.raises(InputError):
        compress_model(world / "run", world / "mute", replace(options, data=(str(world / "nowhere"),)))
    assert not (world / "mute").exists()
