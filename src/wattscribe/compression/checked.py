"""Everything that can be said about the options of a compression before the work begins, and where it keeps what it does."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_args

from wattscribe.compression.memo import Memo
from wattscribe.compression.options import Options, StrategyName
from wattscribe.compression.recipe import Recipe, read_recipe
from wattscribe.energy import devices
from wattscribe.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(Options):
    """The options with paths as paths, and the places beside the output."""

    train_config: Path | None = None
    recipe: Path | None = None
    storage: Path | None = None
    beside: tuple[Path, ...] = ()
    cache: Path | None = None
    journal: Path | None = None
    """Where what was measured is kept: `with_journal` says it."""
    leave: Path | None = None
    """Where an interrupted acceptance leaves the recipe."""


def placed(options: Options) -> Placed:
    """The same options for the work; those that were placed already stay as they are."""
    if isinstance(options, Placed):
        return options
    given = {field.name: getattr(options, field.name) for field in fields(Options)}
    for name in ("train_config", "recipe", "storage", "cache"):
        given[name] = None if given[name] is None else Path(given[name])
    for name in ("data", "test_data", "unlabelled", "corpus_limit"):
        given[name] = tuple(given[name])
    return Placed(**{**given, "beside": tuple(map(Path, options.beside))})


def checked(asked: Options) -> tuple[Placed, Recipe | None]:
    """The options with the recipe's device and seed where none were given, and the recipe. Raises InputError."""
    options = placed(asked)
    _figures(options)
    if not options.data:
        raise InputError("there is no development text", fix="Give `data` a corpus with references")
    if options.strategy not in get_args(StrategyName):
        raise InputError(
            f"there is no strategy {options.strategy!r}", fix="One of: " + ", ".join(get_args(StrategyName))
        )
    limits_of(options)
    spread = options.scheduler is not None or options.hosts is not None
    if spread and (options.strategy != "search" or options.recipe is not None or options.train_config is not None):
        raise InputError(
            "`scheduler` and `hosts` are for `strategy` search alone",
            fix="Leave them out, or search, without `recipe` and `train_config`",
        )
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


def with_journal(options: Placed, out: Path) -> Placed:
    """The options with the places beside OUT. Raises InputError for a journal that cannot be gone on from."""
    path = out.with_name(f"{out.name}.journal")
    if options.storage is not None:
        searched = options.strategy == "search" and options.recipe is None
        path = options.storage.with_name(f"{options.storage.name}.measured") if searched else options.storage
    Memo(path)
    return replace(options, journal=path, leave=out.with_name(f"{out.name}.recipe.toml"))


def limits_of(options: Options) -> dict[str, float]:
    """The limit of each corpus of `data` and `test_data` that has one of its own, as fractions. Raises InputError."""
    limits: dict[str, float] = {}
    for entry in options.corpus_limit:
        name, equals, points = entry.rpartition("=")
        try:
            limit = float(points)
        except ValueError:
            limit = math.nan
        if not equals or not (math.isfinite(limit) and limit >= 0):
            raise InputError(
                f"`corpus_limit` is {entry!r}",
                fix="Write CORPUS=POINTS, as librispeech-noisy=1.0: points of WER, 0 or more",
            )
        meant = [spec for spec in (*options.data, *options.test_data) if name in (spec, Path(spec).name)]
        if not meant:
            raise InputError(
                f"`corpus_limit` names {name!r}, which is no corpus of `data`",
                fix="One of: " + ", ".join((*options.data, *options.test_data)),
            )
        limits |= dict.fromkeys(meant, limit / 100)
    return limits


def _figures(options: Options) -> None:
    least: dict[str, tuple[float | None, float]] = {
        "max_wer_increase_points": (options.max_wer_increase_points, 0), "seed": (options.seed, 0), "limit": (options.limit, 1),
        "trials": (options.trials, 1), "minutes": (options.minutes, 0), "max_latency_ms": (options.max_latency_ms, 0),
    }  # fmt: skip
    for name, (given, allowed) in least.items():
        if given is not None and not (math.isfinite(given) and given >= allowed):
            points = " points of WER that may be added" if name == "max_wer_increase_points" else ""
            raise InputError(f"`{name}` is {given:g}", fix=f"Give{points or ' a number'}: {allowed:g} or more")


def _known(device: str, recipe: Path) -> None:
    try:
        devices.load(device)
    except InputError as error:
        raise InputError(f"its device: {error.what}", where=recipe, fix="Give `device`") from error


def _folder(path: Path) -> None:
    """Make the folder, or see that one can be written to. Raises InputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise InputError(
            f"is no folder to write to: {error.strerror}", where=path, fix="Choose another `cache`"
        ) from error


def command(options: Placed, model: str, out: Path) -> tuple[str, ...]:
    """The command line that carries out the recipe in OUT again, on the same speech."""
    arguments = ["wattscribe", "compress", model, "--recipe", str(out / "recipe.toml"), "-o", f"{out}-again"]
    several = {
        "--data": options.data,
        "--test-data": options.test_data,
        "--unlabelled": options.unlabelled,
        "--corpus-limit": options.corpus_limit,
    }
    for name, values in several.items():
        arguments += [part for value in values for part in (name, value)]
    single = {
        "--device": options.device_name if Path(options.device_name).is_file() else None,
        "--max-wer-increase": f"{options.max_wer_increase_points:g}", "--limit": options.limit, "--cache": options.cache,
        "--train-config": options.train_config,
        "--max-latency-ms": None if options.max_latency_ms is None else f"{options.max_latency_ms:g}",
    }  # fmt: skip
    arguments += [part for name, value in single.items() if value is not None for part in (name, str(value))]
    return (*arguments, *(["--require-proof"] if options.require_proof else []))
