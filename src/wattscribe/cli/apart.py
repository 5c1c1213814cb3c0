"""Verbs that run models of others work in a child of the command: a library's crash cannot be caught where it happens.

The command waits, hands signals on, ends as the child ended, and says in one line what it died of. The fork comes before anything
is imported that could mind, so it takes a millisecond and hardly any memory.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection

from wattscribe.cli.ending import CLEARING_S, WORDS
from wattscribe.terminal import guarded, say

VERBS = ("transcribe", "profile", "compress")
"""`bench` has a worker for each recognizer."""
KILLED_AFTER = 3
_ORDERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Masked = Collection[signal.Signals]
"""Signals that wait until the child can say what they ended."""


def split(verb: str) -> tuple[int | None, Masked]:
    """In the child, which is to do the work, None and what it still has to let in; in the command, once the child has ended,
    the exit status. No child: as in the child."""
    if verb not in VERBS or sys.platform != "linux":
        return None, ()
    parent = os.getpid()
    waiting = {*_ORDERS, signal.SIGCHLD}
    masked = waiting - set(signal.pthread_sigmask(signal.SIG_BLOCK, waiting))
    try:
        child = os.fork()
    except OSError:  # no more processes are allowed: the work itself may still be done
        return None, masked
    if child == 0:
        from wattscribe.runs.process import die_with

        die_with(parent)
        return None, masked
    status, order = _waited(child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, masked)
    return (status if status >= 0 else _died(verb, -status, order)), ()


def _waited(child: int) -> tuple[int, signal.Signals | None]:
    """The child's exit status, or the signal of which it died as a negative number, once it has ended; and the order on which
    it was killed.

    What a terminal sends reaches the child by itself; what a process sent to the command alone is handed on. A child that
    computes without end inside a library sees no signal: the third order kills it, once it has had its time to clear up.
    """
    first_s, orders = 0.0, 0
    killed: signal.Signals | None = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), killed
        received = signal.sigwaitinfo({*_ORDERS, signal.SIGCHLD})
        if received.si_signo == signal.SIGCHLD:
            continue
        now_s = time.monotonic()
        first_s, orders = (first_s if orders else now_s), orders + 1
        if orders >= KILLED_AFTER and now_s - first_s >= CLEARING_S:
            killed = signal.Signals(received.si_signo)
            os.kill(child, signal.SIGKILL)
        elif received.si_code <= 0:
            os.kill(child, received.si_signo)


def _died(verb: str, number: int, order: signal.Signals | None) -> int:
    """Say of what; returns the exit status."""
    from wattscribe.errors import exit_in_words

    if order is not None:
        with guarded():
            say(f"wattscribe {verb}: {WORDS[order]}: it did not answer and was killed")
        return 128 + order
    reason, status = f"a library crashed on this model ({exit_in_words(-number)})", 1
    fix = "Copy or export the model again; wattscribe bench tries it in a worker"
    if number == signal.SIGKILL:
        reason, status = "it was killed, most likely for the memory that it took (signal SIGKILL)", 128 + number
        fix = "Free memory, or take a smaller model"
    with guarded():
        say(f"wattscribe {verb}: {reason}. {fix}")
    return status
