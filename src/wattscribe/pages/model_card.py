"""A block for a model card: the hub's `model-index` as YAML in front, a table below; one file per model of the run.

`model-index` as huggingface_hub's `ModelCard` reads it (hub-docs, modelcard.md): results by task and dataset, each with its
metrics. What was done to the speech is the dataset's configuration, precision and evidence are in the metric's name: nothing that
differs there is put together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wattscribe import __version__, whole_file
from wattscribe.errors import InputError
from wattscribe.pages.in_markdown import aligned, plain
from wattscribe.pages.published import dataset_of, model_of, settings_of_name, variant_of
from wattscribe.records import RunFacts
from wattscribe.results.basis import energy_name
from wattscribe.results.groups import Group, settings_text, short_corpus
from wattscribe.results.row import Row
from wattscribe.results.table import View
from wattscribe.results.words import bytes_text, interval_text, number, percent_text

TASK = {"type": "automatic-speech-recognition", "name": "Automatic Speech Recognition"}
HEADER = ("precision", "speech", "WER %", "CER %", "real-time factor", "memory", "J per s of audio", "energy of")
Entry = tuple[Row, Group]


def write(seen: View, folder: Path) -> list[Path]:
    """`MODEL.md` per model, whole each. Raises InputError where no trial is finished, OSError."""
    by_model: dict[str, list[Entry]] = {}
    for row, row_group in zip(seen.rows, seen.groups, strict=True):
        if row_group.done:
            by_model.setdefault(model_of(row_group), []).append((row, row_group))
    if not by_model:
        raise InputError(
            f"no trial of the run {seen.facts.name} is finished", fix="Resume it: wattscribe bench --resume"
        )
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for model, entries in by_model.items():
        stem = re.sub(r"[^\w.+-]+", "-", model).strip("-.")
        taken = sum(path.stem.split("~")[0] == stem for path in written)
        path = folder / f"{stem}{f'~{taken + 1}' if taken else ''}.md"
        whole_file.write_text(path, card(model, entries, seen.facts))
        written.append(path)
    return written


def card(model: str, entries: Sequence[Entry], facts: RunFacts) -> str:
    """The block of one model."""
    index = {"model-index": [{"name": model, "results": list(_results(entries))}]}
    front = "\n".join(["---", *_yaml(index), "---"])
    table = "\n".join(aligned([HEADER, *(_cells(*entry) for entry in entries)]))
    return f"{front}\n\n## Evaluation\n\n{_how(facts, entries)}\n\n{table}\n"


def _how(facts: RunFacts, entries: Sequence[Entry]) -> str:
    machine = ", ".join(str(facts.machine[key]) for key in ("machine", "cpu", "os") if facts.machine.get(key))
    kinds = sorted({row.energy_evidence for row, _ in entries if row.energy_j is not None})
    energy = {
        (): "No energy was measured.",
        ("measured",): "Energy is measured.",
    }.get(tuple(kinds), f"Energy is {' or '.join(kinds)}, as the last column says.")
    simulated = "" if facts.machine.get("simulated_board") is None else " The board is simulated."
    where = plain(f"Wattscribe {__version__}, {facts.created[:10]}, {machine}.")
    return f"{where} Square brackets hold 95 % intervals. {energy}{simulated}"


def _cells(row: Row, row_group: Group) -> tuple[str, ...]:
    settings = settings_text(row.device, row.threads, row.batch_size, row.options)
    speech = ", ".join(part for part in (short_corpus(row_group.corpus), variant_of(row_group)) if part)
    return (
        plain(", ".join(part for part in (row.precision, settings, row.mode) if part)),
        plain(speech),
        f"{percent_text(row.wer)} {interval_text(row.wer_ci95, 100)}".strip(),
        percent_text(row.cer),
        number(row.rtf),
        bytes_text(row.peak_memory_bytes),
        f"{number(row.j_per_audio_s)} {interval_text(row.j_per_audio_s_ci95)}".strip(),
        plain(energy_name(row.energy_evidence, row.energy_covers)),
    )


# --- the model index ----------------------------------------------------------------------------------------------------
def _results(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    by_dataset: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for row, row_group in entries:
        dataset = _dataset(row_group)
        _, metrics = by_dataset.setdefault(json.dumps(dataset), (dataset, []))
        metrics += _metrics(row, row_group)
    for dataset, metrics in by_dataset.values():
        yield {"task": TASK, "dataset": dataset, "metrics": metrics}


def _dataset(row_group: Group) -> dict[str, Any]:
    known, variant = dataset_of(row_group), variant_of(row_group)
    config = ", ".join(part for part in (known.config, variant) if part)
    name = ", ".join(part for part in (short_corpus(row_group.corpus), variant) if part)
    parts = {"name": name, "type": known.id, "config": config, "split": known.split}
    return {key: value for key, value in parts.items() if value}


def _metrics(row: Row, row_group: Group) -> Iterator[dict[str, Any]]:
    """Rates in per cent, as cards have them; energy with its evidence and what it covers."""
    energy = energy_name(row.energy_evidence, row.energy_covers)
    figures = (
        ("wer", "WER, %", None if row.wer is None else round(100 * row.wer, 2)),
        ("cer", "CER, %", None if row.cer is None else round(100 * row.cer, 2)),
        ("real_time_factor", "real-time factor", row.rtf),
        ("peak_memory_bytes", "peak memory, bytes", row.peak_memory_bytes),
        ("energy_j_per_audio_s", f"energy, J per second of audio, {energy}", row.j_per_audio_s),
    )
    settings = settings_text(row.device, row.threads, row.batch_size, row.options)
    told = ", ".join(part for part in (settings_of_name(row_group), settings, row.mode) if part)
    for kind, name, value in figures:
        if value is not None:
            yield {"type": kind, "value": value, "name": f"{name} ({told})" if told else name}


def _yaml(value: Any, indent: str = "") -> Iterator[str]:
    """Block YAML of mappings, lists and scalars; a text is quoted as JSON quotes it, which YAML reads alike."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, item in items:
        lead = f"{indent}{key}:" if isinstance(value, Mapping) else f"{indent}-"
        if isinstance(item, (Mapping, list)):
            nested = list(_yaml(item, f"{indent}  "))
            if isinstance(value, Mapping):
                yield lead
                yield from nested
            else:
                yield f"{lead} {nested[0].lstrip()}"
                yield from nested[1:]
        else:
            yield f"{lead} {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, float):  # to YAML 1.1 `1e-05` is a word
        mantissa, e, power = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa or not e else f'{mantissa}.0'}{e}{power}"
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "".join(character if character.isprintable() else _code(character) for character in text)


def _code(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
