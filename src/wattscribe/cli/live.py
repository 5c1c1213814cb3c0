"""`bench --live`: power, real-time factor and the table as they grow, on the terminal; a line per trial where there is none.

What is drawn is read from the journal by a thread of its own, and so seldom that it stays below `MAX_SHARE` of one core whatever
the machine: see docs/live.md. A row of the table is worked out between two trials, when nothing is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from wattscribe.errors import WattscribeError
from wattscribe.journal import read_run
from wattscribe.journal_tail import Rail, Tail
from wattscribe.records import Trial, to_json
from wattscribe.results.row import Row
from wattscribe.results.table import view
from wattscribe.results.words import bytes_text, number, percent_text
from wattscribe.runs.progress import Bars, Lines, title
from wattscribe.terminal import fitted, say

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

LEAST_PAUSE_S = 1.0
"""Between two pictures; the journal is written once a second."""
MAX_SHARE = 0.003
"""Of one core's time that drawing may take: after a picture that took 6 ms the next comes 2 s later."""
SPARKS = "▁▂▃▄▅▆▇█"
HEADER = ("recognizer", "condition", "WER %", "RTF", "memory", "J/s", "energy of")
BESIDE_ROWS = 3
"""Lines that the table takes beside its rows: its header, how many rows are above, and the cursor's own."""
LEAST_COLUMNS = (0, 0, 0, 50, 90, 60, 110)
"""The width of the terminal from which each column is shown."""


@dataclass(slots=True)
class Growing:
    """The rows of what this command has measured, in the order of their first trial."""

    run_dir: Path
    rows: dict[str, Row] = field(default_factory=dict)
    _trials: dict[str, list[str]] = field(default_factory=dict)

    def ended(self, trial: Trial) -> Row | None:
        """The row that this trial belongs to, anew; None where it cannot be read."""
        key = json.dumps(to_json((trial.recognizer, trial.corpus, trial.condition, trial.mode)), sort_keys=True)
        ids = self._trials.setdefault(key, [])
        ids.append(trial.id)
        try:
            facts = read_run(self.run_dir, only=ids)
        except WattscribeError:
            return None
        mine = tuple(each for each in facts.trials if each.trial.id in ids)
        (self.rows[key],) = view(replace(facts, trials=mine)).rows
        return self.rows[key]


def cells(row: Row) -> tuple[str, ...]:
    """In the order of HEADER."""
    return (
        f"{row.model_label} {row.precision}",
        row.condition if row.mode is None else f"{row.condition}, {row.mode}",
        percent_text(row.wer) if row.status == "done" else row.status,
        number(row.rtf),
        bytes_text(row.peak_memory_bytes),
        number(row.j_per_audio_s),
        f"{row.energy_evidence}: {row.energy_covers}",
    )


