"""Failed trials are tried again when asked; marked runs can be aligned; what was scaled and who was starved is told."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.conftest import write_corpus
from wattscribe import pages, results
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.journal import FILE_NAME, read_run
from wattscribe.metering.recordings import read as read_csv
from wattscribe.metering.recordings.attach import attach, of_recording
from wattscribe.pages.run_page import run_page
from wattscribe.results.table import view
from wattscribe.runs.experiment import Experiment, check, differences
from wattscribe.runs.runner import run
from wattscribe.testing.recorder import Recorder, load_of, span_of

Make = Callable[..., Experiment]


def attempts(out: Path) -> list[tuple[str, int, str]]:
    with closing(sqlite3.connect(out / FILE_NAME)) as db:
        return db.execute("SELECT trial_id, attempt, status FROM attempt ORDER BY 1, 2").fetchall()


def failing_once(corpus: Path, switch: Path) -> Experiment:
    """A recognizer that needs a corpus which is not there at first, beside one that works."""
    return check({"models": [f"fake:a?corpus={switch}", "fake:b?text=x"], "data": [str(corpus)]})


def test_failed_trials_are_tried_again(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, switch = tmp_path / "r", tmp_path / "later"
    experiment = failing_once(corpus, switch)
    first = {each.trial.recognizer.model: each for each in read_run(run(experiment, out, meters=[])).trials}
    assert (first["a"].status, first["b"].status) == ("failed", "done")
    run(experiment, out, meters=[], resume=True)
    assert len(attempts(out)) == 2, "without being asked nothing is tried again"
    write_corpus(switch)
    assert main(["bench", "--out", str(out), "--resume", "--retry-failed"]) == 0
    assert "failed:" not in capsys.readouterr().out
    again = {each.trial.recognizer.model: each for each in read_run(out).trials}
    assert (again["a"].status, again["b"]) == ("done", first["b"])
    assert [each.hypothesis for each in again["a"].utterances] == [each.reference for each in again["a"].utterances]
    assert again["a"].surroundings is not None
    (earlier,) = again["a"].surroundings["earlier_failures"]
    assert earlier == {"attempt": 1, "reason": first["a"].reason}
    assert sorted(status for _, _, status in attempts(out)) == ["done", "done", "interrupted"]
    rows = {row["model"]: row for row in results.rows(read_run(out))}
    assert (rows["fake:a"]["status"], rows["fake:a"]["repeats"], rows["fake:a"]["utterances"]) == ("done", 1, 6)
    page = run_page(read_run(out))
    assert "attempt 1: raised while loading" in page


def test_a_second_failure_counts_once(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    experiment = failing_once(corpus, tmp_path / "never")
    run(experiment, out, meters=[])
    for _ in range(2):
        run(experiment, out, meters=[], resume=True, retry_failed=True)
    facts = {each.trial.recognizer.model: each for each in read_run(out).trials}
    assert facts["a"].status == "failed"
    assert [each["attempt"] for each in (facts["a"].surroundings or {})["earlier_failures"]] == [1, 2]
    assert [status for _, _, status in attempts(out)].count("failed") == 1


def test_only_a_run_can_be_tried_again(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`resume`"):
        run(failing_once(corpus, tmp_path), tmp_path / "r", meters=[], retry_failed=True)


def test_a_key_that_an_older_run_lacks_had_its_default(experiment: Make) -> None:
    now = experiment()
    recorded = {key: value for key, value in now.model_dump().items() if not key.startswith("mark")}
    assert differences(recorded, now) == []
    assert differences(recorded, experiment(mark=True)) == ["mark is True here and False in the run"]


def test_a_marked_run_is_measured_from_outside(experiment: Make, tmp_path: Path) -> None:
    """Bench marks, and keeps idle baselines although no sensor is here; a simulated meter on another clock gives joules."""
    plan = experiment(models=["fake:a?text=x&latency=0.5"], mark=True, mark_unit_s=0.2, idle_s=0.5)
    out = run(plan, tmp_path / "r", meters=[])
    facts = read_run(out)
    (marks,) = facts.marks
    assert [len(group) for group in marks.groups] == [3, 3]
    edges = [t for group in marks.groups for each in group for t in (each.start_s, each.end_s)]
    assert edges == sorted(edges), "pulses follow one another; how long each is depends on how busy the machine is"
    (trial,) = facts.trials
    assert trial.window is not None
    assert trial.idle_before is not None
    assert trial.idle_after is not None
    assert marks.groups[0][-1].end_s < trial.idle_before.start_s
    assert trial.idle_after.end_s < marks.groups[1][0].start_s
    assert trial.idle_after.start_s >= trial.window.end_s + 0.5
    load = load_of(facts)
    path = Recorder().write(tmp_path / "power.csv", load, span_of(facts, lead_s=1.0))
    record = attach(out, of_recording(path, read_csv(path), covers="board"))
    assert record.trials == 1
    (row,) = results.rows(read_run(out))
    assert row["energy_j"] == pytest.approx(load.window_j(trial.window), rel=0.01)
    assert row["energy_idle_j"] == pytest.approx(5.0 * trial.window.duration_s, rel=0.02)
    assert row["energy_evidence"] == "measured"
    before = len(facts.marks)
    run(plan, out, meters=[], resume=True)
    assert len(read_run(out).marks) == before, "a run with nothing left to do is not marked again"


def test_what_was_scaled_is_told(experiment: Make, tmp_path: Path) -> None:
    """At -25 dB the sum of speech and noise exceeds full scale; clean speech at a tenth of it does not."""
    facts = read_run(run(experiment(noise=["white"], snr=[-25]), tmp_path / "r", meters=[]))
    clean, loud = results.rows(facts)
    assert (clean["scaled_utterances"], clean["scale_min"]) == (0, 1.0)
    assert loud["scaled_utterances"] == 6
    assert 0 < loud["scale_min"] < 1
    for text in (pages.to_markdown(facts), run_page(facts)):
        assert "6 of 6 utterances exceeded full scale once mixed and were scaled down" in text


def test_a_starved_trial_has_upper_bounds(experiment: Make, tmp_path: Path) -> None:
    facts = read_run(run(experiment(), tmp_path / "r", meters=[]))
    (trial,) = facts.trials
    assert trial.window is not None

    def with_wait(share: float) -> str:
        waited_s = share * trial.window.duration_s  # type: ignore[union-attr]
        changed = replace(trial, starved_s=waited_s)
        seen = replace(facts, trials=(changed,))
        (row,) = view(seen).rows
        assert row.starved_share == pytest.approx(share)
        assert row.starved_s == pytest.approx(waited_s)
        return pages.to_markdown(seen) + re.sub(r"<script.*?</script>", "", run_page(seen), flags=re.DOTALL)

    assert with_wait(0.4).count("40 % of its time at worst; its times and energies are upper bounds") == 2
    assert "upper bound" not in with_wait(0.02)
