"""The parts of a fleet by themselves: the list of boards, ids, quiet workers, and jobs on boards that come and go."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("distributed", reason="the extra `fleet` is not installed")

from distributed import TimeoutError as TookTooLong

from wattscribe.errors import InputError
from wattscribe.fleets import coordinate, dispatch
from wattscribe.fleets.dispatch import GIVEN_UP, MAX_LOSSES, Dispatch
from wattscribe.fleets.hosts import load
from wattscribe.fleets.identity import board_of
from wattscribe.fleets.jobs import Job, Outcome
from wattscribe.fleets.quiet import ANY, SLOW_S, resource, set_clocks, slow_down
from wattscribe.metering.processes import Bystanders
from wattscribe.runs.experiment import check

EXPERIMENT = check({"models": ["fake:a"], "data": ["bundled"]})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "`boards` is missing"),
        ("boards = []", "boards: "),
        ('[[boards]]\nlable = "a"', "there is no key 'boards.0.lable', did you mean label?"),
        ('[[boards]]\nhost = "h"', "`boards.0.label` is missing"),
        ('[[boards]]\nlabel = "a; rm -rf x"', "boards.0.label"),
        ('[[boards]]\nlabel = "../a"', "boards.0.label"),
        ('[[boards]]\nlabel = "a"\nhost = "h $(x)"', "boards.0.host"),
        ('[[boards]]\nlabel = "a"\n[[boards]]\nlabel = "a"', "two boards are called 'a'"),
        ('[[boards]]\nlabel = "a"\npython = "/p"', "python and ssh are for boards with a host"),
    ],
)
def test_a_list_of_boards_that_cannot_be(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(path)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_id_is_the_boards_and_the_salts() -> None:
    one = board_of("a", "salt", simulated=None)
    assert board_of("b", "salt", simulated=None).id == one.id, "the same device under another label"
    assert board_of("a", "other", simulated=None).id != one.id
    assert board_of("a", "salt", simulated="orin-nano").id != board_of("b", "salt", simulated="orin-nano").id
    for place in ("/etc/machine-id", "/etc/hostname"):
        if Path(place).exists() and (text := Path(place).read_text(encoding="utf-8").strip()):
            assert text not in one.id


class Clock:
    """A periodic callback of tornado's."""

    def __init__(self, callback_time: float) -> None:
        self.callback_time, self.log = callback_time, list[str]()

    def stop(self) -> None:
        self.log.append("stop")

    def start(self) -> None:
        self.log.append("start")


def test_fast_clocks_are_slowed_and_set_back() -> None:
    server = SimpleNamespace(periodic_callbacks={"tick": Clock(20), "keep-alive": Clock(120_000)})
    before = slow_down(server)
    tick, slow = server.periodic_callbacks["tick"], server.periodic_callbacks["keep-alive"]
    assert (tick.callback_time, slow.callback_time) == (1000 * SLOW_S, 120_000)
    assert tick.log == ["stop", "start"], "tornado reads the interval when it starts"
    assert slow.log == []
    set_clocks(server, before)
    assert tick.callback_time == 20


def test_bystanders_are_charged_what_they_take() -> None:
    taken = Bystanders([os.getpid()])
    while (taken.so_far()["core_share"] or 0.0) == 0.0:
        sum(range(10_000))
    assert 0 < (taken.so_far()["core_share"] or 0.0) < 64
    assert (taken.so_far()["wakeups_per_s"] or 0.0) >= 0
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert Bystanders([gone.pid]).so_far() == {"core_share": None, "wakeups_per_s": None}


