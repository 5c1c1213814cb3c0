"""What a user asks of a compression, and everything that can be said about it before the work begins."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from wattscribe.compression.memo import Memo
from wattscribe.compression.recipe import Recipe, read_recipe
from wattscribe.energy import devices
from wattscribe.errors import InputError

STRATEGIES = ("targeted", "uniform", "global", "search")
DEVICE = "wearable"
CALIBRATION_S = 180.0
PROBE_S = 110.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a user asks of a compression. `max_wer_increase_points`: 0.2 is 0.2 % of the words."""

    device: str | None = None
    """None: the recipe's, where one is carried out, else `wearable`."""
    data: tuple[str, ...] = ()
    test_data: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    max_wer_increase_points: float = 0.2
    strategy: str = "targeted"
    seed: int | None = None
    """None: the recipe's, where one is carried out, else 0."""
    max_latency_ms: float | None = None
    limit: int | None = None
    """Only so many utterances of each corpus."""
    recipe: Path | None = None
    cache: Path | None = None
    storage: Path | None = None
    """Where a run keeps what it has measured, so that the same command goes on from there; the search's own journal."""
    minutes: float | None = None
    """The search ends after so long with the best so far; what it chose is then proven in full."""
    journal: Path | None = None
    """Where it is kept indeed: `with_journal` says it."""
    leave: Path | None = None
    """Where an interrupted acceptance leaves the recipe."""
    trials: int = 60
    calibration_s: float = CALIBRATION_S
    probe_s: float = PROBE_S
    require_proof: bool = False
    beside: tuple[Path, ...] = ()
    """What other runs wrote on the same speech: their recipes and fronts are drawn on this one's page."""
    train_config: Path | None = None
    """With it MODEL is a folder that `wattscribe train` wrote: pruned and fine-tuned first."""

    @property
    def device_name(self) -> str:
        """A shipped profile's name or a file."""
        return self.device or DEVICE

    @property
    def drawn(self) -> int:
        """The seed of all draws."""
        return self.seed or 0


def checked(options: Options) -> tuple[Options, Recipe | None]:
    """The options with the recipe's device and seed where none were given, and the recipe. Raises InputError."""
    _figures(options)
    if not options.data:
        raise InputError("there is no development text", fix="Give --data a corpus with references")
    if options.strategy not in STRATEGIES:
        raise InputError(f"there is no strategy {options.strategy!r}", fix="One of: " + ", ".join(STRATEGIES))
    if options.cache is not None:
        _folder(options.cache)
    recipe = None
    if options.recipe is not None:
        recipe = read_recipe(options.recipe)
        if options.device is None:
            _known(recipe.device, options.recipe)
        seed = recipe.seed if options.seed is None else options.seed
        options = replace(options, device=options.device or recipe.device, seed=seed)
    devices.load(options.device_name)
    if options.storage is not None and options.strategy == "search" and recipe is None:
        from wattscribe.compression.search import open_journal

        open_journal(options.storage)
    return options, recipe


def with_journal(options: Options, out: Path) -> Options:
    """The options with the places beside OUT. Raises InputError for a journal that cannot be gone on from."""
    path = out.with_name(f"{out.name}.journal")
    if options.storage is not None:
        searched = options.strategy == "search" and options.recipe is None
        path = options.storage.with_name(f"{options.storage.name}.measured") if searched else options.storage
    Memo(path)
    return replace(options, journal=path, leave=out.with_name(f"{out.name}.recipe.toml"))


def _figures(options: Options) -> None:
    least: dict[str, tuple[float | None, float]] = {
        "max-wer-increase": (options.max_wer_increase_points, 0), "seed": (options.seed, 0), "limit": (options.limit, 1),
        "trials": (options.trials, 1), "minutes": (options.minutes, 0), "max-latency-ms": (options.max_latency_ms, 0),
    }  # fmt: skip
    for name, (given, allowed) in least.items():
        if given is not None and not (math.isfinite(given) and given >= allowed):
            points = " points of WER that may be added" if name == "max-wer-increase" else ""
            raise InputError(f"--{name} is {given:g}", fix=f"Give{points or ' a number'}: {allowed:g} or more")


def _known(device: str, recipe: Path) -> None:
    try:
        devices.load(device)
    except InputError as error:
        raise InputError(f"its device: {error.what}", where=recipe, fix="Give --device") from error


def _folder(path: Path) -> None:
    """Make the folder, or see that one can be written to. Raises InputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise InputError(
            f"is no folder to write to: {error.strerror}", where=path, fix="Choose another --cache"
        ) from error


def command(options: Options, model: str, out: Path) -> tuple[str, ...]:
    """The command line that carries out the recipe in OUT again, on the same speech."""
    found = ["wattscribe", "compress", model, "--recipe", str(out / "recipe.toml"), "-o", f"{out}-again"]
    several = {"--data": options.data, "--test-data": options.test_data, "--unlabelled": options.unlabelled}
    for name, values in several.items():
        found += [part for value in values for part in (name, value)]
    single = {
        "--device": options.device_name if Path(options.device_name).is_file() else None,
        "--max-wer-increase": f"{options.max_wer_increase_points:g}", "--limit": options.limit, "--cache": options.cache,
        "--train-config": options.train_config,
        "--max-latency-ms": None if options.max_latency_ms is None else f"{options.max_latency_ms:g}",
    }  # fmt: skip
    found += [part for name, value in single.items() if value is not None for part in (name, str(value))]
    return (*found, *(["--require-proof"] if options.require_proof else []))


__all__ = ["CALIBRATION_S", "DEVICE", "PROBE_S", "STRATEGIES", "Options", "checked", "command", "with_journal"]
