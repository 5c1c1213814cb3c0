"""The Jetson study's tables and figures from a run of real Whisper models, beside the study's own: docs/study.md.

    python -m benchmarks.study [RUN] [--pictures]

RUN (default runs/study) is measured as `HOW` says, with models that hold real weights. Without that run the document holds the
study's figures alone and says that ours are missing. `--pictures` also takes the pictures of the report with Chromium. Prints
what was found as JSON; `within` says whether the word error rates are what these weights give on this chapter.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe.journal import read_run
from wattscribe.pages import formats
from wattscribe.pages.sentences import starved_sentences
from wattscribe.records import RunFacts
from wattscribe.results.row import Row
from wattscribe.results.table import view
from wattscribe.results.words import MISSING, bytes_text, interval_text, number, percent_text

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "study.md"
PICTURES = ROOT / "docs" / "study"
UTTERANCES = 70

HOW = """\
$ M=~/.cache/real-asr-models            # OpenAI's tiny.en (English) and base (multilingual), converted to CTranslate2, float16
$ wattscribe bench --model ct2:$M/whisper-tiny.en-ct2 --model "ct2:$M/whisper-base-ct2?language=en" --precision fp32,int8 \\
      --data LibriSpeech/dev-clean --data LibriSpeech-noisy/dev-clean --out runs/study
$ python -m benchmarks.study runs/study --pictures"""
NOT_RUN = "<!-- not run: an hour, with models that no test can fetch -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the study shows for one WhisperX model; by precision fp32, fp16, int8; None: not measured.

    Read off its figures 4, 5 and 7 (arXiv 2405.01004), about ±2 %.
    """

    wer_clean: float
    wer_noisy: float
    energy_j: tuple[float | None, float, float]
    rtf: tuple[float | None, float, float]
    memory_mb: tuple[float | None, float, float]


