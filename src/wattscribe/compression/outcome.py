"""What is written: the model, recipe.toml, result.json and, where a page was asked for, report.html: complete or absent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe import records
from wattscribe.compression import confirm
from wattscribe.compression.acceptance import Acceptance, Part
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.confirm import Selection
from wattscribe.compression.recipe import Recipe, to_toml
from wattscribe.compression.strategies import Sensitivity
from wattscribe.compression.workbench import Tried
from wattscribe.errors import InputError
from wattscribe.records import json_text
from wattscribe.shown import Shown

SCHEMA = 1
LATENCIES = {
    "call_s": "audio per call, s", "token_delay_mean_s": "token delay, mean, s", "token_delay_p90_s": "token delay, p90, s",
    "first_partial_s": "first partial, s", "finalisation_s": "finalisation, s",
}  # fmt: skip
"""Fields of `Latency` and what they are called."""
VERDICTS = {True: "non-inferior", False: "non-inferiority not proven", None: "too few words for a verdict by itself"}
"""On one corpus of several."""
WRITTEN = frozenset(("recipe.toml", "result.json"))
"""In every directory that a run has written: only such a one may be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression(Shown):
    """Everything that a run of `compress` found."""

    original: Candidate
    result: Candidate
    recipe: Recipe
    evidence: str
    dev: Acceptance
    test: Acceptance | None
    limit: float
    baselines_mj: Mapping[str, float]
    """Energy of the original frame by frame: `none` with nothing placed, `component` and `tensor` with the best placement."""
    tried: tuple[Tried, ...]
    sensitivities: tuple[Sensitivity, ...]
    fidelity: Mapping[str, float]
    """On unlabelled audio that nothing was calibrated on: divergence and words that differ from the original's text."""
    machine: Mapping[str, Any]
    longer: Compression | None = None
    """The same with longer calls, where they were allowed: written beside, never instead."""
    beside: tuple[Tried, ...] = ()
    """What other runs tried on the same speech: drawn on the page, kept out of result.json."""
    course: tuple[tuple[str, float], ...] = ()
    """Modelled energy, mJ per second of audio: the original with nothing placed, then after each kept step."""
    notes: tuple[str, ...] = ()
    selection: Selection | None = None
    """How it was chosen; None where a recipe was carried out and nothing was."""
    cut_short: str | None = None
    """Why the search ended early."""

    @property
    def met(self) -> bool:
        """Whether the limit holds on the development set, and on the test set where there is one; never on speech that cannot
        show it."""
        return all(
            acceptance.wer_increase <= acceptance.limit
            and acceptance.cannot_show is None
            and all(part.wer_increase <= part.limit for part in acceptance.parts)
            for acceptance in (self.dev, self.test)
            if acceptance is not None
        )


Page = Callable[[Compression], str]
"""What draws a compression (`pages.compress_page.html`); a room above this one, so it is handed in."""


def to_json(compression: Compression) -> dict[str, Any]:
    """result.json: the figures of the development set at the top, `test` beside them."""
    plain = {
        "schema": SCHEMA,
        **_figures(compression.dev),
        "evidence": compression.evidence,
        "limit": compression.limit,
        "max_wer_increase_points": _as_asked(compression.limit),
        "met": compression.met,
    }
    plain["dev"] = _figures(compression.dev)
    plain["test"] = None if compression.test is None else _figures(compression.test)
    if compression.longer is not None:
        plain["longer_calls"] = {"strategy": compression.longer.recipe.strategy, **_figures(compression.longer.dev)}
    recipe = compression.recipe
    plain["device"], plain["strategy"], plain["seed"] = recipe.device, recipe.strategy, recipe.seed
    plain["baselines_mj_per_audio_s"] = dict(compression.baselines_mj)
    plain["baseline"] = "the original, frame by frame, weights in their best placement by component"
    plain["fidelity_unlabelled"] = dict(compression.fidelity)
    plain["steps"] = [
        {"step": str(entry.step), "kept": entry.kept, "reason": entry.reason, **entry.numbers} for entry in recipe.done
    ]
    plain["course"] = [{"after": name, "energy_mj_per_audio_s": energy} for name, energy in compression.course]
    plain["tried"] = [
        {"strategy": tried.strategy, "energy_mj_per_audio_s": tried.energy_mj, "size_bytes": tried.size_bytes,
         "kl": tried.kl, "wer": tried.wer, "on": tried.on, "steps": [str(step) for step in tried.steps]}
        for tried in compression.tried
    ]  # fmt: skip
    plain["selection"] = None if compression.selection is None else confirm.to_json(compression.selection)
    plain["cut_short"] = compression.cut_short
    plain["machine"], plain["notes"] = dict(compression.machine), list(compression.notes)
    return plain


