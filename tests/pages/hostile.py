"""A run in which every text attacks the page."""

from __future__ import annotations

from dataclasses import replace

from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run
from wattscribe.records import Rejected, RunFacts

ATTACKS = (
    "</script><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<!--<script>",
    "{{ 7*7 }}",
    "\"'><svg onload=window.pwned=1>",
)


def hostile() -> RunFacts:
    """A run in which every text that comes from outside attacks the page."""
    evil = " ".join(ATTACKS)
    facts = made_up_run(
        models=(replace(MODELS[0], name=ATTACKS[1]), replace(MODELS[1], ran_as_asked=False)),
        precisions=("fp32", "int8"),
        conditions=(CLEAN, replace(NOISY[0], noise=f"/n/{ATTACKS[4]}"), NOISY[2]),
        shape=Shape(utterances=8, corpus=f"/data/{ATTACKS[0]}", rejected=(Rejected(corpus="c", id=evil, reason=evil),)),
        name=ATTACKS[0],
    )
    trials = []
    for trial in facts.trials:
        bad = tuple(replace(r, hypothesis=f"{evil} {r.hypothesis}", id=f"{r.id}{evil}") for r in trial.utterances)
        covers = tuple(replace(trace, covers=evil, channel=ATTACKS[1]) for trace in trial.traces)
        trials.append(replace(trial, utterances=bad, traces=covers))
    trials[-1] = replace(trials[-1], status="failed", reason=evil)
    return replace(
        facts, trials=tuple(trials), machine={"cpu": evil, ATTACKS[1]: [evil]}, experiment={"models": [evil]}
    )
