"""The verbs as functions of the package: there, light, typed alike, and plain about a mistyped keyword."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cyclopts import Parameter

import wattscribe
from tests.stored_runs import made_up_run, store_run
from wattscribe import api
from wattscribe.cli import VERBS
from wattscribe.errors import InputError
from wattscribe.records import RunFacts

SHOWN_ONLY = {"demo", "completion"}
"""What plays others to a person, and what is a shell's: no functions."""


def test_every_verb_of_the_command_line_is_a_function() -> None:
    functions = {*VERBS, "attach"} - SHOWN_ONLY
    assert set(wattscribe.__all__) == functions
    for name in functions:
        assert inspect.isfunction(getattr(wattscribe, name))
        assert getattr(api, name) is getattr(wattscribe, name)
    assert functions <= set(dir(wattscribe))
    with pytest.raises(AttributeError, match="no attribute 'benchmark'"):
        _ = wattscribe.benchmark


def test_no_room_bears_a_verbs_name() -> None:
    rooms = {path.stem for path in Path(wattscribe.__file__).parent.iterdir()}
    assert not rooms & set(wattscribe.__all__)


def test_the_import_loads_nothing_heavy() -> None:
    code = "import sys, wattscribe; wattscribe.bench; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "onnxruntime", "torch", "pydantic", "cyclopts", "plotly", "psutil"} & set(loaded)
    code = "import sys; before = set(sys.modules); import wattscribe; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [each for each in loaded if each.startswith("wattscribe")] == ["wattscribe"]


@pytest.mark.parametrize(
    ("verb", "given", "wrong", "near"),
    [
        ("compress", ("model", "out"), "max_wer_increse", "max_wer_increase_points"),
        ("compress", ("model", "out"), "max_wer_increase", "max_wer_increase_points"),
        ("compare", ("base", "new"), "max_wer_increase", "max_wer_increase_points"),
        ("compare", ("base", "new"), "max_error_increase_points", "max_wer_increase_points"),
        ("profile", ("model",), "tokens_per_second", "tokens_per_s"),
        ("bench", ({}, "out"), "overwite", "overwrite"),
        ("measure", (), "idle_seconds", "idle_s"),
    ],
)
def test_a_mistyped_keyword_names_the_nearest(verb: str, given: tuple[Any, ...], wrong: str, near: str) -> None:
    with pytest.raises(InputError, match=f"{verb} has no option '{wrong}'. did you mean {near}?"):
        getattr(wattscribe, verb)(*given, **{wrong: 1})


def test_a_keyword_that_is_near_to_none_lists_them() -> None:
    with pytest.raises(InputError, match="It has: config, out, resume, minutes, steps, prepare_only, say"):
        wattscribe.train("c", "o", zzz=1)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("verb", "room", "others"),
    [("compress", "compression", {"model", "out", "overwrite", "say"}), ("profile", "energy", {"model", "say"})],
)
def test_the_options_of_a_verb_are_written_once(verb: str, room: str, others: set[str]) -> None:
    from wattscribe.cli.flags import flag_name

    options = {each.name for each in fields(import_module(f"wattscribe.{room}.options").Options)}
    given = inspect.signature(getattr(wattscribe, verb)).parameters
    assert set(given) == options | others
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for name, each in given.items() if name in options)
    app = import_module(f"wattscribe.cli.{verb}").app
    app.default_parameter = Parameter(name_transform=flag_name)
    flags = {name for each in app.assemble_argument_collection() for name in each.names}
    assert {f"--{flag_name(name)}" for name in options} <= flags


@pytest.mark.parametrize(
    ("verb", "text", "shown"),
    [
        ("bench", "Go on (`resume`), or replace it (`overwrite`)", "Go on (--resume), or replace it (--overwrite)"),
        ("bench", "`timeout_s` is 0, `models` is missing", "--timeout is 0, --model is missing"),
        ("compress", "`max_wer_increase_points` is -1", "--max-wer-increase is -1"),
        ("profile", "`segments` is a step, `chunk_ms` an option", "`segments` is a step, --chunk-ms an option"),
        ("train", "begin anew with `resume=False`", "begin anew with --fresh"),
        ("meters", "name it: `columns[time]`; `voltage`", "name it: --time-column; --voltage"),
        ("report", "`wattscribe profile` counts it", "`wattscribe profile` counts it"),
    ],
)
def test_the_command_line_spells_the_options_that_the_library_names(verb: str, text: str, shown: str) -> None:
    from wattscribe.cli.flags import spelled

    assert spelled(text, verb) == shown


def test_a_report_is_made_of_a_directory_or_of_facts(tmp_path: Path) -> None:
    facts: RunFacts = made_up_run()
    run = store_run(facts, tmp_path / "run")
    text = wattscribe.report(run, format="json")
    assert text.startswith("{")
    assert wattscribe.report(run, tmp_path / "rows.json", format="json") == tmp_path / "rows.json"
    assert (tmp_path / "rows.json").read_text("utf-8") == text
    assert wattscribe.report(run) == run / "report.html"
    assert wattscribe.report(facts, tmp_path / "page.html").is_file()
    with pytest.raises(InputError, match="facts alone have no directory"):
        wattscribe.report(facts)


def test_a_caller_hears_what_a_bench_does(tmp_path: Path) -> None:
    said: list[str] = []
    experiment = {"models": ["fake:a?text=x"], "data": ["bundled"], "limit": 1, "idle_s": 0}
    facts = wattscribe.bench(experiment, tmp_path / "r", say=said.append)
    assert facts.trials[0].status == "done"
    assert said[0].startswith("1 trial, ")
    assert said[1:] == ["fake:a fp32 · clean · repeat 1: started", "fake:a fp32 · clean · repeat 1: done"]


def test_a_limit_of_the_other_metric_is_refused() -> None:
    with pytest.raises(InputError, match=r"`max_cer_increase_points` does nothing with `metric` wer\. Add"):
        wattscribe.compare("base", "new", max_cer_increase_points=0.2)


def test_a_mistyped_key_of_an_experiment_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no key 'dat', did you mean data\?\. Allowed: models, "):
        wattscribe.bench({"models": ["fake:a"], "dat": ["bundled"]}, tmp_path / "r")
