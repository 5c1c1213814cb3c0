"""Several boards' runs as one result: pooled within a class, never between, and shards as the pass that they are parts of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run
from wattscribe.errors import InputError
from wattscribe.pages.fleet_page import as_json, markdown, page
from wattscribe.records import Board, Heard, Part, PowerTrace, RunFacts, TrialFacts, UtteranceResult, Window
from wattscribe.results import view
from wattscribe.results.boards import classes
from wattscribe.results.cost import NOTHING, Energy
from wattscribe.results.fleet import amiss, fleet_view, merged, pooled_energy
from wattscribe.results.fleet_compare import compare_fleets
from wattscribe.results.gates import Gates

ORIN = {"machine": "Orin Nano", "cpu": "Cortex-A78AE", "power_mode": "nvpmodel 15W", "libraries": {"wattscribe": "1"}}
PI = {"machine": "Raspberry Pi 5", "cpu": "Cortex-A76", "libraries": {"wattscribe": "1"}}


def run_of(
    label: str, machine: dict[str, Any], *, more_w: float = 0.0, repeats: int = 2, offset_s: float = 0.0
) -> RunFacts:
    """A board's run: the same texts on all, `more_w` of power, a monotonic clock that is `offset_s` ahead."""
    facts = made_up_run(
        models=MODELS[:2],
        precisions=("fp32",),
        conditions=(CLEAN,),
        shape=Shape(repeats=repeats, utterances=14),
        name=label,
    )
    trials = tuple(_moved(trial, more_w, offset_s) for trial in facts.trials)
    return replace(facts, machine=machine, trials=trials, board=Board(label=label, id=f"id-{label}"))


def _moved(trial: TrialFacts, more_w: float, by_s: float) -> TrialFacts:
    def window(one: Window | None) -> Window | None:
        return None if one is None else Window(start_s=one.start_s + by_s, end_s=one.end_s + by_s)

    def trace(one: PowerTrace) -> PowerTrace:
        return replace(one, t_s=tuple(t + by_s for t in one.t_s), power_w=tuple(w + more_w for w in one.power_w))

    return replace(
        trial,
        window=window(trial.window),
        idle_before=window(trial.idle_before),
        idle_after=window(trial.idle_after),
        traces=tuple(map(trace, trial.traces)),
        utterances=tuple(replace(u, start_s=u.start_s + by_s, end_s=u.end_s + by_s) for u in trial.utterances),
    )


def test_boards_of_a_class_are_pooled_each_counted_once() -> None:
    """Nine repeats on one board weigh as much as two on the other; the interval holds what the boards differ by."""
    boards = [run_of("a", ORIN, repeats=9), run_of("b", ORIN, more_w=1.0, repeats=2, offset_s=7200.0)]
    seen = fleet_view(boards)
    singles = [view(run) for run in boards]
    for at, row in enumerate(seen.pooled):
        own = [single.rows[at] for single in singles]
        joules = [one.energy_j for one in own if one.energy_j is not None]
        assert row.energy.energy_j == pytest.approx(sum(joules) / 2)
        assert row.energy.ci95_j is not None
        assert row.energy.ci95_j[0] < min(joules) < max(joules) < row.energy.ci95_j[1]
        assert row.scored is not None
        assert row.scored.interval.rate == pytest.approx(own[0].wer)
        assert row.boards == ("a", "b")
    assert seen.disagreements == seen.between == seen.one_device == ()
    assert not amiss(boards)


def test_a_clock_that_is_off_changes_nothing() -> None:
    """Each board's times are its own: the same run on another clock gives the same rows."""
    one, other = (view(run_of("a", ORIN, offset_s=by_s)).rows for by_s in (0.0, 7200.0))
    for row, late in zip(one, other, strict=True):
        assert late.energy_j == pytest.approx(row.energy_j, rel=1e-6)
        assert late.rtf == pytest.approx(row.rtf)


def test_classes_are_compared_and_not_pooled() -> None:
    boards = [run_of("a", ORIN), run_of("b", ORIN), run_of("pi", PI, more_w=3.0)]
    seen = fleet_view(boards)
    assert [(kind.name, kind.labels) for kind in seen.classes] == [
        ("Orin Nano, nvpmodel 15W", ("a", "b")),
        ("Raspberry Pi 5", ("pi",)),
    ]
    assert len(seen.pooled) == 4
    for pair in seen.between:
        assert pair.energy is not None
        assert pair.energy.ci95 is not None
        assert pair.energy.value == pytest.approx((pair.other.energy.energy_j or 0) / (pair.base.energy.energy_j or 1))
        assert 1 < pair.energy.ci95[0] < pair.energy.value < pair.energy.ci95[1]
        assert pair.rtf == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"power_mode": "nvpmodel 7W"}, "Orin Nano, nvpmodel 7W"),
        ({"libraries": {"wattscribe": "2"}}, "Orin Nano, nvpmodel 15W (wattscribe 2)"),
        ({"governors": ["powersave"]}, "Orin Nano, nvpmodel 15W (clock governors powersave)"),
    ],
)
def test_another_mode_or_version_is_another_class(changed: dict[str, Any], told: str) -> None:
    found = classes([run_of("a", ORIN), run_of("b", {**ORIN, **changed})])
    assert len(found) == 2
    assert found[1].name == told


