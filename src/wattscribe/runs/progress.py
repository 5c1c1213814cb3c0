"""What a run tells whoever watches: nothing, or bars with the time that is left."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from wattscribe.records import Trial
from wattscribe.terminal import console, say


class Watcher(Protocol):
    """Told what the runner does; it must be cheap, for it is called beside a measurement."""

    def noted(self, note: str) -> None:
        """What is to be known of the experiment before it begins."""
        ...

    def prepared(self, label: str, audio_s: float) -> None:
        """An utterance lies ready on disk."""
        ...

    def planned(self, audio_s: float, trials: int) -> None:
        """So many seconds of audio in so many trials are still to be transcribed."""
        ...

    def started(self, trial: Trial) -> None: ...

    def transcribed(self, audio_s: float) -> None:
        """An utterance of the current trial is through."""
        ...

    def ended(self, trial: Trial, status: str, reason: str | None, left_out_s: float) -> None:
        """A trial is through; `left_out_s` of its audio were not transcribed."""
        ...


class Silent:
    """Nobody watches."""

    def noted(self, note: str) -> None:
        say(f"note: {note}")

    def prepared(self, label: str, audio_s: float) -> None:
        pass

    def planned(self, audio_s: float, trials: int) -> None:
        pass

    def started(self, trial: Trial) -> None:
        pass

    def transcribed(self, audio_s: float) -> None:
        pass

    def ended(self, trial: Trial, status: str, reason: str | None, left_out_s: float) -> None:
        if status != "done":
            say(f"{title(trial)}: {status}: {reason}")


class Mute(Silent):
    """Nothing is said, of notes and of failures neither: they are in the run."""

    def noted(self, note: str) -> None:
        pass

    def ended(self, trial: Trial, status: str, reason: str | None, left_out_s: float) -> None:
        pass


class Lines(Silent):
    """One line for what is prepared, begun and ended, to a function of the caller's."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def noted(self, note: str) -> None:
        self._say(f"note: {note}")

    def planned(self, audio_s: float, trials: int) -> None:
        self._say(f"{trials} trial{'' if trials == 1 else 's'}, {audio_s:.0f} s of speech to transcribe")

    def started(self, trial: Trial) -> None:
        self._say(f"{title(trial)}: started")

    def ended(self, trial: Trial, status: str, reason: str | None, left_out_s: float) -> None:
        self._say(f"{title(trial)}: {status}" + ("" if reason is None else f": {reason}"))


class Bars(Silent):
    """Two lines on a terminal: what is done now, and how long the whole run will still take. A context manager.

    They redraw twice a second, so that drawing stays far below the cost of what is measured.
    """

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console(stderr=True),
            refresh_per_second=2,
        )
        self._task = self._progress.add_task("preparing speech", total=None, state="")
        self._trials = self._through = 0
        self._prepared_s = 0.0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def noted(self, note: str) -> None:
        self._progress.console.print(f"note: {note}", markup=False, highlight=False)

    def prepared(self, label: str, audio_s: float) -> None:
        self._prepared_s += audio_s
        self._progress.update(self._task, description=f"preparing {label}", state=f"{self._prepared_s:.0f} s of speech")

    def planned(self, audio_s: float, trials: int) -> None:
        self._trials = trials
        self._progress.reset(self._task, total=audio_s, description="measuring", state=f"trial 0/{trials}")

    def started(self, trial: Trial) -> None:
        state = f"trial {self._through + 1}/{self._trials}"
        self._progress.update(self._task, description=title(trial), state=state)

    def transcribed(self, audio_s: float) -> None:
        self._progress.advance(self._task, audio_s)

    def ended(self, trial: Trial, status: str, reason: str | None, left_out_s: float) -> None:
        self._through += 1
        self._progress.advance(self._task, left_out_s)
        if status != "done":
            self._progress.console.print(f"{title(trial)}: {status}: {reason}", markup=False, highlight=False)


def title(trial: Trial) -> str:
    """A trial in a few words."""
    spec = trial.recognizer
    model = spec.model.rstrip("/").rsplit("/", 1)[-1]
    mode = "" if trial.mode is None else f" · {trial.mode.name}"
    return f"{spec.runtime}:{model} {spec.precision} · {trial.condition.name}{mode} · repeat {trial.repeat + 1}"
