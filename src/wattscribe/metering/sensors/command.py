"""`cmd:` a command of the user's that prints watts or joules: a smart plug's, a BMC's, an accelerator's own program.

One that prints line after line is followed; one that prints once and ends is run again and again. Which it is, and how often its
value is new, is found by watching it. It runs in a process group of its own, which dies with this process however that ends.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import statistics
import subprocess
import threading
from collections.abc import Iterator, Sequence

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Clock, MonotonicClock, Probe
from wattscribe.metering.sensors.command_line import MOST_W, Spec, Value

NAME = "cmd"
WATCH_S = 15.0
"""A command that has shown nothing by then is no meter."""
WATCHED = 4
"""Values by whose distance a running command's interval is known."""
MIN_PERIOD_S = 1.0
MAX_CPU_SHARE = 0.01
"""A command that ends is started again no sooner than so that it takes 1 % of a core: it runs on the machine that is measured."""
STALE_INTERVALS = 5.0
STALE_S = 2.0
"""A last value older than both is a failed read."""
AT_ONCE_S = 0.05
"""Values that come within this time were printed together: readings of several things."""
KEPT_LINES = 2000
"""Of one answer, which may be JSON over many lines."""

_GUARDED = (
    "exec 3<&0 </dev/null; ( read -r x <&3; kill -9 0 ) >/dev/null 2>&1 & w=$!; exec 3<&-; "
    '( eval "$0" ); s=$?; exec 2>/dev/null; kill -9 $w; wait $w; exit $s'
)
"""For /bin/sh: a watcher waits for the end of standard input, whose other end this process alone holds, and then kills the group.
Thus the command ends also when this process is killed and can do nothing any more."""


class Shell:
    """One run of the command. Iterating gives its lines; `close` ends it, with all that it started."""

    def __init__(self, command: str) -> None:
        self.errors = ""
        """The last line on standard error."""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDED, command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us: we end it
        )
        self._reading = threading.Thread(target=self._keep_errors, name="wattscribe-cmd-errors", daemon=True)
        self._reading.start()
        self._ended: tuple[int, float] | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        if self._process.stdout is not None:
            with contextlib.suppress(ValueError, OSError):  # closed under us
                yield from self._process.stdout

    def wait(self) -> tuple[int, float]:
        """Exit status (negative: the signal), and the CPU seconds that it and its children took."""
        with self._lock:
            if self._ended is None:
                _, status, usage = os.wait4(self._process.pid, 0)
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._ended = self._process.returncode, usage.ru_utime + usage.ru_stime
                self._reading.join(timeout=1.0)
        return self._ended

    def close(self) -> None:
        """Kill the group; a command that has ended by itself has none."""
        if self._ended is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()

    def _keep_errors(self) -> None:
        if self._process.stderr is not None:
            with contextlib.suppress(ValueError, OSError):
                for line in self._process.stderr:
                    self.errors = line.strip()[:200] or self.errors