# --- the record -------------------------------------------------------------------------------------------------------
def test_the_record_is_its_owners_and_a_run_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "f"
    with coordinate.opened(EXPERIMENT, out, coordinate.Asked()) as record:
        coordinate.keep(record, out)
        with (
            pytest.raises(InputError, match="is writing this run"),
            coordinate.opened(EXPERIMENT, out, coordinate.Asked(overwrite=True)),
        ):
            pass
    assert stat.S_IMODE((out / "fleet.json").stat().st_mode) == 0o600
    with (
        pytest.raises(InputError, match="a fleet's run already"),
        coordinate.opened(EXPERIMENT, out, coordinate.Asked()),
    ):
        pass
    with coordinate.opened(None, out, coordinate.Asked(resume=True)) as again:
        assert (again.fleet, again.salt) == (record.fleet, record.salt)
    other = check({"models": ["fake:b"], "data": ["bundled"]})
    with (
        pytest.raises(InputError, match="not the one that this run began with"),
        coordinate.opened(other, out, coordinate.Asked(resume=True)),
    ):
        pass


def test_nothing_is_left_where_nothing_came_of_it(tmp_path: Path) -> None:
    with pytest.raises(InputError), coordinate.opened(None, tmp_path / "f", coordinate.Asked(resume=True)):
        pass
    with pytest.raises(KeyError), coordinate.opened(EXPERIMENT, tmp_path / "f", coordinate.Asked()):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


# --- jobs on boards that come and go ----------------------------------------------------------------------------------
class Future:
    def __init__(self, job: Job, wanted: dict[str, int]) -> None:
        self.job, self.wanted, self.status, self.cancelled = job, wanted, "pending", False
        self.held_by_the_dead = False

    def result(self, timeout: float) -> Outcome:
        """In no time, or never."""
        assert 0 < timeout <= dispatch.FETCH_S
        if self.held_by_the_dead:
            raise TookTooLong
        return Outcome(label=self.job.label or "x", run_dir="/r")

    def cancel(self, **_: Any) -> None:
        self.cancelled = True


class Cluster:
    """Boards by a script, one step each time that somebody looks; the last step goes on."""

    def __init__(self, steps: Sequence[dict[str, str]], *, finish_at: int = 1000) -> None:
        self.client, self.submitted = self, list[Future]()
        self._steps: Iterator[dict[str, str]] = iter(steps)
        self._now: dict[str, str] = {}
        self._looks, self._finish_at = 0, finish_at

    def present(self) -> dict[str, str]:
        self._looks += 1
        self._now = next(self._steps, self._now)
        if self._looks >= self._finish_at and self.submitted:
            self.submitted[-1].status = "finished"
        return self._now

    def tend(self, _: Any) -> list[str]:
        return []

    def submit(self, _: Any, job: Job, *, resources: dict[str, int], **__: Any) -> Future:
        self.submitted.append(Future(job, resources))
        return self.submitted[-1]

    def subscribe_topic(self, *_: Any) -> None: ...
    def unsubscribe_topic(self, *_: Any) -> None: ...
    def cancel(self, futures: Sequence[Future], **_: Any) -> None:
        for future in futures:
            future.cancel()

    def run(self, *_: Any, **__: Any) -> None: ...


JOB = Job(fleet="f", experiment={}, label="a")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "LOOK_S", 0.001)


def done(cluster: Cluster, jobs: Sequence[Job], patience_s: float = 60.0) -> tuple[list[Outcome | None], list[str]]:
    said: list[str] = []
    each = Dispatch(cluster=cluster, say=said.append, patience_s=patience_s)  # type: ignore[arg-type]
    return [outcome for _, outcome in each.outcomes(jobs)], said


def test_a_worker_at_another_address_is_another_worker() -> None:
    """Its nanny started it again between two looks: what the old one had is taken back and given to the new one."""
    cluster = Cluster([{"a": "1"}, {"a": "2"}, {"a": "2"}], finish_at=4)
    outcomes, said = done(cluster, [JOB])
    assert [future.cancelled for future in cluster.submitted] == [True, False]
    assert cluster.submitted[0].wanted == {ANY: 1, resource("a"): 1}
    assert outcomes == [Outcome(label="a", run_dir="/r")]
    assert said == ["a: there", "a: lost; what it has finished is kept, the rest waits for it", "a: back"]


