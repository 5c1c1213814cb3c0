"""What is written: the model, recipe.toml, result.json and report.html, in one directory that is complete or absent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe.compress.acceptance import Acceptance
from wattscribe.compress.candidate import Candidate
from wattscribe.compress.recipe import Recipe, to_toml
from wattscribe.compress.strategies import Sensitivity
from wattscribe.compress.workbench import Tried
from wattscribe.errors import InputError
from wattscribe.records import json_text

SCHEMA = 1
WRITTEN = frozenset(("recipe.toml", "result.json"))
"""In every directory that a run has written: only such a one may be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
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
    beside: tuple[Tried, ...] = ()
    """What other runs tried on the same speech: drawn on the page, kept out of result.json."""
    course: tuple[tuple[str, float], ...] = ()
    """Modelled energy, mJ per second of audio: the original with nothing placed, then after each kept step."""
    notes: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether the limit holds on the development set, and on the test set where there is one."""
        return all(each.wer_increase <= self.limit for each in (self.dev, self.test) if each is not None)


def to_json(found: Compression) -> dict[str, Any]:
    """result.json: the figures of the development set at the top, `test` beside them."""
    plain = {
        "schema": SCHEMA,
        **_figures(found.dev),
        "evidence": found.evidence,
        "limit": found.limit,
        "met": found.met,
    }
    plain["dev"] = _figures(found.dev)
    plain["test"] = None if found.test is None else _figures(found.test)
    plain["device"], plain["strategy"], plain["seed"] = found.recipe.device, found.recipe.strategy, found.recipe.seed
    plain["baselines_mj_per_audio_s"] = dict(found.baselines_mj)
    plain["baseline"] = "the original, frame by frame, weights in their best placement by component"
    plain["fidelity_unlabelled"] = dict(found.fidelity)
    plain["steps"] = [
        {"step": str(each.step), "kept": each.kept, "reason": each.reason, **each.numbers} for each in found.recipe.done
    ]
    plain["course"] = [{"after": name, "energy_mj_per_audio_s": energy} for name, energy in found.course]
    plain["tried"] = [
        {"strategy": each.strategy, "energy_mj_per_audio_s": each.energy_mj, "size_bytes": each.size_bytes,
         "kl": each.kl, "wer": each.wer, "on": each.on, "steps": [str(step) for step in each.steps]}
        for each in found.tried
    ]  # fmt: skip
    plain["machine"], plain["notes"] = dict(found.machine), list(found.notes)
    return plain


def _figures(found: Acceptance) -> dict[str, Any]:
    before, after = found.before, found.after
    return {
        "on": found.on,
        "utterances": found.utterances,
        "audio_s": found.audio_s,
        "energy_before_mj_per_audio_s": before.energy_mj_per_audio_s,
        "energy_before_ci95_mj": list(before.energy_ci95_mj),
        "energy_after_mj_per_audio_s": after.energy_mj_per_audio_s,
        "energy_after_ci95_mj": list(after.energy_ci95_mj),
        "energy_reduction": found.energy_reduction,
        "wer_before": before.wer,
        "wer_after": after.wer,
        "wer_increase": found.wer_increase,
        "wer_increase_ci95": list(found.wer_increase_ci95),
        "wer_increase_upper95": found.wer_increase_upper95,
        "wer_method": found.method,
        "non_inferior": found.non_inferior,
        "identical_texts": found.identical_texts,
        "rtf_before": before.rtf,
        "rtf_after": after.rtf,
        "rtf_cpu_before": before.rtf_cpu,
        "rtf_cpu_after": after.rtf_cpu,
        "size_before_bytes": before.size_bytes,
        "size_after_bytes": after.size_bytes,
        "peak_memory_before_bytes": before.peak_memory_bytes,
        "peak_memory_after_bytes": after.peak_memory_bytes,
        "first_partial_before_s": before.first_partial_s,
        "first_partial_after_s": after.first_partial_s,
    }


def check_target(out: Path, *, overwrite: bool = False) -> None:
    """Refuse before the work begins: what may not be replaced, where nothing can be written. Raises InputError."""
    if out.is_symlink():
        raise InputError("is a symbolic link", where=out, fix="Choose another -o")
    if out.exists() and not (out.is_dir() and _ours(out)):
        raise InputError("is there already and was not written by compress", where=out, fix="Choose another -o")
    if out.exists() and not overwrite:
        raise InputError("is there already", where=out, fix="Choose another -o, or give --overwrite")
    parent = out.absolute().parent
    if not parent.is_dir():
        raise InputError("its parent directory does not exist", where=out, fix="Create it, or choose another -o")
    _beside(out).rmdir()


def _ours(out: Path) -> bool:
    """A directory that `write` made, or an empty one. It makes no folders: one with folders holds somebody's work."""
    names = {each.name for each in out.iterdir()}
    return not names or (names >= WRITTEN and not any(each.is_dir() for each in out.iterdir()))


