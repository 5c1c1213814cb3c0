"""Figures that README and docs state, and the stored result that each comes from: `python -m benchmarks.stated [--write]`.

`make check` runs it: a figure that differs from its result, or that is not found where the list says, fails with its place.
After a benchmark was run again, `--write` puts the new figures in; the sentences around them are a person's.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = "benchmarks/results"
FIGURES, STREAMING, PROFILE = (
    f"{RESULTS}/{name}" for name in ("compress-figures.md", "streaming.json", "profile.json")
)
CARD, BENCH = "docs/model-card.md", "docs/bench.md"


class DisagreementError(Exception):
    """What a file states is not what its result holds, or one of both is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """One figure: the only group of `where` in `file`, its `nth` match, is `key` of `result` written as `form`.

    A key of a JSON file is a path with `/`. Of Markdown: `section/row/column` of a table, a row by how it begins (an empty
    section: the whole file), or `section/=beginning`, the line that begins so.
    """

    file: str
    where: str
    result: str
    key: str
    form: str = "{}"
    factor: float = 1.0
    nth: int = 0


# --- the list ---------------------------------------------------------------------------------------------------------
def _streaming() -> Iterator[Stated]:
    readme = {
        "zipformer": r"zipformer ([\d.]+) × live and ([\d.]+) × for files",
        "shipped fp16": r"shipped\s+model ([\d.]+) × and ([\d.]+) × in fp16",
        "shipped int8": r"in fp16, ([\d.]+) × and ([\d.]+) × in int8",
    }
    table = {"zipformer": "zipformer, int8 encoder", "shipped fp16": "shipped, fp16", "shipped int8": "shipped, int8"}
    for model, sentence in readme.items():
        for at, mode in enumerate(("live", "file")):
            key = f"result/speed/{model}/ratio_to_sherpa/{mode}"
            yield Stated(file="README.md", where=_only(sentence, at), result=STREAMING, key=key, form="{:.2f}")
            row = rf"\| {table[model]} \| \**[\d.]+, ([\d.]+) ×[^|]*\| \**[\d.]+, ([\d.]+) ×"
            yield Stated(file="docs/streaming.md", where=_only(row, at), result=STREAMING, key=key, form="{:.2f}")
    memory = "result/memory/above_import"
    model_mb = _value(STREAMING, "result/memory/model_bytes")
    for kind, sentence in {
        "live": r"Memory above import is ([\d.]+) × the zipformer's",
        "file": r"live peak, ([\d.]+) × with\s+the graph",
        "live, first start": r"reads files, ([\d.]+) × at the very first start",
    }.items():
        form = "{:.0f}" if kind == "file" else "{:.1f}"
        key = f"{memory}/{kind}/peak_bytes"
        yield Stated(file="README.md", where=sentence, result=STREAMING, key=key, form=form, factor=1 / model_mb)
    for row, kind in {
        "files, with the graph for eight segments": "file",
        "the first start of all, which prepares the graph": "live, first start",
        "the first start with files, which prepares the graph for eight segments too": "file, first start",
        "onnxruntime's own sessions on the same files": "onnxruntime with the same files",
    }.items():
        key = f"{memory}/{kind}/peak_bytes"
        where = rf"\| {re.escape(row)} \| ([\d.]+) MB"
        yield Stated(file="docs/streaming.md", where=where, result=STREAMING, key=key, form="{:.0f}", factor=1e-6)
    for row, key, form, factor in (
        (r"`pipe`: one hour .*?, ([\d.]+) MB resident", "result/pipe/resident_bytes/0", "{:.1f}", 1e-6),
        (r"\nlast; ([\d,]+) words", "result/pipe/words", "{:,}", 1),
        (r"÷ ([\d.]+) clean", "result/text/greedy joiner.onnx clean/fewer_joiner_calls_live", "{:.2f}", 1),
        (r"÷ ([\d.]+) noisy", "result/text/greedy joiner.onnx noisy/fewer_joiner_calls_live", "{:.2f}", 1),
        (r"÷ ([\d.]+) LJSpeech", "result/text/greedy joiner.onnx ljspeech/fewer_joiner_calls_live", "{:.2f}", 1),
        (r"The gate left out ([\d.]+) s", "result/vad/skipped_s", "{:.0f}", 1),
        (r"and (\d+) % of the encoder\s+calls", "result/vad/saved_encoder_calls", "{:.0f}", 100),
        (r"\(([\d,]+) instead of", "result/vad/with/encoder_calls", "{:,}", 1),
        (r"; (\d+) word errors of 919", "result/vad/with/word_errors", "{}", 1),
    ):
        where = row.replace("`pipe`", r"`python -m benchmarks\.streaming pipe`")
        yield Stated(file="docs/streaming.md", where=where, result=STREAMING, key=key, form=form, factor=factor)


