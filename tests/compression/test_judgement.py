"""Whether a step stays is a value; how its reason begins decides nothing."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from wattscribe.compression import levels
from wattscribe.compression.judgement import Judgement, reverted
from wattscribe.compression.step import Step

STEPS = tuple(Step(lever="int8", component=name) for name in ("encoder", "joiner"))


def bench() -> Any:
    budget = SimpleNamespace(searching=lambda say: contextlib.nullcontext())
    return SimpleNamespace(budget=budget, build=lambda steps: tuple(steps), say=lambda text: None)


def test_steps_that_went_together_share_verdict_and_figures() -> None:
    found = Judgement(kept=True, reason="reverted is but a word here", numbers={"wer": 0.1}).of(STEPS, reason="said")
    assert [(each.step, each.kept, each.reason, each.numbers) for each in found] == [
        (step, True, "said", {"wer": 0.1}) for step in STEPS
    ]
    assert [(each.kept, each.reason) for each in reverted("too slow", {}).of(STEPS[:1])] == [
        (False, "reverted: too slow")
    ]


def test_a_strategy_goes_on_as_long_as_steps_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = [Judgement(kept=True, reason="reverted? no"), Judgement(kept=False, reason="it is enough")]
    monkeypatch.setattr(levels, "judge", lambda *_, **__: verdicts.pop(0))
    tried = [("mild", STEPS[:1]), ("strong", STEPS), ("never asked", STEPS)]
    outcome = levels.as_far_as_it_goes("test", bench(), (), tried)
    assert outcome.steps == STEPS[:1]
    assert [(each.kept, each.reason) for each in outcome.done] == [
        (True, "reverted? no"),
        (False, "strong: it is enough"),
        (False, "strong: it is enough"),
    ]
    assert verdicts == []
