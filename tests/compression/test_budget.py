"""A search that is cut short: by the clock, by one Ctrl-C in order, by two at once."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from wattscribe.compression.budget import Budget


def test_the_clock_ends_a_search_and_nothing_else() -> None:
    budget, said = Budget(0), list[str]()
    budget.check()
    reached = False
    with budget.searching(said.append):
        budget.check()
        reached = True
    assert not reached
    assert budget.cut == "after 0 minutes"
    assert said == ["the search is cut short after 0 minutes: the best so far is kept and proven"]
    budget.check()
    free = Budget()
    with free.searching(said.append):
        free.check()
    assert free.cut is None


def test_one_interrupt_waits_for_the_end_of_a_measurement_and_two_do_not() -> None:
    before = signal.getsignal(signal.SIGINT)
    budget = Budget()
    done = []
    with budget.searching(lambda _: None):
        os.kill(os.getpid(), signal.SIGINT)
        done.append("measured")
        budget.check()
        done.append("went on")
    assert (done, budget.cut) == (["measured"], "by an interrupt")
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt), Budget().searching(lambda _: None):
        _interrupt_twice()
    assert signal.getsignal(signal.SIGINT) is before


def _interrupt_twice() -> None:
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)


def test_another_thread_searches_without_the_signal() -> None:
    found = []

    def search() -> None:
        budget = Budget(0)
        with budget.searching(lambda _: None):
            budget.check()
        found.append(budget.cut)

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert found == ["after 0 minutes"]