def _compress() -> Iterator[Stated]:
    """The command's own lines are copied whole; figures in sentences and tables are written as they stand there."""
    yield from _compress_lines()
    yield from _compress_reference()


def _compress_lines() -> Iterator[Stated]:
    for beginning in (
        "energy, mJ/audio s",
        "WER, %",
        "RTF (processor time)",
        "token delay, mean, s",
        "librispeech + ljspeech:",
    ):
        for file in ("README.md", "docs/compress.md"):
            where = rf"(?m)^({re.escape(beginning)}.*)$"
            yield Stated(file=file, where=where, result=FIGURES, key=f"zipformer/={beginning}")
    for beginning in ("size, MB", "peak memory, MB", "token delay, p90, s"):
        where = rf"(?m)^({re.escape(beginning)}.*)$"
        yield Stated(file="docs/compress.md", where=where, result=FIGURES, key=f"zipformer/={beginning}")


def _compress_reference() -> Iterator[Stated]:
    long, short = "result, 1280 ms", "result, 640 ms"
    for where, row, column, form in (
        (r"modelled energy −(\d+) % against dense float32", long, "of fp32", "{:.0f}"),
        (r"and −(\d+) % against dense int8, both", long, "of int8", "{:.0f}"),
        (r"frame by frame; processor time −(\d+) %", long, "of fp32 2", "{:.0f}"),
        (r"processor time −\d+ % and −(\d+) %", long, "of int8 2", "{:.0f}"),
        (r"at 640 ms it is −(\d+) %", short, "of fp32", "{:.0f}"),
        (r"at 640 ms it is −\d+ % and −(\d+) %", short, "of int8", "{:.0f}"),
        (r"WER (−?[\d.]+) points \(one-sided bound \+[\d.]+, widened", long, "change to fp32 (95 %)", "{:.2f}"),
        (r"points \(one-sided bound (\+[\d.]+), widened", long, "bound", "{:+.2f}"),
    ):
        factor = -1.0 if column.startswith("of ") else 1.0
        key = f"reference/{row}/{column}"
        yield Stated(file="README.md", where=where, result=FIGURES, key=key, form=form, factor=factor)
    for where, row, column in (
        (r"energy against dense float32 \| −90 % \| \*\*−([\d.]+) %", long, "of fp32"),
        (r"energy against dense float32 \| .*?\(−([\d.]+) % at 640 ms", short, "of fp32"),
        (r"energy against dense int8 \| −60 % \| \*\*−([\d.]+) %", long, "of int8"),
        (r"energy against dense int8 \| .*?\(−([\d.]+) % at 640 ms", short, "of int8"),
        (r"−60 %; −30 % \| \*\*−([\d.]+) %", long, "of fp32 2"),
        (r"−60 %; −30 % \| \*\*−[\d.]+ %; −([\d.]+) %", long, "of int8 2"),
        (r"post-training only, against dense float32 \| −80 % \| \*\*−([\d.]+) %", long, "of fp32"),
    ):
        key = f"reference/{row}/{column}"
        yield Stated(file="docs/compress.md", where=where, result=FIGURES, key=key, form="{:.1f}", factor=-1.0)
    for where, key, file in (
        (r"\| reported \| −([\d.]+) % against float32", f"phone/{long}/of fp32", "docs/compress.md"),
        (r"against float32, −([\d.]+) % against int8", f"phone/{long}/of int8", "docs/compress.md"),
        (r"not trained for \| reported \| −([\d.]+) %", f"digits/{long}/of fp32", "docs/compress.md"),
        (r"lossless levers; \*\*−([\d.]+) %, missed", "fronts/+0.3/3", "docs/compress.md"),
    ):
        yield Stated(file=file, where=where, result=FIGURES, key=key, form="{:.1f}", factor=-1.0)
    for where, row in ((r"WER ([\d.]+) → [\d.]+ % \(bound", "dense fp32"), (r"WER [\d.]+ → ([\d.]+) % \(bound", long)):
        yield Stated(file="docs/compress.md", where=where, result=FIGURES, key=f"digits/{row}/WER, %", form="{:.2f}")
    yield Stated(
        file="README.md",
        where=r"saves only (\d+) % more",
        result=FIGURES,
        key="fronts/+0.3/3",
        form="{:.0f}",
        factor=-1.0,
    )
    yield Stated(
        file="docs/compress.md", where=r"transducer \(WER ([\d.]+) % over all", result=FIGURES,
        key="reference/dense fp32/WER, %", form="{:.2f}",
    )  # fmt: skip


