"""`wattscribe compress`: make a transducer cheaper under a WER limit, and prove it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import cyclopts

app = cyclopts.App(
    name="wattscribe compress",
    help="Find the recipe of least energy for a transducer under a WER limit, and prove the result.",
)

Several = Annotated[list[str] | None, cyclopts.Parameter(negative=(), consume_multiple=False)]


@app.default
def compress(
    model: str,
    /,
    *,
    output: Annotated[Path, cyclopts.Parameter(name=["--output", "-o"])],
    data: Several = None,
    test_data: Several = None,
    unlabelled: Several = None,
    device: str | None = None,
    max_wer_increase: float = 0.2,
    strategy: Literal["targeted", "uniform", "global", "search"] = "targeted",
    seed: int | None = None,
    max_latency_ms: float | None = None,
    train_config: Path | None = None,
    recipe: Path | None = None,
    limit: int | None = None,
    storage: Path | None = None,
    minutes: float | None = None,
    trials: int = 60,
    beside: Annotated[list[Path] | None, cyclopts.Parameter(negative=(), consume_multiple=False)] = None,
    require_proof: bool = False,
    cache: Path | None = None,
    overwrite: Annotated[bool, cyclopts.Parameter(negative=())] = False,
) -> int:
    """Compress MODEL for a device and write the result with its recipe, figures and report.

    Parameters
    ----------
    model
        An exported transducer in sherpa-onnx's layout; with --train-config a trained checkpoint.
    output
        The directory to write: complete, or absent.
    data
        Development speech with text; may be given several times.
    test_data
        Speech with text that is decoded once, at the end; none of it may be in --data.
    unlabelled
        Folders of audio without text for calibration; without it the development audio is used.
    device
        A shipped profile (wattscribe devices) or a TOML file of your own; without it the recipe's, or wearable.
    max_wer_increase
        Points of WER that may be added.
    strategy
        targeted: where energy is saved for the least harm; uniform: evenly; global: one threshold; search: Optuna.
    seed
        Of draws of audio, of the bootstrap and of the search; without it the recipe's, or 0.
    max_latency_ms
        Refuse segments longer than this.
    train_config
        A TOML file for pruning and fine-tuning; MODEL is then a folder that wattscribe train wrote.
    recipe
        Carry out the kept steps of this recipe.toml instead of looking for one; each is measured and proven anew.
    limit
        At most so many utterances of each corpus: a trial run, which goes on without a verdict where they are too few for one.
    storage
        Journal file: what was measured is kept there, and the same command goes on from it; with --strategy search several
        processes may share it. Without it a journal lies beside OUT until the run is complete.
    minutes
        End the search after so long, as the first Ctrl-C does, with the best that holds so far; that is then proven in full.
    trials
        Recipes that the search looks at.
    beside
        What another run wrote on the same data, for instance with another strategy: its recipes and its front are drawn on this
        run's page; may be given several times.
    require_proof
        Take steps back until non-inferiority is proven on the development set.
    cache
        Keep decodes in this folder, so that another run need not repeat them.
    overwrite
        Replace a directory that an earlier run wrote.
    """
    import wattscribe
    from wattscribe.compression import outcome

    found = wattscribe.compress(
        model,
        output,
        device=device,
        data=data or (),
        test_data=test_data or (),
        unlabelled=unlabelled or (),
        max_wer_increase_points=max_wer_increase,
        strategy=strategy,
        seed=seed,
        max_latency_ms=max_latency_ms,
        limit=limit,
        recipe=recipe,
        cache=cache,
        storage=storage,
        minutes=minutes,
        trials=trials,
        beside=beside or (),
        require_proof=require_proof,
        train_config=train_config,
        overwrite=overwrite,
        say=lambda text: print(text, flush=True),
    )
    print("\n".join(outcome.lines(found)))
    print(f"written: {output}")
    return 0 if found.met else 1