def test_an_answer_that_nobody_holds_any_more_is_asked_for_again() -> None:
    """Finished, and its worker killed before anybody fetched it."""
    cluster = Cluster([{"a": "1"}], finish_at=3)
    submit = cluster.submit

    def first_is_lost(*arguments: Any, **named: Any) -> Future:
        future = submit(*arguments, **named)
        future.held_by_the_dead = len(cluster.submitted) == 1
        return future

    cluster.submit = first_is_lost  # type: ignore[method-assign]
    outcomes, said = done(cluster, [JOB])
    assert [future.cancelled for future in cluster.submitted] == [True, False]
    assert outcomes == [Outcome(label="a", run_dir="/r")]
    assert said == ["a: there", "a: Dask forgot it"]


def test_a_job_that_takes_its_board_down_is_given_up() -> None:
    steps = [{"a": str(at)} for at in range(20)]
    cluster = Cluster(steps)
    outcomes, _ = done(cluster, [JOB])
    assert outcomes == [Outcome(label="a", run_dir="", error=GIVEN_UP)]
    assert len(cluster.submitted) == MAX_LOSSES


def test_a_board_that_stays_away_is_waited_for_so_long() -> None:
    assert done(Cluster([{}]), [JOB], patience_s=0.02)[0] == [None]
    cluster = Cluster([{"a": "1"}, {}])
    assert done(cluster, [JOB], patience_s=0.02)[0] == [None]
    assert cluster.submitted[0].cancelled


def test_a_shard_goes_to_whichever_board_there_is() -> None:
    shard = Job(fleet="f", experiment={}, only=("t",))
    cluster = Cluster([{"a": "1", "b": "2"}, {"b": "2"}, {"b": "2"}], finish_at=5)
    outcomes, _ = done(cluster, [shard])
    assert [future.wanted for future in cluster.submitted] == [{ANY: 1, resource("a"): 1}, {ANY: 1, resource("b"): 1}]
    assert [future.cancelled for future in cluster.submitted] == [True, False], "the other one has it now"
    assert outcomes == [Outcome(label="x", run_dir="/r")]
    alone = Cluster([{"a": "1"}, {}, {"a": "3"}], finish_at=5)
    done(alone, [shard])
    assert [future.cancelled for future in alone.submitted] == [True, False], "there was no other"


def test_a_board_that_comes_late_has_shards_too() -> None:
    """None waits at a board that is busy: Dask would leave it there."""
    shards = [Job(fleet="f", experiment={}, only=(name,)) for name in "tuv"]
    cluster = Cluster([{"a": "1"}, {"a": "1"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2"}])
    assert done_until(cluster, shards, looks=4) == [{ANY: 1, resource("a"): 1}, {ANY: 1, resource("b"): 1}]


def done_until(cluster: Cluster, jobs: Sequence[Job], looks: int) -> list[dict[str, int]]:
    """What was wanted of the boards when somebody had looked so often."""

    def tend(_: Any) -> list[str]:
        if cluster._looks > looks:
            raise KeyboardInterrupt
        return []

    cluster.tend = tend  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        done(cluster, jobs)
    return [future.wanted for future in cluster.submitted]


def test_an_interruption_takes_back_what_is_out() -> None:
    cluster = Cluster([{"a": "1"}])
    running = Dispatch(cluster=cluster, say=lambda _: (_ for _ in ()).throw(KeyboardInterrupt))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        list(running.outcomes([JOB]))
    cluster = Cluster([{"a": "1"}, {"a": "1"}])
    outcomes = Dispatch(cluster=cluster, say=lambda _: None, patience_s=60.0).outcomes([JOB])  # type: ignore[arg-type]
    cluster.tend = lambda _: (_ for _ in ()).throw(KeyboardInterrupt) if cluster.submitted else []  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)
    assert cluster.submitted[0].cancelled


def test_jobs_are_records_that_travel() -> None:
    from wattscribe.records import from_json, to_json

    assert from_json(Job, json.loads(json.dumps(to_json(JOB)))) == JOB