def test_other_texts_within_a_class_are_said_and_not_pooled() -> None:
    other = run_of("b", ORIN)
    first = other.trials[0]
    utterances = (replace(first.utterances[0], hypothesis="something else"), *first.utterances[1:])
    other = replace(other, trials=(replace(first, utterances=utterances), *other.trials[1:]))
    boards = [run_of("a", ORIN), other]
    seen = fleet_view(boards)
    (found,) = seen.disagreements
    assert (found.first, found.other, found.utterances, found.ids) == ("a", "b", 1, ("u0000",))
    assert all(row.energy.energy_j is None for row in seen.pooled)
    assert "b gave other texts than a" in markdown(seen)
    assert amiss(boards)
    assert not fleet_view([boards[0], replace(other, machine=PI)]).disagreements, "of another class they may differ"


def test_two_labels_of_one_device_are_said() -> None:
    twin = replace(run_of("b", ORIN), board=Board(label="b", id="id-a"))
    seen = fleet_view([run_of("a", ORIN), twin])
    assert seen.one_device == (("a", "b"),)
    assert "a and b are one device" in markdown(seen)


def test_one_run_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match="two of these runs are called 'a'"):
        fleet_view([run_of("a", ORIN), run_of("a", ORIN)])


def test_figures_that_cover_different_things_are_not_pooled() -> None:
    one = replace(NOTHING, energy_j=1.0, evidence="measured", covers="module")
    assert pooled_energy([one, replace(one, covers="CPU")]).energy_j is None
    assert pooled_energy([one, NOTHING]).energy_j is None
    assert pooled_energy([one, replace(one, energy_j=3.0)]).energy_j == 2.0
    assert pooled_energy([one]) is one


@given(st.lists(st.floats(1.0, 100.0), min_size=2, max_size=6))
def test_the_pooled_interval_holds_the_mean(joules: list[float]) -> None:
    energies: list[Energy] = [
        replace(NOTHING, energy_j=j, ci95_j=(j * 0.9, j * 1.1), evidence="measured") for j in joules
    ]
    pooled = pooled_energy(energies)
    assert pooled.energy_j is not None
    assert pooled.ci95_j is not None
    assert 0 <= pooled.ci95_j[0] <= pooled.energy_j <= pooled.ci95_j[1]
    assert pooled.ci95_j[1] >= pooled.energy_j + 0.1 * pooled.energy_j * 0.99, "never narrower than a board's own"


# --- shards -----------------------------------------------------------------------------------------------------------
def cut(run: RunFacts, count: int, mine: set[int], label: str) -> RunFacts:
    """The board's part of a run: of each trial all shards in its plan, those of `mine` done, its clock its own."""
    trials: list[TrialFacts] = []
    for trial in run.trials:
        for at in range(count):
            shard = replace(trial.trial, id=f"{trial.trial.id}-{at}", part=Part(of=count, taken=(at,)))
            if at not in mine:
                trials.append(TrialFacts(trial=shard, status="pending"))
                continue
            own, window = _alone(trial.utterances, at, count)
            cpu_s = None if trial.cpu_s is None else trial.cpu_s / count
            part = replace(trial, trial=shard, utterances=own, window=window, cpu_s=cpu_s)
            trials.append(_moved(replace(part, idle_before=None, idle_after=None), 0.0, 1000.0 * len(label)))
    heard = tuple(
        Heard(corpus="bundled", condition=f"clean, part {at + 1} of {count}", digest="d", utterances=8, audio_s=1.0)
        for at in sorted(mine)
    )
    return replace(run, name=label, trials=tuple(trials), heard=heard, board=Board(label=label, id=f"id-{label}"))


def _alone(whole: Sequence[UtteranceResult], at: int, count: int) -> tuple[tuple[UtteranceResult, ...], Window]:
    """The shard's utterances, one behind the other."""
    first_s = whole[0].start_s
    end_s, own = first_s, list[UtteranceResult]()
    for position, one in enumerate(whole):
        if position % count == at:
            took_s = one.end_s - one.start_s
            own.append(replace(one, start_s=end_s, end_s=end_s + took_s, position=position))
            end_s += took_s
    return tuple(own), Window(start_s=first_s, end_s=end_s)


