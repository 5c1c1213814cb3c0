"""Verbs that run models of others work in a child of the command: a library's crash cannot be caught where it happens.

The command waits, hands signals on, ends as the child ended, and says in one line what it died of. The fork comes before anything
is imported that could mind, so it takes a millisecond and hardly any memory.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection

from wattscribe.terminal import guarded, say

VERBS = ("transcribe", "profile", "compress")
"""`bench` has a worker for each recognizer."""
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
    status = _waited(child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, masked)
    return (status if status >= 0 else _died(verb, -status)), ()


def _waited(child: int) -> int:
    """The child's exit status, or the signal of which it died as a negative number, once it has ended.

    What a terminal sends reaches the child by itself; what a process sent to the command alone is handed on.
    """
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        heard = signal.sigwaitinfo({*_ORDERS, signal.SIGCHLD})
        if heard.si_signo != signal.SIGCHLD and heard.si_code <= 0:
            os.kill(child, heard.si_signo)


def _died(verb: str, number: int) -> int:
    """Say of what; returns the exit status."""
    from wattscribe.runs.process import exit_in_words

    reason, status = f"a library crashed on this model ({exit_in_words(-number)})", 1
    fix = "Copy or export the model again; wattscribe bench tries it in a worker"
    if number == signal.SIGKILL:
        reason, status = "it was killed, most likely for the memory that it took (signal SIGKILL)", 128 + number
        fix = "Free memory, or take a smaller model"
    with guarded():
        say(f"wattscribe {verb}: {reason}. {fix}")
    return status