def _profile() -> Iterator[Stated]:
    phone = "result/arch/devices/phone"
    for file in ("README.md", "docs/energy-model.md"):
        total = r"total ([\d.]+) mW \(95 %"
        yield Stated(file=file, where=total, result=PROFILE, key=f"{phone}/total_mw", form="{:.1f}")
        share = r"The joiner is (\d+) % of the size"
        yield Stated(
            file=file, where=share, result=PROFILE, key=f"{phone}/joiner_size_share", form="{:.0f}", factor=100
        )
        share = r"of the size and (\d+) % of the power"
        yield Stated(
            file=file, where=share, result=PROFILE, key=f"{phone}/joiner_power_share", form="{:.0f}", factor=100
        )


def _small() -> Iterator[Stated]:
    """What scoring, sampling, benching and starting take."""
    for row, key in (
        ("Whisper's normaliser, 10,480 texts", "normalise_s"),
        ("alignment of words and characters", "align_s"),
        ("three intervals, 1,000 resamples each", "intervals_s"),
        ("three paired tests, 1,000 resamples each, and MAPSSWE", "paired_tests_s"),
        ("**all**", "total_s"),
    ):
        where = rf"\| {re.escape(row)} \| \**([\d.]+)"
        yield Stated(
            file="docs/scoring.md", where=where, result=f"{RESULTS}/scoring.json", key=f"result/{key}", form="{:.2f}"
        )
    for at, row in enumerate(_value(f"{RESULTS}/sampler.json", "result/rows")):
        where = rf"{row['board']} at {row['rate_hz']:g} Hz ([\d.]+)% of a core"
        key = f"result/rows/{at}/cpu_share_of_one_core"
        yield Stated(
            file="docs/meters.md", where=where, result=f"{RESULTS}/sampler.json", key=key, form="{:.2f}", factor=100
        )
    yield Stated(
        file=BENCH, where=r"CPU seconds are ([\d.]+) % above", result=f"{RESULTS}/overhead.json", key="result/overhead_cpu",
        form="{:.1f}", factor=100,
    )  # fmt: skip
    yield Stated(
        file=BENCH, where=r"`wattscribe --help` takes ([\d.]+) s at best", result=f"{RESULTS}/startup.json",
        key="result/best_s", form="{:.3f}",
    )  # fmt: skip


def _readme_of_docs() -> Iterator[Stated]:
    """What README repeats of a page that holds the figure with its interval."""
    section, greedy, beam = "Word error rates", "fp16, greedy (95 %)", "fp16, beam (95 %)"
    known, rms, espeak = (
        "test sentences, training",
        "test sentences, held-out voices: flite",
        "test sentences, held-out voices: six",
    )
    for where, row, column in (
        (r"under-trained: ([\d.]+) % WER on test sentences", known, greedy),
        (r"training voices \(([\d.]+) % with a beam\)", known, beam),
        (r"with a beam\), ([\d.]+) and [\d.]+ % by held-out", espeak, greedy),
        (r"with a beam\), [\d.]+ and ([\d.]+) % by held-out", rms, greedy),
        (r"held-out ones,\s+([\d.]+) and [\d.]+ % on people", "LibriSpeech chapter", greedy),
        (r"held-out ones,\s+[\d.]+ and ([\d.]+) % on people", "LJSpeech", greedy),
    ):
        yield Stated(file="README.md", where=where, result=CARD, key=f"{section}/{row}/{column}", form="{:.1f}")
    for row in ("zipformer", "PocketSphinx"):
        for at, column in enumerate(("quiet", "20 dB", "10 dB", "5 dB", "0 dB")):
            where = rf"\n\| {row} \|" + r" [\d.]+ \|" * at + r" ([\d.]+) \|"
            yield Stated(
                file="README.md", where=where, result=BENCH, key=f"A real run/{row}, WER/{column}", form="{:.2f}"
            )


def _fleet() -> Iterator[Stated]:
    rows = {
        "worker_and_nanny": "worker and nanny of a fleet",
        "worker_alone_with_dask_defaults": "worker alone with Dask",
    }
    for key, row in rows.items():
        where = rf"\| {row}[^|]*\| ([\d.]+) % \| ([\d.]+) \|"
        result = f"{RESULTS}/fleet.json"
        for at, (name, form, factor) in enumerate((("core_share", "{:.2g}", 100.0), ("wakeups_per_s", "{:.1f}", 1.0))):
            figure = _only(where, at)
            yield Stated(
                file="docs/fleet.md", where=figure, result=result, key=f"result/{key}/{name}", form=form, factor=factor
            )