@settings(max_examples=8)
@given(st.integers(2, 7), st.integers(1, 126))
def test_shards_on_two_boards_are_the_pass_of_one(count: int, mask: int) -> None:
    """Whoever did which of them: errors, words and intervals to the last digit, joules and times their sums."""
    mine = {at for at in range(count) if mask >> at & 1} or {0}
    rest = set(range(count)) - mine
    whole = run_of("whole", ORIN, repeats=2)
    boards = [cut(whole, count, mine, "a"), cut(whole, count, rest, "bb")]
    seen = fleet_view(boards).shared if rest else view(boards[0])
    assert seen is not None
    for row, one in zip(seen.rows, view(whole).rows, strict=True):
        for name in ("wer", "wer_ci95", "cer", "words", "utterances", "speakers", "repeats", "status"):
            assert getattr(row, name) == getattr(one, name), name
        assert row.cpu_s == pytest.approx(one.cpu_s)
        assert row.latency_p50_s == pytest.approx(one.latency_p50_s)
        assert row.rtf == pytest.approx(one.rtf)
        assert row.energy_j == pytest.approx(one.energy_j, rel=0.02)
    assert not amiss(boards if rest else boards[:1])


def test_shards_of_two_classes_have_no_common_joules() -> None:
    whole = run_of("whole", ORIN)
    boards = [cut(whole, 2, {0}, "a"), replace(cut(whole, 2, {1}, "bb"), machine=PI)]
    seen = fleet_view(boards)
    assert seen.shared is not None
    assert all(row.energy_j is None and "2 classes" in (row.energy_reason or "") for row in seen.shared.rows)
    assert all(row.wer is not None for row in seen.shared.rows)
    assert all(board.j_per_audio_s is not None for board in seen.boards), "each board's own stand"


def test_a_missing_shard_is_no_table() -> None:
    whole = run_of("whole", ORIN)
    boards = [cut(whole, 3, {0}, "a"), cut(whole, 3, {2}, "bb")]
    facts = merged(boards, classes(boards), "f")
    assert {trial.status for trial in facts.trials} == {"pending"}
    assert {trial.reason for trial in facts.trials} == {"2 of 3 parts are done"}
    assert amiss(boards)


def test_a_shard_that_two_boards_did_counts_once() -> None:
    whole = run_of("whole", ORIN)
    boards = [cut(whole, 3, {0, 1}, "a"), cut(whole, 3, {1, 2}, "bb")]
    seen = fleet_view(boards).shared
    assert seen is not None
    assert [row.utterances for row in seen.rows] == [row.utterances for row in view(whole).rows]
    assert [row.wer for row in seen.rows] == [row.wer for row in view(whole).rows]


# --- shown, and compared ----------------------------------------------------------------------------------------------
def test_pages_escape_what_boards_say() -> None:
    hostile = run_of("a", {**ORIN, "machine": "<script>alert(1)</script>|"})
    seen = fleet_view([hostile, run_of("b", PI)])
    assert "<script>alert" not in page(seen)
    text = markdown(seen)
    assert "<script>" not in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") - line.count("\\|") == table[0].count("|") - table[0].count("\\|") for line in table[:4])
    assert '"schema": 1' in as_json(seen)


def test_each_board_is_compared_with_itself() -> None:
    base = [run_of("a", ORIN, repeats=3), run_of("b", ORIN, more_w=1.0, repeats=3)]
    new = [run_of("b", ORIN, more_w=1.0, repeats=3), run_of("a", ORIN, repeats=3)]
    gates = Gates(max_error_increase_points=5.0, max_energy_increase_percent=10.0)
    answer = compare_fleets(base, new, gates)
    assert answer.accepted, answer.reasons
    assert len(answer.verdicts) == 4
    assert any("over 2 boards" in note for note in answer.notes)
    dearer = compare_fleets(base, [new[0], run_of("a", ORIN, more_w=2.0, repeats=3)], gates)
    assert not dearer.accepted
    assert all(reason.startswith("a: ") for reason in dearer.reasons)
    absent = compare_fleets(base, [run_of("a", ORIN, repeats=3)], gates)
    assert "b: the new run was not made on this board" in absent.reasons
    with pytest.raises(InputError, match="no board is in both"):
        compare_fleets(base, [run_of("x", ORIN), run_of("y", ORIN)], gates)


def test_a_fleet_that_shared_is_compared_as_one_run() -> None:
    whole = run_of("whole", ORIN)
    shared = [cut(whole, 2, {0}, "a"), cut(whole, 2, {1}, "bb")]
    answer = compare_fleets([whole], shared, Gates(max_error_increase_points=5.0))
    assert answer.accepted, answer.reasons
    assert len(answer.verdicts) == 2
