"""`wattscribe VERB …`: one thin file per verb, loaded only when it is asked for."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import TYPE_CHECKING

from wattscribe.cli.apart import Masked, split
from wattscribe.cli.ending import WORDS, Ending, in_order
from wattscribe.terminal import console, guarded, mute, say

if TYPE_CHECKING:
    from cyclopts import App

    from wattscribe.errors import WattscribeError

VERBS = {
    "bench": "measure any recognizer × precision × corpus × noise on this device",
    "fleet": "the same on many boards at once, or one corpus over all of them",
    "report": "turn a run into one HTML page, a table, CSV, JSON or Parquet",
    "compare": "accept or refuse a new run against a base run, for a CI pipeline",
    "demo": "try everything without a meter, on a simulated board",
    "measure": "joules, watts and idle of any command",
    "meters": "what can be measured on this machine, what cannot, and why",
    "data": "download a LibriSpeech set, resumable and checked",
    "transcribe": "text as it is recognised: files, standard input or the microphone",
    "profile": "where a streaming transducer spends its energy",
    "devices": "list and check device profiles",
    "calibrate": "fit a device profile to measured runs",
    "train": "train a streaming transducer",
    "export": "write a trained transducer as ONNX, in sherpa-onnx's layout",
    "tune": "find the configuration of least energy that holds your limits",
    "compress": "make a transducer cheaper under a WER limit, and prove it",
    "completion": "a script that completes these commands in bash, zsh or fish",
}


def usage() -> str:
    """The text of `wattscribe --help`; built by hand so that it needs no import (start-up stays under 0.3 s)."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {line}" for verb, line in VERBS.items()]
    return "\n".join(
        [
            "usage: wattscribe VERB [options]        wattscribe VERB --help for a verb's options",
            "",
            "What every transcribed second costs, where the cost arises, and how to lower it.",
            "",
            *lines,
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit status. Errors that a user can fix are printed as one line."""
    masked: Masked = ()
    if own := arguments is None:
        ended, masked = split(sys.argv[1] if sys.argv[1:] else "")
        if ended is not None:
            return ended
    with guarded(), in_order() as ending:
        status = _ended(sys.argv[1:] if arguments is None else arguments, ending, masked)
    if own and ending.since_s is not None:  # Python's own shutting down is told of nothing more
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return status


def _ended(arguments: list[str], ending: Ending, masked: Masked) -> int:
    """Run one verb to whatever end."""
    verb = arguments[0] if arguments and arguments[0] in VERBS else ""
    try:
        if masked:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, masked)
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except (KeyboardInterrupt, ImportError) as error:
        interruption = _interruption(error)
        if interruption is None:
            raise
        hint = "".join(f". {argument}" for argument in interruption.args)
        from wattscribe.cli.flags import spelled

        say(f"{_command(verb)}: {WORDS[ending.number]}{spelled(hint, verb)}")
        return ending.status
    except BrokenPipeError:
        mute(sys.stdout)
        return 141
    except MemoryError as error:
        detail = " ".join(str(error).split())
        say(f"{_command(verb)}: out of memory{detail and f' ({detail})'}. Free memory, or give it less at once")
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            if error.filename is None:
                raise
            say(
                f"{_command(verb)}: {_path(error.filename)}: {error.strerror}. {_REMEDIES.get(error.errno or 0, _ELSE)}"
            )
            return 2
        if error.filename is None:
            mute(sys.stdout)
        say(f"{_command(verb)}: {error.filename or 'the output'}: {error.strerror}. Make room")
        return 1


_REMEDIES = {
    errno.EACCES: "Check the permissions of the file and of every folder above it",
    errno.EPERM: "Check the permissions of the file and of every folder above it",
    errno.ENAMETOOLONG: "A name may have 255 bytes, a path 4096: use shorter ones",
}
_ELSE = "Check the path"


def _path(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, (str, bytes)) else str(name)


def tell(verb: str, error: WattscribeError) -> int:
    """Print an error as its one line, options spelled as flags; returns the exit status that it asks for."""
    from wattscribe.cli.flags import spelled

    say(f"{_command(verb)}: {spelled(str(error), verb)}")
    return error.exit_code


def _command(verb: str) -> str:
    return f"wattscribe {verb}".rstrip()


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        from wattscribe import __version__

        print(f"wattscribe {__version__}")
        return 0
    verb = arguments[0]
    if verb not in VERBS:
        say(f"wattscribe: there is no verb {verb!r}. One of: {', '.join(VERBS)}")
        return 2
    return run_verb(verb, arguments[1:])


def run_verb(verb: str, arguments: list[str]) -> int:
    """Call the `app` of `cli/VERB.py`; an int that the command returns becomes the exit status."""
    from cyclopts import CycloptsError

    from wattscribe.as_found import as_found
    from wattscribe.errors import WattscribeError

    try:
        with as_found():
            status = app_of(verb)(
                arguments, result_action="return_value", exit_on_error=False, print_error=False, console=console()
            )
    except CycloptsError as error:
        say(f"wattscribe {verb}: {_one_line(str(error))} See wattscribe {verb} --help")
        return 2
    except WattscribeError as error:
        return tell(verb, error)
    return status if isinstance(status, int) else 0


def app_of(verb: str) -> App:
    """The parser of a verb, with what holds for all."""
    from importlib import import_module

    from cyclopts import App, Parameter

    from wattscribe.cli.flags import flag_name
    from wattscribe.cli.numbers import usable

    app = import_module(f"wattscribe.cli.{verb}").app
    if not isinstance(app, App):
        raise TypeError(f"cli/{verb}.py has no app")
    app.suppress_keyboard_interrupt = False
    app.default_parameter = Parameter(validator=usable, name_transform=flag_name)
    return app


def _interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C behind an error: a compiled module that it meets while loading says only that it could not be loaded."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def _one_line(text: str) -> str:
    """What the argument parser says over several lines, as one sentence."""
    line = " ".join(text.split())
    return line if line.endswith((".", "?", "!")) else f"{line}."
