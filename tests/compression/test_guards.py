"""What is refused before the first measurement, what may be overwritten, and what a cache may answer."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from tests.compression import builders
from wattscribe.cli import main
from wattscribe.compression import outcome
from wattscribe.compression import run as run_of
from wattscribe.compression.candidate import read_candidate
from wattscribe.compression.checked import checked
from wattscribe.compression.measure import Measurer
from wattscribe.compression.options import Options
from wattscribe.compression.speech import read_speech, read_unseen
from wattscribe.energy import devices
from wattscribe.errors import InputError

World = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("guards")
    model = builders.build(root / "model")
    return root, model, builders.corpus(root / "dev", model, count=3)


def test_everything_is_refused_before_anything_is_measured(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_arguments: object, **_options: object) -> NoReturn:
        raise AssertionError("the work began")

    monkeypatch.setattr(run_of, "make_bench", measured)
    _, model, dev = world
    file = tmp_path / "file"
    file.write_text("not json\n")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    out = ["-o", str(tmp_path / "out")]
    search = [*out, "--strategy", "search", "--storage"]
    cases = (
        ([*out, "--seed", "-1"], "--seed is -1"),
        (["-o", "/proc/x"], "nothing can be written"),
        (["-o", str(dangling)], "symbolic link"),
        (["-o", str(file), "--overwrite"], "not written by compress"),
        ([*out, "--recipe", str(tmp_path / "none.toml")], "the recipe cannot be read: No such file"),
        ([*out, "--beside", str(tmp_path / "none")], "result.json cannot be read"),
        ([*search, str(file)], "no journal"),
        ([*search, str(tmp_path / "no" / "journal")], "parent directory"),
        ([*out, "--max-latency-ms", "nan"], "--max-latency-ms: give a finite number"),
        ([*out, "--max-latency-ms", "inf"], "--max-latency-ms: give a finite number"),
        ([*out, "--max-wer-increase", "inf"], "--max-wer-increase: give a finite number"),
        ([*out, "--trials", "0"], "--trials is 0"),
        ([*out, "--cache", str(file)], "no folder to write to"),
        ([*out, "--test-data", str(tmp_path / "none")], "none"),
        ([*out, "--test-data", str(dev)], "3 of its 3 utterances are development speech too"),
        ([*out, "--device", "abacus"], "no device"),
    )
    for arguments, wanted in cases:
        assert main(["compress", str(model), "--data", str(dev), *arguments]) == 2, arguments
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 1
        assert wanted in errors[0]
        assert not (tmp_path / "out").exists()
    assert file.read_text() == "not json\n"


def test_overwrite_replaces_only_what_a_run_has_written(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "sub").mkdir(parents=True)
    (precious / "sub" / "thesis.txt").write_text("years")
    for files in ((), ("recipe.toml", "result.json")):
        for name in files:
            (precious / name).write_text("")
        with pytest.raises(InputError, match="not written by compress"):
            outcome.check_target(precious, overwrite=True)
    shutil.rmtree(precious / "sub")
    outcome.check_target(precious, overwrite=True)
    with pytest.raises(InputError, match="give `overwrite`"):
        outcome.check_target(precious)
    assert [each.name for each in tmp_path.iterdir()] == ["precious"], "nothing is left of the trial of the place"


def test_a_cache_knows_speech_by_its_sound(world: World, tmp_path: Path) -> None:
    """The same names and the same seconds, other audio: another text."""
    _, model, dev = world
    candidate = read_candidate(model)
    first = read_speech([str(dev)])
    other = replace(first, audio=tuple(builders.sound(70 + i, 2.0) for i in range(3)))
    assert other.audio_s == first.audio_s
    found = [
        Measurer(devices.load("wearable"), cache=cache).decode(candidate, speech).texts
        for cache in (tmp_path, None)
        for speech in (first, other)
    ]
    assert found[:2] == found[2:]
    assert found[0] != found[1]
    renamed = replace(first, ids=tuple(f"other{i}" for i in range(3)))
    assert renamed.digest == first.digest


def test_a_test_set_is_refused_by_its_sound_not_by_its_name(world: World, tmp_path: Path) -> None:
    _, model, dev = world
    speech = read_speech([str(dev)])
    copied = tmp_path / "copied"
    shutil.copytree(dev, copied)
    with pytest.raises(InputError, match=r"copied.*3 of its 3"):
        read_unseen([str(copied)], speech)
    fresh = builders.corpus(tmp_path / "fresh", model, count=2, first=50)
    assert len(read_unseen([str(fresh)], speech)) == 2


def test_device_and_seed_come_from_the_recipe_unless_given(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('schema = 1\ndevice = "phone"\nseed = 7\n')
    options = Options(data=("x",), recipe=path)
    found, recipe = checked(options)
    assert (found.device_name, found.drawn) == ("phone", 7)
    assert recipe is not None
    found, _ = checked(replace(options, device="wearable", seed=1))
    assert (found.device_name, found.drawn) == ("wearable", 1)
    found, none = checked(Options(data=("x",)))
    assert (found.device_name, found.drawn, none) == ("wearable", 0, None)
    path.write_text('schema = 1\ndevice = "abacus"\n')
    with pytest.raises(InputError, match=r"recipe.toml: its device.*abacus.*Give `device`"):
        checked(options)
    assert checked(replace(options, device="phone"))[0].device_name == "phone"