def _beside(out: Path) -> Path:
    """A new directory next to OUT, to be renamed. Raises InputError where nothing can be written."""
    parent = out.absolute().parent
    try:
        return Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=parent))
    except OSError as error:
        raise InputError(
            f"nothing can be written here: {error.strerror}", where=parent, fix="Choose another -o"
        ) from error


def write(found: Compression, out: Path, *, overwrite: bool = False) -> Path:
    """Write beside OUT, then rename: whoever looks finds all of it or nothing. Raises InputError, for a full disk too."""
    from wattscribe.report.compress_page import html

    check_target(out, overwrite=overwrite)
    part = _beside(out)
    try:
        found.result.write(part)
        for name, text in (
            ("recipe.toml", to_toml(found.recipe)),
            ("result.json", json_text(to_json(found), indent=2) + "\n"),
            ("report.html", html(found)),
        ):
            _write_text(part / name, text)
        part.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    except InputError as error:
        raise InputError(error.what, where=out, fix=error.fix) from error
    except OSError as error:
        raise InputError(
            f"the result cannot be written: {error.strerror}", where=out, fix="Free some space or choose another -o"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def lines(found: Compression) -> Sequence[str]:
    """What the command prints."""
    made = [f"{'':24}{'before':>12}{'after':>12}"]
    for name, key, factor, unit in (
        ("energy, mJ/audio s", "energy_{}_mj_per_audio_s", 1.0, ".4f"), ("WER, %", "wer_{}", 100.0, ".2f"),
        ("RTF (processor time)", "rtf_cpu_{}", 1.0, ".4f"), ("size, MB", "size_{}_bytes", 1e-6, ".2f"),
        ("peak memory, MB", "peak_memory_{}_bytes", 1e-6, ".1f"), ("first partial, s", "first_partial_{}_s", 1.0, ".2f"),
    ):  # fmt: skip
        figures = _figures(found.dev)
        values = [figures[key.format(when)] for when in ("before", "after")]
        made.append(f"{name:24}" + "".join(f"{'–' if v is None else format(v * factor, unit):>12}" for v in values))
    for each in (found.dev, found.test):
        if each is not None:
            made.append(judged(each, found.evidence))
    return [*made, *found.notes]


def judged(each: Acceptance, evidence: str) -> str:
    """One set's saving and verdict, with the method: a bound from no event seen is not one from many errors."""
    low, high = each.wer_increase_ci95
    return (
        f"{each.on}: energy {-100 * each.energy_reduction:+.1f} % ({evidence}), WER "
        f"{100 * each.wer_increase:+.2f} points (95 %: {100 * low:+.2f} to {100 * high:+.2f}; one-sided bound "
        f"{100 * each.wer_increase_upper95:+.2f}), "
        f"{'non-inferior' if each.non_inferior else 'non-inferiority not proven'} within {100 * each.limit:g} points "
        f"({each.method})"
    )