class LiveLines(Lines):
    """For a pipe, a log or a terminal without cursor: a line for each trial, with its figures."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__(say)
        self._growing = Growing(run_dir)

    def ended(self, trial: Trial, status: str, reason: str | None, left_out_s: float) -> None:
        super().ended(trial, status, reason, left_out_s)
        row = self._growing.ended(trial)
        if row is not None and status == "done":
            figures = zip(HEADER[2:], cells(row)[2:], strict=True)
            say("  " + ", ".join(f"{name} {value}" for name, value in figures))


class LiveView(Bars):
    """The terminal's picture of a run, redrawn by a thread. A context manager."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self._growing, self._tail = Growing(run_dir), Tail(run_dir)
        self._title = "preparing speech"
        self._done = threading.Event()
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._thread = threading.Thread(target=self._run, name="wattscribe-live", daemon=True)
        self.pictures, self.drawing_s = 0, 0.0
        """How many were drawn, and the processor time of all of them."""

    def __enter__(self) -> LiveView:
        self._begun_s = time.monotonic()
        self._open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        with self._lock:
            self._close()
        took_s = time.monotonic() - self._begun_s
        share = 100 * self.drawing_s / took_s if took_s > 0 else 0.0
        say(
            f"live view: {self.pictures} pictures took {self.drawing_s:.2f} s of processor time, {share:.2f} % of a core"
        )

    def noted(self, note: str) -> None:
        with self._lock:
            super().noted(note)

    def prepared(self, label: str, audio_s: float) -> None:
        super().prepared(label, audio_s)
        self._title = f"preparing {label}"

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self._title = title(trial)

    def ended(self, trial: Trial, status: str, reason: str | None, left_out_s: float) -> None:
        with self._lock:
            super().ended(trial, status, reason, left_out_s)
        self._growing.ended(trial)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._done.wait(pause_s):
            before_s = time.thread_time()
            try:
                self._draw()
            except OSError:  # the terminal is gone; the run is not
                return
            spent_s = time.thread_time() - before_s
            self.pictures, self.drawing_s = self.pictures + 1, self.drawing_s + spent_s
            pause_s = pause_after(spent_s)

    def _draw(self) -> None:
        with contextlib.suppress(
            WattscribeError
        ):  # no run yet, or one that is being replaced: its figures stay as they were
            self._tail.look()
        console = self._progress.console
        with self._lock:
            if self._live is None:
                return
            if (now := fitted(sys.stderr)) != (console.width, console.height):
                self._close()  # what was drawn for another width cannot be drawn over
                console.width, console.height = now
                console.clear()
                self._open()
            self._live.update(self.picture(console.width, console.height), refresh=True)

    def _open(self) -> None:
        from rich.live import Live

        console = self._progress.console
        self._live = Live(self.picture(console.width, console.height), console=console, auto_refresh=False)
        self._live.start(refresh=True)

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def picture(self, width: int, height: int) -> RenderableType:
        """What is shown on a terminal of so many columns and lines."""
        from rich.console import Group
        from rich.text import Text

        lines = [self._title, self._how_far(width), self._power(width), self._speed()]
        texts = [Text(line, no_wrap=True, overflow="ellipsis") for line in lines if line]
        rows, room = list(self._growing.rows.values()), height - len(texts) - BESIDE_ROWS
        if not rows or room < 1:
            return Group(*texts)
        shown = rows[-room:]
        above = len(rows) - len(shown)
        more = [Text(f"{above} rows above", style="dim")] if above else []
        return Group(*texts, _table(shown, width), *more)

    def _how_far(self, width: int) -> str:
        task = self._progress.tasks[0]
        if task.total is None:
            return f"{self._prepared_s:.0f} s of speech"
        share = task.completed / task.total if task.total else 1.0
        full = round(share * (room := max(0, min(30, width - 60))))
        left = "" if task.time_remaining is None else f", {_clock(task.time_remaining)} left"
        bar = f"{'━' * full}{'─' * (room - full)} " if room else ""
        return f"{task.fields['state']}  {bar}{100 * share:.0f} %  {_clock(task.elapsed or 0.0)}{left}"

    def _power(self, width: int) -> str:
        """The rails that may stand for the device, or the largest one where none may."""
        rails = {name: rail for name, rail in self._tail.rails.items() if rail.power_w}
        totals = {name: rail for name, rail in rails.items() if rail.total} or rails
        if not totals:
            return "power: no sample yet" if self._tail.trial else ""
        name, rail = max(totals.items(), key=lambda item: sum(item[1].power_w) / len(item[1].power_w))
        text = f"power {number(rail.power_w[-1])} W  {name}, {rail.evidence}"
        return f"{text}  {sparks(rail, max(0, min(60, width - len(text) - 4)))}"

    def _speed(self) -> str:
        tail = self._tail
        if not tail.utterances:
            return "RTF: no answer yet" if tail.trial else ""
        return f"RTF {number(tail.took_s / tail.audio_s)}  {tail.utterances} utterances, {tail.audio_s:.0f} s of speech"


def pause_after(spent_s: float) -> float:
    """Seconds until the next picture, after one that took so much processor time."""
    return max(LEAST_PAUSE_S, spent_s / MAX_SHARE)


def sparks(rail: Rail, width: int) -> str:
    """The last samples as a row of bars from 0 W to the highest, each the mean of some of them; newest on the right."""
    watts = rail.power_w
    if not watts or not width:
        return ""
    step = max(1, len(watts) // width)
    means = [sum(watts[at - step : at]) / step for at in range(len(watts), step - 1, -step)][:width][::-1]
    top = max(means)
    heights = [int(mean / top * len(SPARKS)) if top > 0 else 0 for mean in means]
    return "".join(SPARKS[min(len(SPARKS) - 1, max(0, height))] for height in heights)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _table(rows: Sequence[Row], width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    kept = [at for at, least in enumerate(LEAST_COLUMNS) if width >= least]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at in kept:
        table.add_column(HEADER[at], justify="right" if 2 <= at <= 5 else "left", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(cells(row)[at]) for at in kept))
    return table


def live_watcher(run_dir: Path) -> LiveView | LiveLines:
    """A picture where standard error is a terminal that can move its cursor, else lines."""
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", ""):
        return LiveView(run_dir)
    return LiveLines(run_dir)
