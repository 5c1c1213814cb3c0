"""The whole of `profile --observe` on a toy, and what refuses it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from wattscribe import api
from wattscribe.cli import main
from wattscribe.energy.observed import ComponentTraffic, Observed
from wattscribe.errors import InputError
from wattscribe.observing.memory import cache_of
from wattscribe.observing.observe import SEGMENTS, plan, play
from wattscribe.observing.recorded import Call, record, segments
from wattscribe.records import Token
from wattscribe.streaming import Transducer, open_transducer
from wattscribe.streaming.features import Samples
from wattscribe.testing.transducers import VOCABULARY, Size, write

SIZE = Size(width=256, layers=3, frames=4)
ENCODER_BYTES, JOINER_BYTES = 4 * (320 * 256 + 3 * 256 * 256), 4 * 256 * VOCABULARY
LOCAL_BYTES = 250_000
"""Holds the joiner, or a quarter of the encoder."""
MISSING = None if shutil.which("valgrind") and shutil.which("vgdb") else "valgrind is not installed"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("toy"), SIZE)


@pytest.fixture(scope="module")
def observed(model: Path) -> Observed:
    found = api.profile(str(model), data="bundled", limit=1, observe=True, local_memory_bytes=LOCAL_BYTES)
    assert found.observed is not None
    return found.observed


def fed(transducer: Transducer, audio: Samples) -> tuple[Token, ...]:
    stream = transducer.stream()
    stream.accept(audio)
    tokens = stream.finish().tokens
    stream.release()
    return tokens


def test_calls_are_recorded_as_they_were_made(model: Path) -> None:
    transducer = open_transducer(model)
    noise = (np.random.default_rng(0).standard_normal(32_000) / 10).astype(np.float32)
    found: list[tuple[Token, ...]] = []
    calls = record(transducer, lambda audio: found.append(fed(transducer, audio)), noise)
    stream = transducer.stream()
    stream.accept(noise)
    plain = stream.finish()
    assert found == [plain.tokens]
    assert plain.counts is not None
    made = [sum(call.component == name for call in calls) for name in ("encoder", "predictor", "joiner")]
    assert made == [plain.counts.encoder_calls, plain.counts.predictor_calls, plain.counts.joiner_calls]
    assert sum(call.rows for call in calls if call.component == "joiner") == plain.counts.joiner_rows
    assert [calls[part[0]].component for part in segments(calls)] == ["encoder"] * plain.counts.encoder_calls
    again = len(calls)
    fed(transducer, noise)
    assert len(calls) == again  # nothing is recorded any more


def test_the_usual_segments_are_simulated() -> None:
    usual, talkative = "ejpj", "ejpjpjpjpj"
    names = {"e": "encoder", "p": "predictor", "j": "joiner"}
    said = "".join(["epj", talkative, *[usual] * 16, "ej"])
    planned = plan([Call(component=names[letter], rows=1, feeds={}) for letter in said])
    assert "".join(call.component[0] for call in planned.calls) == usual * SEGMENTS
    assert planned.alone == {"encoder": (0, 4), "predictor": (2, 6, 10), "joiner": (1, 3, 5, 7, 9, 11)}
    assert planned.groups[:4] == [(0, 4), (0,), (2, 6, 10), (2, 6, 10)]
    assert planned.groups[6:] == [(0, 1, 2, 3), *((index,) for index in range(4, 12))]


def test_a_component_that_the_segments_do_not_call_is_simulated_alone() -> None:
    names = {"e": "encoder", "p": "predictor", "j": "joiner"}
    planned = plan([Call(component=names[letter], rows=1, feeds={}) for letter in "epj" + "ej" * 9])
    assert "".join(call.component[0] for call in planned.calls) == "ejejejp"
    assert planned.alone["predictor"] == (6,)
    assert planned.groups[-1] == (5,)


def test_as_executed_a_joiner_that_fits_stays_and_an_encoder_streams(model: Path) -> None:
    transducer = open_transducer(model)
    noise = (np.random.default_rng(0).standard_normal(32_000) / 10).astype(np.float32)
    calls = record(transducer, lambda audio: fed(transducer, audio), noise)
    planned = plan(calls)
    executed = play(transducer, planned, cache_of(LOCAL_BYTES).size_bytes)
    places = list(planned.alone)
    encoder, joiner = (executed[2 * places.index(name) + 1][-1] for name in ("encoder", "joiner"))
    assert encoder.weight_bytes == pytest.approx(ENCODER_BYTES, rel=0.02)
    assert joiner.total_bytes == 0
    behind = [
        moved[0]
        for group, moved in zip(planned.groups, executed, strict=True)
        if len(group) == 1
        and planned.calls[group[0]].component == "joiner"
        and planned.calls[group[0] - 1].component == "encoder"
    ]
    assert behind
    assert behind[-1].weight_bytes == pytest.approx(JOINER_BYTES, rel=0.05)


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
class TestSimulated:
    def test_what_is_executed_explains_what_is_simulated(self, observed: Observed) -> None:
        encoder, joiner = observed.component("encoder"), observed.component("joiner")
        assert encoder.alone_executed.total_bytes == pytest.approx(encoder.alone_seen.total_bytes, rel=0.15)
        assert joiner.alone_executed.total_bytes < 0.05 * JOINER_BYTES
        for each in (encoder, joiner):
            assert each.shared_executed is not None
            assert each.shared_seen is not None
            assert each.shared_executed.total_bytes == pytest.approx(each.shared_seen.total_bytes, rel=0.15)
        assert observed.orders[0] == observed.orders[1]

    def test_weights_travel_as_the_model_says(self, observed: Observed) -> None:
        assert observed.evidence == "simulated"
        assert observed.local_memory_bytes == LOCAL_BYTES
        encoder, joiner = observed.component("encoder"), observed.component("joiner")
        assert encoder.read.weight_bytes == pytest.approx(ENCODER_BYTES, rel=0.01)
        assert joiner.read.weight_bytes == pytest.approx(JOINER_BYTES, rel=0.01)
        assert encoder.alone.weight_bytes == encoder.read.weight_bytes
        assert encoder.alone_seen.total_bytes == pytest.approx(encoder.alone.total_bytes, rel=0.15)

    def test_a_joiner_that_fits_stays_unless_others_throw_it_out(self, observed: Observed) -> None:
        joiner = observed.component("joiner")
        assert joiner.alone.total_bytes == joiner.placed.total_bytes == 0
        assert joiner.alone_seen.total_bytes < 0.05 * JOINER_BYTES
        first = [
            after.seen.read_bytes
            for before, after in zip(observed.calls, observed.calls[1:], strict=False)
            if (before.component, after.component) == ("encoder", "joiner")
        ]
        assert len(first) == SEGMENTS - 1
        assert min(first) > 0.95 * JOINER_BYTES

    def test_every_call_is_there(self, observed: Observed) -> None:
        def total(component: ComponentTraffic) -> float:
            calls = sum(call.component == component.name for call in observed.calls)
            assert (component.shared_seen is None) == (calls == 0)
            return 0.0 if component.shared_seen is None else component.shared_seen.total_bytes * calls

        assert sum(call.seen.total_bytes for call in observed.calls) == pytest.approx(
            sum(map(total, observed.components))
        )


def test_without_valgrind_one_line_says_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["profile", str(model), "--data", "bundled", "--observe"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert "valgrind, which is not installed. Install it: apt install valgrind" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Give `data`"),
        ({"data": "bundled", "local_memory_bytes": 0}, "Give `local_memory_bytes`, 4096 or more"),
        ({"data": "bundled", "device": "mcu-npu"}, "has one memory"),
    ],
)
def test_what_cannot_be_observed_is_said_before_anything_is_decoded(
    model: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        api.profile(str(model), observe=True, **options)  # type: ignore[arg-type]


def test_other_kinds_of_models_are_refused() -> None:
    with pytest.raises(InputError, match="exported transducers alone"):
        api.profile("arch:emformer-rnnt-base", data="bundled", observe=True)
