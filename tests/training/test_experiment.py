"""From a TOML file to a model and its export, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.conftest import SENTENCES
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.training import experiment, prepare, speech_cache
from wattscribe.training.checkpoint import load_model

RECIPE = """
[model]
vocabulary = 2
predictor = { embedding = 12 }
joiner = { width = 12, blank_width = 4 }
[model.encoder]
width = 16
time_stack = 4
segment = 4
left_context = 8
layers = 2
layer = { heads = 2, head_width = 8, feed_forward = 16, conv_kernel = 3, conv_width = 8 }
[units]
kind = "characters"
[speech]
cache = "CACHE"
text = ["TEXT"]
hours = 0.001
on_the_fly = 4
held_out_corpora = []
[dev]
seen = "CACHE/train"
[training]
precision = "fp32"
workers = 0
batch_s = 20.0
log_every = 1
[training.schedule]
steps = 2
[[training.phases]]
ctc = 1.0
transducer = 0.0
[[training.phases]]
from_share = 0.5
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(speech_cache, "SENTENCES_PER_SHARD", 6)
    monkeypatch.setattr(speech_cache, "ESPEAK_SHARE", 1.0)
    monkeypatch.setattr(prepare, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(prepare, "DEV_SETS", ())
    (tmp_path / "text.txt").write_text("\n".join(SENTENCES))
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace("CACHE", str(tmp_path / "cache")).replace("TEXT", str(tmp_path / "text.txt")))
    return path


class Inline:
    """A pool of this process alone."""

    def __init__(self, *_args, **_more) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *_error) -> None: ...

    def map(self, function, items):
        return [function(item) for item in items]


def test_train_and_resume_by_the_command_line(recipe, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["train", str(recipe), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "spoken: 0.0 of 0.001 h" in printed
    assert "step 2" in printed
    assert "seen: " in printed
    model, vocabulary = load_model(out / "model")
    assert model.config.vocabulary == len(vocabulary)
    assert model.config.joiner.blank_width == 4
    assert main(["train", str(recipe), "--out", str(out), "--steps", "3"]) == 0
    again = capsys.readouterr().out
    assert "resumed at step 2" in again
    assert "step 3" in again
    assert "spoken" not in again


def test_errors_are_one_line(recipe, tmp_path, capsys):
    def said(*arguments: str) -> str:
        assert main(list(arguments)) != 0
        error = capsys.readouterr().err.strip()
        assert "\n" not in error
        return error

    out = str(tmp_path / "out")
    assert "no such file" in said("train", str(tmp_path / "none.toml"), "--out", out)
    text = recipe.read_text()
    recipe.write_text(text.replace("width = 16", "colour = 3", 1))
    assert "colour" in said("train", str(recipe), "--out", out)
    recipe.write_text(text.replace("kind =", "kind"))
    assert "no TOML" in said("train", str(recipe), "--out", out)
    recipe.write_text(text.replace("steps = 2", "steps = 2\nminutes = 3"))
    assert "either steps or minutes" in said("train", str(recipe), "--out", out)
    recipe.write_text(text.replace("ctc = 1.0", "teacher = 1.0"))
    assert "no speech has its outputs" in said("train", str(recipe), "--out", out)
    assert "no model.safetensors" in said("export", str(tmp_path), "-o", out)


@pytest.mark.parametrize(
    "name", sorted(p.name for p in (Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))
)
def test_shipped_recipes_are_read(name):
    path = Path(__file__).resolve().parents[2] / "recipes" / name
    if "[training" not in path.read_text():
        pytest.skip("not a training recipe")
    read = experiment.read_experiment(path)
    assert experiment.model_config(read.model, 500).vocabulary == 500
    assert read.training.phases


def test_unknown_fields_are_named(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[speech]\ncache = 'x'\nflavour = 'sweet'\n")
    with pytest.raises(InputError, match="flavour"):
        experiment.read_experiment(path)