def _figures(acceptance: Acceptance) -> dict[str, Any]:
    before, after = acceptance.before, acceptance.after
    return {
        "on": acceptance.on,
        "utterances": acceptance.utterances,
        "audio_s": acceptance.audio_s,
        "energy_before_mj_per_audio_s": before.energy_mj_per_audio_s,
        "energy_before_ci95_mj": list(before.energy_ci95_mj),
        "energy_after_mj_per_audio_s": after.energy_mj_per_audio_s,
        "energy_after_ci95_mj": list(after.energy_ci95_mj),
        "energy_reduction": acceptance.energy_reduction,
        "wer_before": before.wer,
        "wer_after": after.wer,
        "wer_increase": acceptance.wer_increase,
        "wer_increase_ci95": list(acceptance.wer_increase_ci95),
        "wer_increase_upper95": acceptance.wer_increase_upper95,
        "wer_method": acceptance.method,
        "non_inferior": acceptance.non_inferior,
        "cannot_show": acceptance.cannot_show,
        "identical_texts": acceptance.identical_texts,
        **({"corpora": [records.to_json(part) for part in acceptance.parts]} if acceptance.parts else {}),
        "rtf_before": before.rtf,
        "rtf_after": after.rtf,
        "rtf_cpu_before": before.rtf_cpu,
        "rtf_cpu_after": after.rtf_cpu,
        "size_before_bytes": before.size_bytes,
        "size_after_bytes": after.size_bytes,
        "peak_memory_before_bytes": before.peak_memory_bytes,
        "peak_memory_after_bytes": after.peak_memory_bytes,
        **{
            f"{name.removesuffix('_s')}_{when}_s": getattr(side.latency, name)
            for name in LATENCIES
            for when, side in (("before", before), ("after", after))
        },
    }


def check_target(out: Path, *, overwrite: bool = False) -> None:
    """Refuse before the work begins: what may not be replaced, where nothing can be written. Raises InputError."""
    if out.is_symlink():
        raise InputError("is a symbolic link", where=out, fix="Choose another `out`")
    if out.exists() and not (out.is_dir() and _ours(out)):
        raise InputError("is there already and was not written by compress", where=out, fix="Choose another `out`")
    if out.exists() and not overwrite:
        raise InputError("is there already", where=out, fix="Choose another `out`, or give `overwrite`")
    parent = out.absolute().parent
    if not parent.is_dir():
        raise InputError("its parent directory does not exist", where=out, fix="Create it, or choose another `out`")
    _beside(out).rmdir()


def _ours(out: Path) -> bool:
    """A directory that `write` made, or an empty one. It makes no folders: one with folders holds somebody's work."""
    names = {path.name for path in out.iterdir()}
    return not names or (names >= WRITTEN and not any(path.is_dir() for path in out.iterdir()))


def _beside(out: Path) -> Path:
    """A new directory next to OUT, to be renamed. Raises InputError where nothing can be written."""
    parent = out.absolute().parent
    try:
        return Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=parent))
    except OSError as error:
        raise InputError(
            f"nothing can be written here: {error.strerror}", where=parent, fix="Choose another `out`"
        ) from error


