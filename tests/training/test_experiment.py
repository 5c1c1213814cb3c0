"""From a TOML file to a model and its export, through the command line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import SENTENCES
from wattscribe.cli import main
from wattscribe.errors import InputError, ModelError
from wattscribe.training import experiment, prepare, speech_cache
from wattscribe.training.checkpoint import load_model
from wattscribe.training.objective import TeacherHead

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
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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

    def __init__(self, *_args: Any, **_more: Any) -> None: ...

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_error: Any) -> None: ...

    def map(self, function: Any, items: Any) -> Any:
        return [function(item) for item in items]


def test_train_and_resume_by_the_command_line(recipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_errors_are_one_line(recipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        assert main(list(arguments)) != 0
        error = capsys.readouterr().err.strip()
        assert "\n" not in error
        return error

    out = str(tmp_path / "out")
    assert "No such file" in said("train", str(tmp_path / "none.toml"), "--out", out)
    text = recipe.read_text()
    recipe.write_text(text.replace("width = 16", "colour = 3", 1))
    assert "colour" in said("train", str(recipe), "--out", out)
    recipe.write_text(text.replace("kind =", "kind"))
    assert "is not TOML" in said("train", str(recipe), "--out", out)
    recipe.write_text(text.replace("steps = 2", "steps = 2\nminutes = 3"))
    assert "either steps or minutes" in said("train", str(recipe), "--out", out)
    recipe.write_text(text.replace("ctc = 1.0", "teacher = 1.0"))
    assert "no speech has its outputs" in said("train", str(recipe), "--out", out)
    assert "no model.safetensors" in said("export", str(tmp_path), "-o", out)


@pytest.mark.parametrize(
    "name", sorted(p.name for p in (Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))
)
def test_shipped_recipes_are_read(name: Any) -> None:
    path = Path(__file__).resolve().parents[2] / "recipes" / name
    if "[training" not in path.read_text():
        pytest.skip("not a training recipe")
    read = experiment.read_experiment(path)
    assert experiment.model_config(read.model, 500).vocabulary == 500
    assert read.training.phases


def test_unknown_fields_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[speech]\ncache = 'x'\nflavour = 'sweet'\n")
    with pytest.raises(InputError, match="flavour"):
        experiment.read_experiment(path)


# --- what a file may say ----------------------------------------------------------------------------------------------
WRONG = {
    "kind = \"characters\"|kind = \"words\"": "units.kind = 'words'. Give 'bpe' or 'characters'",
    "predictor = { |predictor = { kind = \"gru\", ": "model.predictor.kind = 'gru'. Give 'stateless' or 'lstm'",
    "predictor = { |predictor = { kind = \"lstm\", hidden = 0, ": "model.predictor.hidden = 0. Give a whole number from 1",
    "blank_width = 4|blank_width = -3": "model.joiner.blank_width = -3. Give a whole number from 0",
    "blank_width = 4|activation = \"gelu\"": "model.joiner.activation = 'gelu'. Give 'tanh' or 'relu'",
    "width = 16|width = 64.5": "model.encoder.width = 64.5. Give a whole number from 1",
    "width = 16|width = 16\nmels = 40": "model.encoder.mels = 40: speech has 80 bands. Give 80",
    "width = 16|width = 16\ndropout = 3": "model.encoder.dropout = 3.0. Give a number from 0 to 1",
    "layers = 2\n|layers = 0\n": "encoder.layers = 0. Give 1 to 1024",
    "[model]|[model]\npreset = \"reference\"": "model.preset = 'reference' conflicts with model.encoder, model.joiner",
    "batch_s = 20.0|batch_s = nan": "training.batch_s = nan. Give a number above 0",
    "batch_s = 20.0|batch_s = 0": "training.batch_s = 0.0. Give a number above 0",
    "batch_s = 20.0|batch_s = \"twenty\"": "training.batch_s = 'twenty'. Give a number above 0",
    "precision = \"fp32\"|precision = \"fp16\"": "training.precision = 'fp16'. Give 'auto' or 'bf16' or 'fp32'",
    "workers = 0|workers = 0\naccelerator = \"quantum\"": "training.accelerator = 'quantum'. Give 'cpu' or 'cuda' or 'auto'",
    "workers = 0|workers = true": "training.workers = True. Give a whole number from 0",
    "workers = 0|workers = 0\ndevices = 0": "training.devices = 0. Give a whole number from 1",
    "workers = 0|workers = 0\nseed = -3": "training.seed = -3. Give a whole number from 0",
    "log_every = 1|log_every = 0": "training.log_every = 0. Give a whole number from 1",
    "steps = 2|steps = -3": "training.schedule.steps = -3. Give a whole number from 1",
    "steps = 2|steps = \"2\"": "training.schedule.steps = '2'. Give a whole number from 1",
    "steps = 2|steps = 2\npeak_rate = -1e-3": "training.schedule.peak_rate = -0.001. Give a number above 0",
    "hours = 0.001|hours = nan": "speech.hours = nan. Give a number from 0",
    "hours = 0.001|hours = 0.001\nprocesses = 0": "speech.processes = 0. Give a whole number from 1",
    "[\"TEXT\"]|\"TEXT\"": "speech: text: a list is expected, not '/",
    "from_share = 0.5|band = 1": "training.phases.band = 1. Give at least 2 tokens a frame, or 0 for the whole lattice",
    "from_share = 0.5|band = -1": "training.phases.band = -1. Give a whole number from 0",
    "from_share = 0.5|ctc = 0\ntransducer = 0": "a phase in which no loss counts",
    "workers = 0|workers = 0\naugmentation = { stretch = 2.0 }": "augmentation.stretch = 2.0. Give a number from 0 to 0.9",
    "workers = 0|workers = 0\naugmentation = { snr_db = 5 }": "augmentation: snr_db: a list is expected, not 5",
    "workers = 0|workers = 0\naugmentation = { snr_db = [30, 5] }": "Give a list of 2: a number, the smaller first",
    "workers = 0|workers = 0\nsound = { speed = [0, 0] }": "a number from 0.1 to 10, the smaller first",
    "workers = 0|workers = 0\nsteeps = 1": "training: there is no steeps among seed, schedule",
    "[units]|[[sources]]\nfolder = \"x\"\nrepeat = -1\n[units]": "sources.repeat = -1. Give a whole number from 0",
}  # fmt: skip


@pytest.mark.parametrize("change", WRONG)
def test_a_wrong_value_is_named_with_its_file_key_and_what_is_allowed(recipe: Any, change: Any) -> None:
    before, after = change.split("|")
    text = recipe.read_text()
    before = before.replace("TEXT", str(recipe.parent / "text.txt"))
    assert before in text
    recipe.write_text(text.replace(before, after.replace("TEXT", str(recipe.parent / "text.txt")), 1))
    with pytest.raises(InputError) as caught:
        experiment.read_experiment(recipe)
    assert str(caught.value).startswith(f"{recipe}: ")
    assert WRONG[change] in str(caught.value)


def test_no_phase_and_no_utf8_are_refused(recipe: Any) -> None:
    recipe.write_text(
        re.sub(r"\[\[training.phases.*", "", recipe.read_text(), flags=re.S).replace("workers", "phases = []\nworkers")
    )
    with pytest.raises(InputError, match=r"training.phases = \(\). Give a list of a table, at least one"):
        experiment.read_experiment(recipe)
    recipe.write_bytes(b"\xff\xfe\x00abc")
    with pytest.raises(InputError, match=r"is not TOML: it is not UTF-8"):
        experiment.read_experiment(recipe)


@pytest.mark.parametrize(
    ("change", "said"),
    [("[dev]|[dev]\nother = \"/nope\"", "dev.other = '/nope': the speech folder holds no shards"),
     ("[dev]|[[sources]]\nfolder = \"/nope\"\n[dev]", r"sources.folder\[0\] = '/nope'"),
     ("[model]|start_from = \"/nope\"\n[model]", "no model.safetensors"),
     ("workers = 0|workers = 0\nnoise = \"/nope\"", "training.noise = '/nope': the folder holds no audio"),
     ("workers = 0|workers = 0\nsound = { rooms = \"/nope\" }", "training.sound.rooms = '/nope'"),
     ("workers = 0|workers = 0\naccelerator = \"cuda\"\ndevices = 99", "torch finds"),
     ("hours = 0.001|unlabelled = \"/nope\"\nteacher = \"/nope\"", "speech.unlabelled = '/nope'"),
     ("hours = 0.001|teacher = \"/nope\"\ntaught_shards = 1", "no encoder.onnx"),
     ("from_share = 0.5|teacher = 1.0", "no speech has its outputs")],
)  # fmt: skip
def test_what_is_not_there_is_said_before_anything_is_spoken(
    recipe: Any, tmp_path: Path, change: Any, said: Any
) -> None:
    recipe.write_text(recipe.read_text().replace(*change.split("|"), 1))
    with pytest.raises((InputError, ModelError), match=said):
        experiment.run(experiment.read_experiment(recipe), tmp_path / "out", say=lambda _: None)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("time_stack", [1, 2, 3, 5, 6, 7])
def test_frames_that_no_teacher_fits_are_refused(recipe: Any, time_stack: Any) -> None:
    text = recipe.read_text().replace("time_stack = 4", f"time_stack = {time_stack}")
    recipe.write_text(text)
    experiment.read_experiment(recipe)
    recipe.write_text(text.replace("ctc = 1.0", "teacher = 1.0"))
    with pytest.raises(InputError, match=f"time_stack = {time_stack}: a teacher's outputs come every 4 .*Give 4 or 8"):
        experiment.read_experiment(recipe)
    with pytest.raises(InputError, match="time_stack"):
        TeacherHead(16, time_stack)


# --- what was made before ---------------------------------------------------------------------------------------------
def prepared(recipe: Path, **changes: Any) -> list[str]:
    said: list[str] = []
    prepare.prepare(replace(experiment.read_experiment(recipe).speech, **changes), said.append, sets=SETS)
    return said


SETS = (prepare.SpokenSet(name="dev-espeak", split="dev", voices=prepare.UNKNOWN_ESPEAK[:1], count=1, varied=True),)


def test_speech_of_another_text_seed_or_held_out_set_is_refused(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(recipe)
    assert prepared(recipe) == []
    (tmp_path / "other.txt").write_text("\n".join(SENTENCES[5:]))
    for changes in ({"seed": 1}, {"text": (str(tmp_path / "other.txt"),)}):
        with pytest.raises(
            InputError, match=r"cache/train: this speech was made of another text, seed or held-out set"
        ):
            prepared(recipe, **changes)
    with monkeypatch.context() as patched:
        patched.setattr(prepare, "held_out_texts", lambda _: frozenset(SENTENCES[3:]))
        with pytest.raises(InputError, match="another text, seed or held-out set"):
            prepared(recipe)
    digest = (tmp_path / "cache" / "train" / "made-of.txt").read_text()
    (tmp_path / "cache" / "train" / "made-of.txt").unlink()
    said = prepared(recipe)
    assert len(said) == 1
    assert "does not record its text, seed or held-out set" in said[0]
    assert (tmp_path / "cache" / "train" / "made-of.txt").read_text() == digest
    assert prepared(recipe) == []


def test_a_dev_set_of_another_text_is_refused(tmp_path: Path) -> None:
    said: list[str] = []
    sentences = [f"{sentence} {word}" for sentence in SENTENCES for word in ("today", "again", "alone")]
    for _ in range(2):
        prepare.speak_set(tmp_path, SETS[0], sentences, said.append)
    assert said == ["dev-espeak: 1 of 1"]
    with pytest.raises(InputError, match="dev-espeak: this speech was made of another text or voices"):
        prepare.speak_set(tmp_path, SETS[0], [f"{sentence} sir" for sentence in sentences], said.append)


def test_other_units_are_refused_and_made_anew_with_fresh(
    recipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, text = tmp_path / "out", recipe.read_text()
    assert main(["train", str(recipe), "--out", str(out)]) == 0
    recipe.write_text(text.replace('kind = "characters"', 'kind = "bpe"\nsize = 60'))
    assert main(["train", str(recipe), "--out", str(out)]) == 2
    assert "units = bpe of 60, but this training has characters" in capsys.readouterr().err
    assert main(["train", str(recipe), "--out", str(out), "--fresh"]) == 0
    assert len(load_model(out / "model")[1]) == 60
    assert "resumed" not in capsys.readouterr().out
    steps = [json.loads(line)["position"]["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == [1, 2]
    assert steps.count(1) == 1
    recipe.write_text(text)
    assert main(["train", str(recipe), "--out", str(out), "--fresh"]) == 0
    assert load_model(out / "model")[1].bpe is None
    (out / "vocabulary" / "tokens.txt").unlink()
    recipe.write_text(text.replace('kind = "characters"', 'kind = "bpe"\nsize = 60'))
    capsys.readouterr()
    assert main(["train", str(recipe), "--out", str(out)]) == 2
    assert "began with other units" in capsys.readouterr().err


def test_speech_on_the_fly_alone(recipe: Any, tmp_path: Path) -> None:
    recipe.write_text(recipe.read_text().replace("hours = 0.001", "hours = 0").replace('seen = "CACHE/train"', "")
                      .replace(f'seen = "{tmp_path}/cache/train"', ""))  # fmt: skip
    fitted = experiment.run(experiment.read_experiment(recipe), tmp_path / "out", say=lambda _: None)
    assert fitted.position.step == 2
    assert float(fitted.model.encoder.scale.std()) > 0  # statistics of what espeak-ng says
    assert abs(float(fitted.model.encoder.mean.mean())) > 1


def test_out_that_is_a_file_is_said(recipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("precious")
    assert main(["train", str(recipe), "--out", str(tmp_path / "out")]) != 0
    error = capsys.readouterr().err.strip()
    assert "a file stands where a folder is wanted" in error
    assert "\n" not in error


def test_a_training_file_without_speech_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.toml"
    path.write_text('[units]\nkind = "characters"\n', encoding="utf-8")
    assert main(["train", str(path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "train.toml: the training file does not fit: speech is missing" in said
    assert "__init__" not in said


def test_folders_of_the_shipped_recipe_that_are_not_there_are_named(tmp_path: Path) -> None:
    recipe = (Path(__file__).parents[2] / "recipes" / "reference.toml").read_text(encoding="utf-8")
    recipe = recipe.replace("~/.cache/wattscribe/speech", str(tmp_path / "cache"))
    recipe = recipe.replace("../shared/data", str(tmp_path / "nowhere"))
    path = tmp_path / "train.toml"
    path.write_text(recipe, encoding="utf-8")
    with pytest.raises(InputError, match=r"speech\.text = .*nowhere.*there is no such file or folder"):
        experiment.check_folders(experiment.read_experiment(path))
    assert not (tmp_path / "cache").exists()


# --- fine-tuning ------------------------------------------------------------------------------------------------------
def test_a_start_with_another_shape_and_units_trains_and_says_what_it_left(
    recipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(recipe), "--out", str(tmp_path / "first")]) == 0
    text = recipe.read_text().replace("[model]", f'start_from = "{tmp_path / "first"}"\n[model]', 1)
    recipe.write_text(text.replace("joiner = { width = 12, blank_width = 4 }", "joiner = { width = 20 }"))
    assert main(["train", str(recipe), "--out", str(tmp_path / "second")]) == 0
    printed = capsys.readouterr().out
    assert f"start_from {tmp_path / 'first'}: encoder: 46 of 46 tensors" in printed
    assert "joiner: none; left: from_encoder.weight (16 × 16 there, 20 × 16 here)" in printed
    assert load_model(tmp_path / "second" / "model")[0].config.joiner.width == 20
    # without [model] and [units] both are taken over
    kept = re.sub(r"\[model\].*?\[speech\]", "[speech]", recipe.read_text(), flags=re.S)
    recipe.write_text(kept)
    assert main(["train", str(recipe), "--out", str(tmp_path / "third")]) == 0
    assert load_model(tmp_path / "third" / "model")[0].config.joiner.blank_width == 4


def test_an_exported_start_needs_shape_and_units(recipe: Any, tmp_path: Path) -> None:
    text = re.sub(r"\[model\].*?\[units\]", "[units]", recipe.read_text(), flags=re.S)
    recipe.write_text(f'start_from = "reference"\n{text}')
    with pytest.raises(InputError, match=r"neither shape nor how words part into units.*Give \[model\] and \[units\]"):
        experiment.run(experiment.read_experiment(recipe), tmp_path / "out", say=lambda _: None)