def everything() -> list[Stated]:
    return [*_streaming(), *_compress(), *_profile(), *_small(), *_readme_of_docs(), *_fleet()]


def _only(pattern: str, group: int) -> str:
    """The pattern with one of its groups left."""
    parts = pattern.split(r"([\d.]+)")
    return parts[0] + "".join((r"([\d.]+)" if at == group else r"[\d.]+") + rest for at, rest in enumerate(parts[1:]))


# --- what a result holds ----------------------------------------------------------------------------------------------
def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DisagreementError(f"{path}: {error.strerror}") from error


def _value(result: str, key: str) -> Any:
    """A number, or a line of text. Raises DisagreementError where there is none."""
    text = _text(ROOT / result)
    if result.endswith(".json"):
        value: Any = json.loads(text)
        for part in key.split("/"):
            try:
                value = value[int(part)] if isinstance(value, list) else value[part]
            except (KeyError, IndexError, ValueError) as error:
                raise DisagreementError(f"{result} holds no {key}") from error
        return value
    section, _, rest = key.partition("/")
    lines = _section(text, section)
    if rest.startswith("="):
        line = next((line for line in lines if line.startswith(rest[1:])), None)
        if line is None:
            raise DisagreementError(f"{result}, {section}: no line begins with {rest[1:]!r}")
        return line
    row, _, column = rest.rpartition("/")
    return _number(_cell(lines, row, column, f"{result}, {section}"))


def _section(text: str, title: str) -> list[str]:
    """The lines below `## title` up to the next heading of that depth."""
    parts = re.split(r"(?m)^## (.*)$", text)
    return next((parts[at + 1].splitlines() for at in range(1, len(parts), 2) if parts[at].startswith(title)), [])


def _cell(lines: list[str], row: str, column: str, where: str) -> str:
    """By the row's beginning and the column's title (`title 2`: the second of that title) or its number from 0."""
    header: list[str] | None = None
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            header = None
            continue
        header = header or cells
        if cells is not header and cells[0].startswith(row):
            at = _place(header, column)
            if at is not None and at < len(cells):
                return cells[at]
    raise DisagreementError(f"{where}: there is no {column!r} of {row!r}")


def _place(header: list[str], column: str) -> int | None:
    if column.isdecimal():
        return int(column)
    title, _, number = column.rpartition(" ")
    title, nth = (title, int(number)) if number.isdecimal() and column not in header else (column, 1)
    places = [at for at, heading in enumerate(header) if heading == title]
    return places[nth - 1] if len(places) >= nth else None


def _number(cell: str) -> float:
    """The first number of a cell; a minus may be the typographic one."""
    match = re.search(r"[-+]?\d[\d,]*\.?\d*", cell.replace("−", "-"))
    if match is None:
        raise DisagreementError(f"there is no number in {cell!r}")
    return float(match[0].replace(",", ""))


# --- compare and write ------------------------------------------------------------------------------------------------
def expected(statement: Stated) -> str:
    """What the file should say."""
    value = _value(statement.result, statement.key)
    if isinstance(value, str):
        return value
    value = value if statement.factor == 1 else value * statement.factor
    return statement.form.format(value).replace("-", "−")


def place(statement: Stated, text: str) -> re.Match[str]:
    """Where the file says it."""
    matches = list(re.finditer(statement.where, text))
    if len(matches) <= statement.nth:
        raise DisagreementError(
            f"{statement.file}: what states {statement.key} is not found ({statement.where!r}): change benchmarks/stated.py"
        )
    return matches[statement.nth]


def differences(stated: list[Stated], texts: dict[str, str]) -> list[str]:
    """What is wrong, a line each; `texts` get the right figures."""
    wrong = []
    for statement in stated:
        try:
            text = texts.setdefault(statement.file, _text(ROOT / statement.file))
            match, right = place(statement, text), expected(statement)
        except DisagreementError as error:
            wrong.append(str(error))
            continue
        if match[1] != right:
            line = text.count("\n", 0, match.start(1)) + 1
            wrong.append(f"{statement.file}:{line}: says {match[1]}, {statement.result} ({statement.key}) says {right}")
            texts[statement.file] = text[: match.start(1)] + right + text[match.end(1) :]
    return wrong


def main(arguments: list[str]) -> int:
    """Exit status 1 where something differs, or with --write where something could not be put right."""
    texts: dict[str, str] = {}
    stated = everything()
    wrong = differences(stated, texts)
    if "--write" in arguments:
        for name, text in texts.items():
            (ROOT / name).write_text(text, encoding="utf-8")
        wrong = differences(stated, {})
    print("\n".join(wrong) or f"{len(stated)} stated figures equal their results")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