def write(compression: Compression, out: Path, *, overwrite: bool = False, page: Page | None = None) -> Path:
    """Write beside OUT, then rename: whoever looks finds all of it or nothing. Raises InputError, for a full disk too.

    `page`: what makes report.html of it; None: no page.
    """
    check_target(out, overwrite=overwrite)
    part = _beside(out)
    try:
        compression.result.write(part)
        texts = {
            "recipe.toml": to_toml(compression.recipe),
            "result.json": json_text(to_json(compression), indent=2) + "\n",
            **({} if page is None else {"report.html": page(compression)}),
        }
        for name, text in texts.items():
            _write_text(part / name, text)
        part.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    except InputError as error:
        raise InputError(error.what, where=out, fix=error.fix) from error
    except OSError as error:
        raise InputError(
            f"the result cannot be written: {error.strerror}", where=out, fix="Free some space or choose another `out`"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def lines(compression: Compression) -> Sequence[str]:
    """What the command prints: at the latency of the model as given, then what longer calls do beside it."""
    columns = [("before", compression.dev, "before"), ("after", compression.dev, "after")]
    if compression.longer is not None:
        columns.append(("longer calls", compression.longer.dev, "after"))
    printed = [f"{'':24}" + "".join(f"{title:>14}" for title, _, _ in columns)]
    for name, key, factor, unit in (
        ("energy, mJ/audio s", "energy_{}_mj_per_audio_s", 1.0, ".4f"), ("WER, %", "wer_{}", 100.0, ".2f"),
        ("RTF (processor time)", "rtf_cpu_{}", 1.0, ".4f"), ("size, MB", "size_{}_bytes", 1e-6, ".2f"),
        ("peak memory, MB", "peak_memory_{}_bytes", 1e-6, ".1f"),
        *((title, name.removesuffix("_s") + "_{}_s", 1.0, ".3f") for name, title in LATENCIES.items()),
    ):  # fmt: skip
        values = [_figures(acceptance)[key.format(when)] for _, acceptance, when in columns]
        printed.append(f"{name:24}" + "".join(f"{'–' if v is None else format(v * factor, unit):>14}" for v in values))
    for result in (compression, *([compression.longer] if compression.longer is not None else [])):
        for acceptance in (result.dev, result.test):
            printed += (
                [] if acceptance is None else [judged(acceptance, result.evidence), *map(on_corpus, acceptance.parts)]
            )
        printed += result.notes
    return printed


def judged(acceptance: Acceptance, evidence: str) -> str:
    """One set's saving and verdict, with the method: a bound from no event seen is not one from many errors."""
    low, high = acceptance.wer_increase_ci95
    return (
        f"{acceptance.on}: energy {-100 * acceptance.energy_reduction:+.1f} % ({evidence}, {_latency(acceptance)}), WER "
        f"{100 * acceptance.wer_increase:+.2f} points (95 %: {100 * low:+.2f} to {100 * high:+.2f}; one-sided bound "
        f"{100 * acceptance.wer_increase_upper95:+.2f}), "
        f"{_verdict(acceptance)} ({acceptance.method})"
    )


def on_corpus(part: Part) -> str:
    """One corpus of the set by itself."""
    saved = 1 - part.energy_after_mj_per_audio_s / part.energy_before_mj_per_audio_s
    return (
        f"  {part.on}: energy {-100 * saved:+.1f} %, WER {100 * part.wer_before:.2f} → {100 * part.wer_after:.2f} % "
        f"({100 * part.wer_increase:+.2f} points, one-sided bound {100 * part.wer_increase_upper95:+.2f}, limit "
        f"{100 * part.limit:g}), {VERDICTS[part.non_inferior]}"
    )


def _verdict(acceptance: Acceptance) -> str:
    """Of three: shown, not shown, and not to be shown on this speech."""
    if acceptance.non_inferior is None:
        return f"cannot be judged: {acceptance.cannot_show}"
    verdict = "non-inferior" if acceptance.non_inferior else "non-inferiority not proven"
    return f"{verdict} within {100 * acceptance.limit:g} points"


def _as_asked(limit: float) -> float:
    """The limit in points, without the last binary digits."""
    return round(100 * limit, 9)


def _latency(acceptance: Acceptance) -> str:
    """At which latency: a saving that longer calls bought is told as such."""
    before_s, after_s = acceptance.before.latency.call_s, acceptance.after.latency.call_s
    if before_s is None or after_s is None or abs(after_s - before_s) < 1e-6:
        return "at equal latency"
    return f"calls of {1000 * after_s:.0f} instead of {1000 * before_s:.0f} ms"