PRECISIONS = ("fp32", "fp16", "int8")
STUDY = {
    "tiny": Published(
        wer_clean=8.8,
        wer_noisy=40.1,
        energy_j=(122, 62, 90),
        rtf=(0.22, 0.19, 0.18),
        memory_mb=(4280, 4040, 3940),
    ),
    "base": Published(
        wer_clean=7.3,
        wer_noisy=28.7,
        energy_j=(330, 148, 164),
        rtf=(0.29, 0.24, 0.24),
        memory_mb=(4300, 4040, 3920),
    ),
    "small": Published(
        wer_clean=4.9,
        wer_noisy=18.7,
        energy_j=(997, 512, 528),
        rtf=(0.66, 0.46, 0.47),
        memory_mb=(4900, 4450, 4090),
    ),
    "medium": Published(
        wer_clean=3.8,
        wer_noisy=14.2,
        energy_j=(None, 1466, 1418),
        rtf=(None, 1.05, 1.03),
        memory_mb=(None, 5260, 4660),
    ),
}
EXPECTED_PERCENT = {"tiny.en": ((7.7, 9.7), (34.0, 40.0)), "base": ((6.8, 8.8), (29.0, 34.0))}
"""WER clean and noisy that the real weights give on the chapter with Whisper's text rule: outside of it something is wrong."""
FIGURES = (
    ("figure-4", "#wer-bars", "WER, clean and noisy, of every model (the study's figure 4)"),
    ("figure-5", "#energy-bars-0", "Energy of every model and precision (its figure 5)"),
    ("figure-7", "#speed-memory", "Real-time factor and peak memory of every model and precision (its figure 7)"),
    ("figure-8", "#bubbles-0", "WER against energy; colour is the real-time factor, area the memory (its figure 8)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRows:
    """One of our recognizers on the clean and on the noisy corpus."""

    name: str
    """As the study calls its models: `tiny.en`, `base`."""
    precision: str
    clean: Row | None
    noisy: Row | None

    @property
    def published(self) -> Published | None:
        return STUDY.get(self.name.removesuffix(".en"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the document; print the comparison as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=str(__doc__).splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", default=ROOT / "runs" / "study")
    parser.add_argument("--pictures", action="store_true", help="also take the pictures with Chromium")
    chosen = parser.parse_args(arguments)
    facts = read_run(chosen.run) if chosen.run.exists() else None
    models = recognizers(view(facts).rows) if facts else []
    if facts and chosen.pictures:
        take_pictures(facts, PICTURES)
    DOCUMENT.write_text(document(facts, models), encoding="utf-8")
    print(json.dumps(judged(models), indent=1))
    return 0


def recognizers(rows: Iterable[Row]) -> list[ModelRows]:
    """Rows of Whisper models, clean and noisy put together; a corpus with `noisy` in its name is the noisy one."""
    by_model: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        named = re.search(r"(tiny|base|small|medium)(\.en)?", row.model)
        if named is not None:
            kind = "noisy" if "noisy" in row.corpus or row.snr_db is not None else "clean"
            by_model.setdefault((named.group(), row.precision), {})[kind] = row
    return [
        ModelRows(name=name, precision=precision, clean=both.get("clean"), noisy=both.get("noisy"))
        for (name, precision), both in by_model.items()
    ]


def judged(models: Sequence[ModelRows]) -> dict[str, Any]:
    """Each rate beside what it must be; `within` is None where too little was measured to say."""
    rates: dict[str, Any] = {}
    verdicts: list[bool | None] = []
    for model in models:
        for kind, row, limits in zip(
            ("clean", "noisy"), (model.clean, model.noisy), EXPECTED_PERCENT.get(model.name, (None, None)), strict=True
        ):
            if row is None or row.wer is None:
                continue
            known = limits is not None and row.utterances == UTTERANCES
            within = limits[0] <= 100 * row.wer <= limits[1] if known and limits else None
            verdicts.append(within)
            rates[f"{model.name} {model.precision} {kind}"] = {
                "wer_percent": round(100 * row.wer, 2),
                "utterances": row.utterances,
                "expected_percent": limits,
                "within": within,
            }
    return {"within": None if not verdicts or None in verdicts else all(verdicts), "wer": rates}


# --- the document ----------------------------------------------------------------------------------------------------
def document(facts: RunFacts | None, models: Sequence[ModelRows]) -> str:
    """The whole text; tables of ours hold `not measured yet` where there is no run."""
    parts = [INTRODUCTION, _machine(facts), f"{NOT_RUN}\n```console\n{HOW}\n```"]
    tables = (_wer_table(models), _cost_table(models, "energy"), _cost_table(models, "speed"), "")
    for (name, _, caption), heading, table in zip(FIGURES, HEADINGS, tables, strict=True):
        picture = f"![{caption}](study/{name}.png)" if (PICTURES / f"{name}.png").exists() else ""
        parts += [f"## {heading}", table, picture]
    parts[parts.index("## Word errors, clean and noisy") + 1] += "\n\n" + GREEDY
    parts += ["## What a lower precision saves", _ratio_table(models), CLOSING]
    phone = PICTURES / "page-390.png"
    if phone.exists():
        parts.append("![The same report on a phone of 390 px](study/page-390.png)")
    return "\n\n".join(part for part in parts if part) + "\n"


INTRODUCTION = """\
# The Jetson study, measured again
<!-- Written by `python -m benchmarks.study RUN --pictures`; change benchmarks/study.py, not this file. -->

A study of speech recognition on an edge GPU (arXiv 2405.01004: Jetson Orin Nano, WhisperX = CTranslate2) asks what precision,
model and noise do to word errors, speed, memory and energy. Here real Whisper weights hear the same recordings, LibriSpeech
dev-clean chapter 3752-4944 (70 utterances, 328 s, 894 words, one speaker), clean and as the study distributed them with noise,
on one core of a CPU. The study's figures are read off its figures, about ±2 %. Square brackets hold 95 % intervals.

What can be compared: word errors, since weights, recordings and the text rule (Whisper's English one) are the same, except that
our `tiny.en` is the English sibling of its `tiny`. What cannot: joules, seconds and megabytes of a GPU board against those of a
CPU core; of these only the pattern from model to model and from precision to precision."""

HEADINGS = (
    "Word errors, clean and noisy",
    "Energy of the whole clean set",
    "Speed and memory, clean set",
    "Word errors against energy",
)

GREEDY = """\
These are with five beams, faster-whisper's default. Greedy (`?beam=1`), on the noisy chapter, the same machine, 2026-11-28:
tiny.en 34.49 [29, 41] % (fp32) and 36.24 [30, 43] % (int8), base 30.90 [26, 36] and 30.58 [26.0, 35.9] %: `wattscribe bench
--model "ct2:$M/whisper-tiny.en-ct2?beam=1" --model "ct2:$M/whisper-base-ct2?beam=1" --precision fp32,int8 --data
LibriSpeech-noisy/dev-clean`. Base without a stated language, which is then detected: five beams 28.40 [23.9, 33.2] and 28.07
[23.6, 32.9] % noisy (one utterance of 70 is taken for Russian), clean as above."""

CLOSING = """\
The study found that fp16 halves the energy of fp32 with little loss and that int8 saves little more, on a GPU with units for
fp16. CTranslate2 has no fp16 on this CPU and refuses it by name, so only int8 stands beside fp32."""


def _machine(facts: RunFacts | None) -> str:
    if facts is None:
        return "**Ours are not measured yet**: every `–` under ours waits for the run below."
    machine = [str(facts.machine[key]) for key in ("machine", "cpu", "os") if facts.machine.get(key)]
    libraries = facts.machine.get("libraries") or {}
    versions = [f"{name} {libraries[name]}" for name in ("ctranslate2", "faster-whisper") if name in libraries]
    starved = " ".join(starved_sentences(view(facts).rows))
    return f"Measured {facts.created[:10]} on {', '.join([*machine, *versions])}. {starved}".strip()


def _wer_table(models: Sequence[ModelRows]) -> str:
    header = ("model", "precision", "clean, WER %", "noisy, WER %", "the study: clean", "noisy")
    rows = []
    for name, precision, ours, published in _lines(models, by_precision=False):
        shown = (f"{published.wer_clean}", f"{published.wer_noisy}") if published else (MISSING, MISSING)
        rows.append((name, precision, _rate(ours.clean if ours else None), _rate(ours.noisy if ours else None), *shown))
    return _table(header, rows)


def _rate(row: Row | None) -> str:
    return MISSING if row is None else f"{percent_text(row.wer)} {interval_text(row.wer_ci95, 100)}".strip()


def _cost_table(models: Sequence[ModelRows], what: str) -> str:
    speed = what == "speed"
    header: tuple[str, ...] = ("model", "precision", *(("RTF", "peak memory") if speed else ("J", "evidence")))
    header += ("the study: RTF", "max RAM, MB") if speed else ("the study: J",)
    rows = []
    for name, precision, ours, published in _lines(models, by_precision=True):
        at = PRECISIONS.index(precision) if precision in PRECISIONS else None
        row = ours.clean if ours else None
        mine = (MISSING, MISSING)
        if row is not None and speed:
            mine = (number(row.rtf), bytes_text(row.peak_memory_bytes))
        elif row is not None:
            covers = f"{row.energy_evidence}: {row.energy_covers}" if row.energy_covers else row.energy_evidence
            mine = (f"{number(row.energy_j)} {interval_text(row.energy_ci95_j)}".strip(), covers)
        columns = (
            (published.rtf, published.memory_mb) if published and speed else (published.energy_j,) if published else ()
        )
        theirs = [MISSING if at is None or column[at] is None else f"{column[at]:g}" for column in columns]
        rows.append((name, precision, *mine, *(theirs or [MISSING] * (len(header) - 4))))
    return _table(header, rows)


def _lines(
    models: Sequence[ModelRows], *, by_precision: bool
) -> list[tuple[str, str, ModelRows | None, Published | None]]:
    """Ours with the study's beside them, then what only the study measured."""
    lines: list[tuple[str, str, ModelRows | None, Published | None]] = [
        (model.name, model.precision, model, model.published) for model in models
    ]
    there = {(model.name.removesuffix(".en"), model.precision) for model in models}
    for name, published in STUDY.items():
        if by_precision:
            lines += [(name, precision, None, published) for precision in PRECISIONS if (name, precision) not in there]
        elif name not in {known for known, _ in there}:
            lines.append((name, MISSING, None, published))
    order = list(STUDY)
    return sorted(lines, key=lambda line: order.index(line[0].removesuffix(".en")))


def _ratio_table(models: Sequence[ModelRows]) -> str:
    """int8 over fp32: what does not depend on the machine's scale."""
    by_key = {(model.name, model.precision): model.clean for model in models}
    names = list(dict.fromkeys(model.name for model in models)) or ["tiny", "base"]
    rows = []
    for name in names:
        published = STUDY[name.removesuffix(".en")]
        pairs = [(values[2], values[0]) for values in (published.energy_j, published.rtf, published.memory_mb)]
        theirs = [_ratio(low, high) for low, high in pairs]
        low, high = by_key.get((name, "int8")), by_key.get((name, "fp32"))
        mine = [MISSING] * 3
        if low is not None and high is not None:
            mine = [_ratio(getattr(low, key), getattr(high, key)) for key in ("energy_j", "rtf", "peak_memory_bytes")]
        rows.append((name, *mine, *theirs))
    header = ("int8 / fp32", "energy", "RTF", "memory", "the study: energy", "RTF", "max RAM")
    return _table(header, rows)


def _ratio(low: float | None, high: float | None) -> str:
    return MISSING if low is None or not high else f"{low / high:.2f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


# --- pictures --------------------------------------------------------------------------------------------------------
def take_pictures(facts: RunFacts, folder: Path) -> None:
    """The four figures as a page of 1280 px shows them, and the first screens of the page at 1280 and 390 px."""
    from tests.pages.browser import MISSING as NO_BROWSER
    from tests.pages.browser import Browser

    if NO_BROWSER is not None:
        raise SystemExit(f"no pictures: {NO_BROWSER}")
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "report.html"
        formats.write(facts, "html", page)
        for width, height in ((1280, 900), (390, 844)):
            with Browser(Path(scratch) / f"profile-{width}", width=width, height=height) as browser:
                browser.open(page)
                browser.screenshot(folder / f"page-{width}.png")
                for name, selector, _ in FIGURES:
                    suffix = "" if width == 1280 else f"-{width}"
                    browser.picture(f"figure:has({selector})", folder / f"{name}{suffix}.png")


if __name__ == "__main__":
    raise SystemExit(main())