class CommandMeter:
    """The newest value of the command, kept by a thread. `read` gives None while that is too old.

    Raises MeterError, in the constructor, for a command that fails, prints nothing in time, or prints what is no reading.
    """

    name = NAME

    def __init__(self, spec: Spec, clock: Clock | None = None, *, watch_s: float = WATCH_S) -> None:
        self.spec = spec
        self._clock: Clock = clock if clock is not None else MonotonicClock()
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._closing = threading.Event()
        self._shell: Shell | None = None
        self._values: list[tuple[float, Value]] = []
        self._last: tuple[float, float] | None = None
        self._first: Value | None = None
        self._step: float | None = None
        """Of the finest digit that was printed."""
        self._interval_s: float | None = None
        self._garbage: str | None = None
        self._failed: str | None = None
        self._thread = threading.Thread(target=self._follow, name="wattscribe-cmd", daemon=True)
        self._thread.start()
        self._known.wait(watch_s)
        with self._lock:
            problem = self._failed or self._unknown(watch_s)
        if problem is not None:
            self.close()
            raise MeterError(problem, where=f"cmd:{spec.said}", fix=_fix(problem))

    @property
    def interval_s(self) -> float:
        return self._interval_s or MIN_PERIOD_S

    def channels(self) -> Sequence[Channel]:
        kind = "power" if self._first is None else self._first.kind
        extent = "a part" if self.spec.part else "whole device, as stated"
        return [
            Channel(
                name=self.spec.name,
                covers=self.spec.covers or f"{extent}: what `{self.spec.said}` prints",
                kind=kind,
                total=not self.spec.part,
                update_interval_s=self.interval_s,
                resolution=self._step if kind == "power" else None,
                ceiling_w=MOST_W,
                processors=self.spec.processors,
            )
        ]

    def read(self) -> Sequence[float | None]:
        with self._lock:
            last, failed = self._last, self._failed
        if last is None or self._clock.now_s() - last[0] > max(STALE_S, STALE_INTERVALS * self.interval_s):
            if failed is not None:
                raise MeterError(failed, where=f"cmd:{self.spec.said}")
            return [None]
        return [last[1]]

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            shell = self._shell
        if shell is not None:
            shell.close()
        self._thread.join(timeout=5.0)

    # --- the thread ---------------------------------------------------------------------------------------------------
    def _follow(self) -> None:
        while not self._closing.is_set():
            started_s = self._clock.now_s()
            try:
                cpu_s = self._one_run()
            except MeterError as error:
                with self._lock:
                    self._failed = error.what
                self._known.set()
                if self._first is None or self.runs_on:
                    return
                cpu_s = 0.0  # a plug that did not answer once is asked again
            period_s = self.spec.every_s or max(MIN_PERIOD_S, cpu_s / MAX_CPU_SHARE)
            took_s = self._clock.now_s() - started_s
            self._found(max(period_s, took_s))
            self._closing.wait(max(0.0, period_s - took_s))

    def _one_run(self) -> float:
        """CPU seconds of a run that gave one value. Raises MeterError for one that failed, or was to go on and did not."""
        try:
            shell = Shell(self.spec.command)
        except OSError as error:
            raise MeterError(f"cannot be started: {error.strerror}") from None
        with self._lock:
            self._shell = shell
        try:
            if self._closing.is_set():
                return 0.0
            lines: list[str] = []
            seen = 0
            for line in shell:
                lines += [line] if len(lines) < KEPT_LINES else []
                seen += self._take(line)
            status, cpu_s = shell.wait()
            if seen == 0:
                seen += self._take("".join(lines), whole=True)
            self._judge(status, seen, shell.errors)
            return cpu_s
        finally:
            shell.close()

    def _judge(self, status: int, seen: int, errors: str) -> None:
        """Raises MeterError unless the run that ended gave one value and no error."""
        if self._closing.is_set():
            return
        if status != 0 or self.runs_on:
            ended = f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
            raise MeterError(f"it has ended ({ended}){f': {errors}' if errors else ''}")
        if seen == 0:
            raise MeterError(self._no_reading() + (f"; it says {errors!r}" if errors else ""))
        if seen > 1 and self._interval_s is None:
            raise MeterError(f"it prints {seen} readings at once, and nothing tells which is meant")

    def _take(self, text: str, *, whole: bool = False) -> int:
        """How many readings the text holds; one that is alone is the meter's newest."""
        values = self.spec.values(text)
        if len(values) != 1:
            if text.strip() and not whole:
                self._garbage = self._garbage or text.strip()[:80]
            return len(values)
        value = values[0]
        if self._first is not None and value.kind != self._first.kind:
            return 0
        now_s = self._clock.now_s()
        with self._lock:
            self._first = self._first or value
            self._last = now_s, value.si
            self._failed = None
            self._step = value.step if self._step is None else min(self._step, value.step or self._step)
            if self._interval_s is None:
                self._values.append((now_s, value))
        if self._interval_s is None and len(self._values) >= WATCHED:
            self._watched()
        return 1

    def _watched(self) -> None:
        """A running command's interval: the usual distance of its values."""
        times_s = [t_s for t_s, _ in self._values]
        steps_s = [after - before for before, after in itertools.pairwise(times_s)]
        if max(steps_s) > 0.25 and min(steps_s) < AT_ONCE_S:
            with self._lock:
                self._failed = "it prints several readings at once, and nothing tells which is meant"
            self._known.set()
        elif times_s[-1] - times_s[0] > AT_ONCE_S:
            self._found(statistics.median(steps_s))

    @property
    def unit_said(self) -> bool:
        return self._first is not None and self._first.unit_said

    @property
    def runs_on(self) -> bool:
        """Whether it is followed line by line, and not run again and again."""
        return self._interval_s is not None and len(self._values) >= 2

    def _found(self, interval_s: float) -> None:
        if self._interval_s is None and self._first is not None:
            self._interval_s = max(interval_s, 1e-3)
        if self._first is not None:
            self._known.set()

    # --- what is wrong ------------------------------------------------------------------------------------------------
    def _unknown(self, watch_s: float) -> str | None:
        """Why the watching found nothing; None where it did. Two values are enough to go on with."""
        if self._interval_s is not None:
            return None
        if len(self._values) >= 2:
            times_s = [t_s for t_s, _ in self._values]
            self._interval_s = (times_s[-1] - times_s[0]) / (len(times_s) - 1)
            return None
        if self._values:
            return f"it printed one reading in {watch_s:g} s and runs on: its interval cannot be told"
        return self._no_reading() if self._garbage else f"it printed nothing in {watch_s:g} s"

    def _no_reading(self) -> str:
        seen = f"; it begins with {self._garbage!r}" if self._garbage else ""
        return f"it prints no watts and no joules that can be read{seen}"


def _fix(problem: str) -> str | None:
    if "nothing tells which" in problem:
        return "Say which: cmd:match=WORDS -- COMMAND, or cmd:field=KEY -- COMMAND for JSON"
    if "no watts" in problem:
        return "Print W, or a number with its unit; or say where it is: cmd:field=KEY -- COMMAND, cmd:match=WORDS -- COMMAND"
    return None


def probe_none() -> Probe:
    """Always a row: it takes a command."""
    return Probe(
        meter=NAME,
        available=False,
        reason="no command given; any that prints watts or joules will do (smart plugs, IPMI, accelerators)",
        fix="wattscribe meters --meter 'cmd:COMMAND', then the same with bench or measure",
    )


def probe_of(meter: CommandMeter) -> Probe:
    """What watching found."""
    (channel,) = meter.channels()
    value = meter.read()[0]
    now = "" if value is None else f", now {value:.4g} {'W' if channel.kind == 'power' else 'J'}"
    said = "" if meter.unit_said else "; no unit is printed: W assumed"
    how = "runs on" if meter.runs_on else "is run again and again"
    return Probe(
        meter=NAME,
        available=True,
        reason=f"{channel.covers}{now}, a new value about every {meter.interval_s:.3g} s (it {how}){said}",
        channels=(channel,),
    )
