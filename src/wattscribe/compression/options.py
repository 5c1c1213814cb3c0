"""What a user asks of a compression: the one list of options that `wattscribe.compress` and the command line share.

It imports nothing heavy, since the door (`verbs`) reads its fields before anything is compressed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEVICE = "wearable"
CALIBRATION_S = 180.0
PROBE_S = 110.0

StrategyName = Literal["targeted", "uniform", "global", "search"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Each field is an option of the verb and is described as it is shown to the user."""

    data: Sequence[str]
    """Development speech with text; may be given several times."""
    test_data: Sequence[str] = ()
    """Speech with text that is decoded once, at the end; none of it may be in `data`."""
    unlabelled: Sequence[str] = ()
    """Folders of audio without text for calibration; without it the development audio is used."""
    device: str | None = None
    """A shipped profile (wattscribe devices) or a TOML file of your own; without it the recipe's, or wearable."""
    max_wer_increase_points: float = 0.2
    """Points of WER that may be added: 0.2 lets 3.65 % become 3.85 %."""
    corpus_limit: Sequence[str] = ()
    """CORPUS=POINTS: a corpus of `data` that is held to a limit of its own, as noise may be; may be given several times. Others
    are held to `max_wer_increase_points`, all together to the mean of the limits, weighted by words."""
    strategy: StrategyName = "targeted"
    """targeted: where energy is saved for the least harm; uniform: evenly; global: one threshold; search: Optuna."""
    seed: int | None = None
    """Of draws of audio, of the bootstrap and of the search; without it the recipe's, or 0."""
    max_latency_ms: float | None = None
    """Also make the model with longer calls, no segment longer than this; refused where the model's own is longer."""
    train_config: Path | str | None = None
    """A TOML file for pruning and fine-tuning; MODEL is then a folder that wattscribe train wrote."""
    recipe: Path | str | None = None
    """Carry out the kept steps of this recipe.toml instead of looking for one; each is measured and proven anew."""
    limit: int | None = None
    """At most so many utterances of each corpus: a trial run, which goes on without a verdict where they are too few for one."""
    storage: Path | str | None = None
    """Journal file: what was measured is kept there, and the same command goes on from it; with strategy `search` several
    processes may share it. Without it a journal lies beside the output until the run is complete."""
    minutes: float | None = None
    """End the search after so long, as the first Ctrl-C does, with the best that holds so far; that is then proven in full."""
    trials: int = 60
    """Recipes that the search looks at."""
    scheduler: str | None = None
    """With strategy `search`: a Dask scheduler that runs already, tcp://HOST:PORT, whose workers weigh the recipes. Each reads
    model and speech where they are named here."""
    hosts: Path | str | None = None
    """The same on workers of the machines in this TOML file of [[boards]] (docs/fleet.md); with `scheduler` its workers of these
    labels."""
    beside: Sequence[Path | str] = ()
    """What another run wrote on the same data, for instance with another strategy: its recipes and its front are drawn on this
    run's page; may be given several times."""
    require_proof: bool = False
    """Take steps back until non-inferiority is proven on the development set."""
    cache: Path | str | None = None
    """Keep decodes in this folder, so that another run need not repeat them."""
    calibration_s: float = CALIBRATION_S
    """Seconds of audio for the ranges of activations."""
    probe_s: float = PROBE_S
    """Seconds of audio for quick looks."""

    @property
    def device_name(self) -> str:
        """A shipped profile's name or a file."""
        return self.device or DEVICE

    @property
    def drawn(self) -> int:
        """The seed of all draws."""
        return self.seed or 0
