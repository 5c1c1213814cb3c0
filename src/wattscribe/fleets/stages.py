"""The stages of a tuning on boards: each a fleet's run whose speech is cut among them, read as the one run that it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from wattscribe.errors import InputError, WattscribeError
from wattscribe.fleets import coordinate
from wattscribe.fleets.cluster import Cluster
from wattscribe.journal import holds_run, read_run
from wattscribe.journal_file import run_folders
from wattscribe.records import RunFacts
from wattscribe.results.boards import classes
from wattscribe.results.fleet import merged
from wattscribe.runs.experiment import Experiment, check


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOnBoards:
    """Runs the trials of a stage's experiment into a directory, as `tuning.run.Bench` says.

    Every board hears a part of the stage's speech from every configuration, so that what boards differ by is the same for all of
    them and cancels. Boards of one class only: between classes joules do not compare.
    """

    cluster: Cluster
    say: Callable[[str], None]
    patience_s: float = 600.0

    def __call__(self, experiment: Experiment, out_dir: Path) -> RunFacts:
        """Raises InputError for boards of several classes, WattscribeError where no board did some of it."""
        begun = (out_dir / coordinate.RECORD_NAME).exists()
        asked = coordinate.Asked(resume=begun, patience_s=self.patience_s, together=True)
        remainders = 1 if experiment.part is None else len(set(experiment.part.taken))
        known = coordinate.shards_of(out_dir) if begun else None
        shards = known or min(len(self.cluster.labels), remainders)
        cut = check({**experiment.model_dump(), "shards": shards})
        with coordinate.opened(cut, out_dir, asked) as record:
            record = replace(record, boards=tuple(dict.fromkeys((*record.boards, *self.cluster.labels))))
            coordinate.keep(record, out_dir)
            ended = coordinate.measure(record, self.cluster, out_dir, asked, self.say)
        runs = [read_run(folder) for folder in run_folders(out_dir) if holds_run(folder)]
        if len(kinds := classes(runs)) > 1:
            raise InputError(
                f"the boards are of {len(kinds)} classes, whose joules do not compare: "
                + "; ".join(f"{kind.name} ({', '.join(kind.labels)})" for kind in kinds),
                where=out_dir,
                fix="Tune each class by itself: name its boards in `hosts`",
            )
        if ended.errors or not runs:
            raise WattscribeError(
                "; ".join(ended.errors) or "no board did any of it", where=out_dir, fix="Go on with `resume`"
            )
        return merged(runs, kinds, out_dir.name)
