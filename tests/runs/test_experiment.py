"""An experiment is read strictly: every mistake is named with its key and with what is allowed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from wattscribe.errors import InputError
from wattscribe.runs.experiment import check, differences, load, split_numbers, split_options

LEAST: dict[str, Any] = {"models": ["fake:a"], "data": ["bundled"]}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"modles": ["fake:a"]}, ["'modles'", "Allowed:", "models", "repeats"]),
        ({"models": [{"model": "fake:a", "presicion": ["int8"]}]}, ["models.0.presicion", "Allowed:", "batch_size"]),
        ({"models": []}, ["models", "at least 1"]),
        ({"data": "bundled"}, ["data", "list"]),
        ({"repeats": 0}, ["repeats", "greater than or equal to 1", "0"]),
        ({"repeats": "3"}, ["repeats", "integer"]),
        ({"repeats": True}, ["repeats"]),
        ({"noise": ["white"]}, ["noise and snr belong together"]),
        ({"snr": [10.0]}, ["noise and snr belong together"]),
        ({"clean": False}, ["no condition"]),
        ({"noise": ["a/rain", "b/rain"], "snr": [10.0]}, ["rain@10dB", "different names"]),
        ({"conditions": [{"noise": "white"}]}, ["conditions.0", "belong together"]),
        ({"options": {"beam": 4}}, ["options.beam", "string", "4"]),
        ({"normaliser": "kaldi"}, ["normaliser", "whisper", "basic", "none"]),
        ({"timeout_s": 0}, ["timeout_s", "greater than 0"]),
        ({"sample_rate_hz": 5000.0}, ["sample_rate_hz", "less than or equal to 1000"]),
        ({"noise": ["white"], "snr": [5.0, 10, 5]}, ["snr lists 5.0 twice", "leave one out"]),
        ({"noise": ["white", "white"], "snr": [5.0]}, ["noise lists 'white' twice"]),
        ({"rir": ["hall", "hall"]}, ["rir lists 'hall' twice"]),
        ({"conditions": [{"rir": "hall"}], "rir": ["hall"]}, ["room:hall", "leave one out"]),
    ],
)
def test_a_mistake_is_named(keys: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        check({**LEAST, **keys})
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_keys_name_their_flag() -> None:
    with pytest.raises(InputError, match=r"the key `models` is missing"):
        check({"data": ["bundled"]})


def test_conditions_in_their_order() -> None:
    made = check(
        {
            **LEAST,
            "noise": ["white", "x/rain"],
            "snr": [20.0, 5],
            "rir": ["rooms/small.wav"],
            "longform_minutes": 10,
            "conditions": [{"noise": "pink", "snr": 0, "rir": "hall", "longform_minutes": 1}],
            "seed": 4,
        }
    ).all_conditions()
    assert [condition.name for condition in made] == [
        "clean",
        "white@20dB",
        "white@5dB",
        "rain@20dB",
        "rain@5dB",
        "room:small",
        "longform:600s",
        "longform:60s+room:hall+pink@0dB",
    ]
    assert {condition.seed for condition in made} == {4}


def test_paths_in_the_file_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab" / "model").mkdir(parents=True)
    (tmp_path / "lab" / "e.toml").write_text(
        """
        models = ["onnx:model?decoding=beam", "hf:openai/whisper-tiny.en", "model", "sherpa:../lab/model"]
        data = ["speech", "bundled", "hub:a/b", "/abs"]
        noise = ["white", "noises/rain"]
        snr = [5]
        rir = ["rooms"]
        conditions = [{noise = "pink", snr = 3, rir = "hall.wav"}]
        """,
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    made = load(Path("lab/e.toml"))
    assert made.models == [
        "onnx:./lab/model?decoding=beam",
        "hf:openai/whisper-tiny.en",
        "./lab/model",
        "sherpa:./lab/model",
    ]
    assert made.data == ["lab/speech", "bundled", "hub:a/b", "/abs"]
    assert made.noise == ["white", "lab/noises/rain"]
    assert made.rir == ["lab/rooms"]
    assert (made.conditions[0].noise, made.conditions[0].rir) == ("pink", "lab/hall.wav")
    monkeypatch.chdir(tmp_path / "lab")
    assert load(Path("e.toml")).data[0] == "speech"
    assert os.path.isdir(str(load(Path("e.toml")).models[0]).removeprefix("onnx:").partition("?")[0])  # noqa: PTH112


def test_flags_override_the_file_and_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text(
        'data = ["bundled"]\nrepeats = 3\n[[models]]\nmodel = "fake:a"\nprecision = ["fp32", "int8"]\nthreads = 4\n',
        encoding="utf-8",
    )
    made = load(path, {"precision": ["fp16"], "repeats": 2})
    assert made.repeats == 2
    assert [entry.precision for entry in made.models] == [None]  # type: ignore[union-attr]
    assert [entry.threads for entry in made.models] == [4]  # type: ignore[union-attr]
    assert load(path, {"models": ["fake:b"]}).models == ["fake:b"]


@pytest.mark.parametrize("text", ["models = [", "\xff"])
def test_not_toml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "e.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="not TOML"):
        load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: No such file .*docs/bench.md"):
        load(tmp_path / "none.toml")


def test_differences_name_the_keys() -> None:
    began = check({**LEAST, "repeats": 2}).model_dump()
    assert differences(began, check({**LEAST, "repeats": 2})) == []
    assert differences(began, check({**LEAST, "repeats": 3})) == ["repeats is 3 here and 2 in the run"]


def test_flag_values() -> None:
    assert split_numbers("20, 10,0.5", flag="--snr") == [20.0, 10.0, 0.5]
    assert split_options(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(InputError, match="--snr"):
        split_numbers("20;10", flag="--snr")
    with pytest.raises(InputError, match="key=value"):
        split_options(["beam"])
